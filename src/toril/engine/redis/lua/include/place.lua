-- Adding one new job, as ready or delayed.
-- needs: here, events, ready, store

-- job: id, name, data, opts, delay, due (0: now), priority, lifo, tags, key_id (its deduplication
--   key).
-- Returns whether it is delayed.
local function place(q, job)
    if job.key_id then
        store(q, job.id, job.name, job.data, job.opts, job.delay, job.priority,
              'deid', job.key_id)
    else
        store(q, job.id, job.name, job.data, job.opts, job.delay, job.priority)
    end
    index_tags(q, job.id, job.tags)
    if job.due > 0 then
        delay_until(q, job.id, job.due)
        emit(q, 'delayed', 'jobId', job.id, 'delay', job.due)
        return true
    end
    if job.lifo then push_first(q, job.id, job.priority) else push(q, job.id, job.priority) end
    emit(q, 'waiting', 'jobId', job.id)
    return false
end
