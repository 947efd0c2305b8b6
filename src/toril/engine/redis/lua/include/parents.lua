-- Parents, which may be in other queues: what a child's end means for its parent.
-- needs: here, events, ready

local function announce_ready(q, id)
    if not is_closed(q) then mark(q) end
    emit(q, 'waiting', 'jobId', id, 'prev', 'waiting-children')
end

local function ready_parent(q, id, key)
    local job = try('HMGET', key, 'priority', 'delay')
    local priority, delay = whole(job[1]), whole(job[2])
    if delay > 0 then
        local due = NOW + delay
        call('ZADD', q.delayed, due * 0x1000, id)  -- as BullMQ: no counter within the ms
        emit(q, 'delayed', 'jobId', id, 'delay', due)
        mark_due(q)
        return
    end
    if priority > 0 then
        push_prioritized(q, id, priority)
    else
        call('RPUSH', ready_list(q), id)
    end
    announce_ready(q, id)
end

local function ready_waiting_parent(q, id, key)
    if call('ZREM', q.base .. 'waiting-children', id) == 1 and call('EXISTS', key) == 1 then
        ready_parent(q, id, key)
    end
end

-- Returns a parent's queue, its id, and the options for this child's failure; nil if the key
-- cannot be a job's.
local function parent_of(key, described)
    local parent = described and decoded(described) or {}
    local queue, id = parent.queueKey, tostring(parent.id)
    if type(queue) == 'string' and queue .. ':' .. id == key then
        return queue_at(queue .. ':'), id, parent
    end
    local base, rest = string.match(key, '^(.+:)([^:]+)$')
    return base and queue_at(base), rest, parent
end

local function child_completed(child, parent_key, described, result)
    local q, id = parent_of(parent_key, described)
    if q and try('SREM', parent_key .. ':dependencies', child) == 1 then
        try('HSET', parent_key .. ':processed', child, result)
        if call('SCARD', parent_key .. ':dependencies') == 0 then
            ready_waiting_parent(q, id, parent_key)
        end
    end
end

local function fail_parent(q, id, key, child)
    if call('EXISTS', key) == 0 then
        return
    end
    local reason = 'child ' .. child .. ' failed'
    local waits = call('ZREM', q.base .. 'waiting-children', id) == 1
    if not waits and call('ZREM', q.delayed, id) == 1 then
        try('HSET', key, 'delay', 0)
        waits = true
    end
    if waits or not call('ZSCORE', q.failed, id) then try('HSET', key, 'defa', reason) end
    if waits then ready_parent(q, id, key) end
end

local function child_failed(child, parent_key, described, reason)
    local q, id, how = parent_of(parent_key, described)
    local fails, continues, ignores = how.fpof == true, how.cpof == true, how.idof == true
    if not q or not (fails or continues or ignores or how.rdof == true)
        or try('SREM', parent_key .. ':dependencies', child) ~= 1 then
        return
    end
    if fails then
        try('ZADD', parent_key .. ':unsuccessful', NOW, child)
        fail_parent(q, id, parent_key, child)
    elseif continues then
        try('HSET', parent_key .. ':failed', child, reason)
        ready_waiting_parent(q, id, parent_key)
    else
        if call('SCARD', parent_key .. ':dependencies') == 0 then
            ready_waiting_parent(q, id, parent_key)
        end
        if ignores then
            try('HSET', parent_key .. ':failed', child, reason)
        end
    end
end

-- The parent stops waiting for a child that is removed.
local function child_removed(child, parent_key)
    if try('SREM', parent_key .. ':dependencies', child) == 1
        and call('SCARD', parent_key .. ':dependencies') == 0 then
        local q, id = parent_of(parent_key)
        if q and call('ZREM', q.base .. 'waiting-children', id) == 1 then
            call('RPUSH', ready_list(q), id)
            announce_ready(q, id)
        end
    end
end

-- The parent waits again for a finished child that is run again.
local function child_runs_again(child, parent_key, prev)
    if call('EXISTS', parent_key) == 0 then
        return
    end
    if prev == 'failed' then
        if try('ZREM', parent_key .. ':unsuccessful', child) == 1
            or try('HDEL', parent_key .. ':failed', child) == 1 then
            try('SADD', parent_key .. ':dependencies', child)
        end
    elseif try('HDEL', parent_key .. ':processed', child) == 1 then
        try('SADD', parent_key .. ':dependencies', child)
    end
end
