-- The effects of a job's end, whatever its outcome.
-- needs: events, ready, store, parents, forget

-- Frees a deduplication key. Without a ttl, a key is held until its job has finished. A job that
-- was held back by BullMQ's keepLastIfActive is added now.
local function free_key(id, key_id)
    local key = JOB .. 'de:' .. key_id
    local left = call('PTTL', key)
    if left == 0 or (left == -1 and try('GET', key) == id) then
        call('DEL', key)
    end
    local waiting = JOB .. 'dn:' .. key_id
    if call('EXISTS', waiting) == 0 then
        return
    end
    local job = try('HMGET', waiting, 'name', 'data', 'opts', 'jid', 'pk', 'pd', 'pdk', 'rjk')
    call('DEL', waiting)
    if not job[1] then return end
    local counted = tostring(call('INCR', ID))
    local next_id = job[4] or counted
    if call('EXISTS', JOB .. next_id) == 1 then  -- another job has this id by now
        emit(HERE, 'duplicated', 'jobId', next_id)
        return
    end
    local opts = decoded(job[3])
    local rule = type(opts.de) == 'table' and opts.de or {}
    set_owner(key, next_id, rule.keepLastIfActive ~= true and whole(rule.ttl) or 0)
    local extra = {'deid', key_id}
    for field, value in pairs({parentKey = job[5], parent = job[6], rjk = job[8]}) do
        if value then
            extra[#extra + 1], extra[#extra + 2] = field, value
        end
    end
    local delay, priority = whole(opts.delay), whole(opts.priority)
    store(HERE, next_id, job[1], job[2] or 'null', job[3] or '{}', delay, priority, unpack(extra))
    if delay > 0 then
        delay_until(HERE, next_id, NOW + delay)
        emit(HERE, 'delayed', 'jobId', next_id, 'delay', NOW + delay)
        mark_due(HERE)
    else
        push_again(HERE, next_id, priority, job[3])
        emit(HERE, 'waiting', 'jobId', next_id)
        if not is_closed(HERE) then mark(HERE) end
    end
    if job[7] then
        try('SADD', job[7], JOB .. next_id)
    end
end

-- Removes finished jobs that retention does not keep: of those past the age (ms) and of those
-- beyond the count, a few more than have just finished, so that it catches up in steps. With an
-- age, the jobs that have just finished are noted for sweep.lua.
local function trim_finished(set, age, count, jobs)
    if age and count ~= 0 then
        local expiring = {}
        for _, job in ipairs(jobs) do
            expiring[#expiring + 1] = string.format('%.0f', NOW + age)
            expiring[#expiring + 1] = NOW_TEXT .. ':' .. job.id
        end
        in_pieces('ZADD', OWN .. 'expiring', expiring)
    end
    -- From newest to oldest, as in BullMQ: parents that wait for these jobs continue in this order.
    local function forget_all(old)
        for n = #old, 1, -1 do
            forget(HERE, old[n])
        end
    end
    if age then
        local old = call('ZRANGEBYSCORE', set, '-inf', NOW - age, 'LIMIT', 0, #jobs + 250)
        forget_all(old)
        in_pieces('ZREM', set, old)
    end
    if count and count > 0 then
        local excess = call('ZCARD', set) - count
        if excess > 0 then
            excess = math.min(excess, #jobs + 250)
            local found, old, noted = call('ZRANGE', set, 0, excess - 1, 'WITHSCORES'), {}, {}
            for n = 1, #found, 2 do
                old[#old + 1] = found[n]
                noted[#noted + 1] = found[n + 1] .. ':' .. found[n]
            end
            forget_all(old)
            call('ZREMRANGEBYRANK', set, 0, excess - 1)
            if age then in_pieces('ZREM', OWN .. 'expiring', noted) end
        end
    end
end
