-- Creating a schedule's next job.
-- needs: events, ready, store, schedules

-- Returns whether the job was created; it may exist already. `opts` lacks the options that depend
-- on the job's time.
local function add_turn(schedule, due, name, data, opts, priority, lifo)
    local id = string.format('repeat:%s:%d', schedule, due)
    if call('EXISTS', JOB .. id) == 1 then
        return false
    end
    local delay = math.max(due - NOW, 0)
    opts = string.sub(opts, 1, -2) .. string.format(
        ',"jobId":%s,"delay":%d,"timestamp":%d,"prevMillis":%d}', cjson.encode(id), delay, NOW, due)
    call('ZADD', SCHEDULES, due, schedule)
    call('INCR', ID)
    store(HERE, id, name, data, opts, delay, priority, 'rjk', schedule)
    if delay > 0 then
        delay_until(HERE, id, due)
        emit(HERE, 'delayed', 'jobId', id, 'delay', due)
        mark_due(HERE)
    else
        if lifo then push_first(HERE, id, priority) else push(HERE, id, priority) end
        emit(HERE, 'waiting', 'jobId', id)
        if not is_closed(HERE) then mark(HERE) end
    end
    return true
end
