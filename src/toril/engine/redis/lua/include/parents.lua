-- Parents, which may be in other queues: a job tells its parent how it ended.

local function tell_ready(queue, id)
    local limits = call('HMGET', queue .. ':meta', 'paused', 'concurrency')
    local full = limits[2] and call('LLEN', queue .. ':active') >= tonumber(limits[2])
    if not limits[1] and not full then
        call('ZADD', queue .. ':marker', 0, '0')
    end
    call('XADD', queue .. ':events', '*', 'event', 'waiting', 'jobId', id,
         'prev', 'waiting-children')
end

local function ready_parent(queue, id, key)
    local job = call('HMGET', key, 'priority', 'delay')
    local priority, delay = tonumber(job[1]) or 0, tonumber(job[2]) or 0
    if delay > 0 then
        local due = NOW + delay
        call('ZADD', queue .. ':delayed', due * 0x1000, id)
        call('XADD', queue .. ':events', '*', 'event', 'delayed', 'jobId', id, 'delay', due)
        local first = call('ZRANGE', queue .. ':delayed', 0, 0, 'WITHSCORES')
        call('ZADD', queue .. ':marker', math.floor(tonumber(first[2]) / 0x1000), '1')
        return
    end
    if priority > 0 then
        local turn = call('INCR', queue .. ':pc') % 0x100000000
        call('ZADD', queue .. ':prioritized', priority * 0x100000000 + turn, id)
    else
        call('RPUSH', queue .. ':wait', id)
    end
    tell_ready(queue, id)
end

local function ready_waiting_parent(queue, id, key)
    if call('ZREM', queue .. ':waiting-children', id) == 1 and call('EXISTS', key) == 1 then
        ready_parent(queue, id, key)
    end
end

-- Where a parent is: its queue, its id, and how it takes the failure of this child.
local function parent_of(key, described)
    if described then
        local parent = cjson.decode(described)
        return parent.queueKey, parent.id, parent
    end
    local queue, id = string.match(key, '^(.*):([^:]+)$')
    return queue, id, {}
end

local function child_completed(child, parent_key, described, result)
    local queue, id = parent_of(parent_key, described)
    if call('SREM', parent_key .. ':dependencies', child) == 1 then
        call('HSET', parent_key .. ':processed', child, result)
        if call('SCARD', parent_key .. ':dependencies') == 0 then
            ready_waiting_parent(queue, id, parent_key)
        end
    end
end

local function fail_parent(queue, id, key, child)
    if call('EXISTS', key) == 0 then
        return
    end
    local reason = 'child ' .. child .. ' failed'
    local waits = call('ZREM', queue .. ':waiting-children', id) == 1
    if not waits and call('ZREM', queue .. ':delayed', id) == 1 then
        call('HSET', key, 'delay', 0)
        waits = true
    end
    if waits then
        call('HSET', key, 'defa', reason)
        ready_parent(queue, id, key)
    elseif not call('ZSCORE', queue .. ':failed', id) then
        call('HSET', key, 'defa', reason)
    end
end

local function child_failed(child, parent_key, described, reason)
    local queue, id, how = parent_of(parent_key, described)
    if not (how.fpof or how.cpof or how.idof or how.rdof)
        or call('SREM', parent_key .. ':dependencies', child) == 0 then
        return
    end
    if how.fpof then
        call('ZADD', parent_key .. ':unsuccessful', NOW, child)
        fail_parent(queue, id, parent_key, child)
    elseif how.cpof then
        call('HSET', parent_key .. ':failed', child, reason)
        ready_waiting_parent(queue, id, parent_key)
    else
        if call('SCARD', parent_key .. ':dependencies') == 0 then
            ready_waiting_parent(queue, id, parent_key)
        end
        if how.idof then
            call('HSET', parent_key .. ':failed', child, reason)
        end
    end
end

-- A child that is removed is waited for no more.
local function child_removed(child, parent_key)
    if call('SREM', parent_key .. ':dependencies', child) == 1
        and call('SCARD', parent_key .. ':dependencies') == 0 then
        local queue, id = parent_of(parent_key)
        if call('ZREM', queue .. ':waiting-children', id) == 1 then
            call('RPUSH', queue .. ':wait', id)
            tell_ready(queue, id)
        end
    end
end

-- A child that ended is run again: its parent waits for it as before.
local function child_runs_again(child, parent_key, prev)
    if call('EXISTS', parent_key) == 0 then
        return
    end
    if prev == 'failed' then
        if call('ZREM', parent_key .. ':unsuccessful', child) == 1
            or call('HDEL', parent_key .. ':failed', child) == 1 then
            call('SADD', parent_key .. ':dependencies', child)
        end
    elseif call('HDEL', parent_key .. ':processed', child) == 1 then
        call('SADD', parent_key .. ':dependencies', child)
    end
end
