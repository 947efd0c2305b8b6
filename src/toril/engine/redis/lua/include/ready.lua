-- Putting jobs where workers find them.

local function mark()
    call('ZADD', MARKER, 0, '0')
end

-- Whether workers may take nothing: the queue is paused, or as many run as may.
local function is_closed()
    local limits = call('HMGET', META, 'paused', 'concurrency')
    if limits[1] then
        return true
    end
    return limits[2] and call('LLEN', ACTIVE) >= tonumber(limits[2])
end

local function next_due()
    local first = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
    return first[2] and math.floor(tonumber(first[2]) / 0x1000)
end

local function mark_due()
    local due = next_due()
    if due then
        call('ZADD', MARKER, due, '1')
    end
end

-- Of jobs that are due in the same millisecond the first is the first: a counter of 12 bits.
local function due_score(due)
    local least, most = due * 0x1000, due * 0x1000 + 0xFFF
    local last = call('ZREVRANGEBYSCORE', DELAYED, most, least, 'WITHSCORES', 'LIMIT', 0, 1)
    return last[2] and math.min(tonumber(last[2]) + 1, most) or least
end

local function delay_until(id, due)
    call('ZADD', DELAYED, due_score(due), id)
end

-- Behind those of its priority.
local function push(id, priority)
    if priority > 0 then
        local turn = call('INCR', PC) % 0x100000000
        call('ZADD', PRIORITIZED, priority * 0x100000000 + turn, id)
    else
        call('LPUSH', WAIT, id)
    end
end

-- Whether a job's options say that it goes before those that wait.
local function is_lifo(opts)
    return opts and string.find(opts, '"lifo":true', 1, true) and cjson.decode(opts).lifo == true
end

-- Of a job that is to run again: as when it was added, but behind those of its priority.
local function push_again(id, priority, opts)
    if priority == 0 and is_lifo(opts) then
        call('RPUSH', WAIT, id)
    else
        push(id, priority)
    end
end

-- Before those of its priority.
local function push_first(id, priority)
    if priority > 0 then
        call('ZADD', PRIORITIZED, priority * 0x100000000, id)
    else
        call('RPUSH', WAIT, id)
    end
end
