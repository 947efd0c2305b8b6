-- Making jobs ready or delayed, and waking workers.
-- needs: here, events

local function mark(q)
    call('ZADD', q.marker, 0, '0')
end

-- Returns whether workers may fetch nothing: the queue is paused, or at its concurrency limit.
local function is_closed(q)
    local limits = call('HMGET', q.meta, 'paused', 'concurrency')
    if limits[1] then
        return true
    end
    local most = tonumber(limits[2])
    return most and call('LLEN', q.active) >= most
end

local function mark_due(q)
    local first = call('ZRANGE', q.delayed, 0, 0, 'WITHSCORES')
    if first[2] then
        call('ZADD', q.marker, math.floor(first[2] / 0x1000), '1')
    end
end

-- Jobs due in the same millisecond keep their order through a counter of 12 bits. Later times than
-- the latest would lose digits.
local function due_score(q, due)
    due = math.min(due, LATEST_MS)
    local least, most = due * 0x1000, due * 0x1000 + 0xFFF
    local last = call('ZREVRANGEBYSCORE', q.delayed, most, least, 'WITHSCORES', 'LIMIT', 0, 1)
    return last[2] and math.min(tonumber(last[2]) + 1, most) or least
end

local function delay_until(q, id, due)
    call('ZADD', q.delayed, due_score(q, due), id)
end

local function push_prioritized(q, id, priority)
    local turn = call('INCR', q.pc) % 0x100000000
    call('ZADD', q.prioritized, priority * 0x100000000 + turn, id)
end

-- Returns the list of a queue's ready jobs without a priority. BullMQ 5 renames it when it pauses a
-- queue, and back when it resumes it, whatever has the other name by then. So in a paused queue
-- that BullMQ 5 uses, jobs go to where it would put them.
local function ready_list(q)
    if not q.ready then
        local meta = call('HMGET', q.meta, 'paused', 'version')
        local renamed = q.base .. 'paused'
        local is_renamed = meta[1] and (string.find(meta[2] or '', ':5%.')
            or call('EXISTS', renamed) == 1)
        q.ready = is_renamed and renamed or q.wait
    end
    return q.ready
end

-- Puts a job after the others of its priority.
local function push(q, id, priority)
    if priority > 0 then
        push_prioritized(q, id, priority)
    else
        call('LPUSH', ready_list(q), id)
    end
end

-- Makes a job ready that is no longer delayed. An id without a job is dropped.
local function push_due(q, id)
    local key = q.base .. id
    if call('EXISTS', key) == 0 then
        return
    end
    push(q, id, whole(try('HGET', key, 'priority')))
    try('HSET', key, 'delay', 0)
    emit(q, 'waiting', 'jobId', id, 'prev', 'delayed')
end

-- Returns whether a job's options put it before those already waiting.
local function is_lifo(opts)
    return opts and string.find(opts, '"lifo":true', 1, true) and decoded(opts).lifo == true
end

-- Makes a job ready to run again. As when it was added, lifo puts it first, but a job with a
-- priority always goes after the others of its priority.
local function push_again(q, id, priority, opts)
    if priority == 0 and is_lifo(opts) then
        call('RPUSH', ready_list(q), id)
    else
        push(q, id, priority)
    end
end

-- Puts a job before the others of its priority.
local function push_first(q, id, priority)
    if priority > 0 then
        call('ZADD', q.prioritized, priority * 0x100000000, id)
    else
        call('RPUSH', ready_list(q), id)
    end
end
