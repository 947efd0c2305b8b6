-- Putting jobs into lanes, and taking them out in turn.
-- needs: lanes, rates

local PIECE, PIECES_BYTES, SORTED_AT_ONCE = 32, 1000000, CHUNK

local rule = call('HMGET', LIMITS, 'by', 'key_max', 'key_per', 'key_burst', 'key_concurrency')
local FIELD = rule[1]
local IS_PLAIN = FIELD and string.find(FIELD, '^[%w_.-]+$')  -- has only one spelling in JSON
local KEY_MAX, KEY_PER, KEY_BURST = tonumber(rule[2]), tonumber(rule[3]), tonumber(rule[4])
local KEY_CONCURRENCY = tonumber(rule[5])

-- Returns the value of the limits' field in JSON text as a key, or nil if there is none.
-- inside: look for the field in this member of the JSON object.
local function key_in(text, inside)
    if (inside or IS_PLAIN) and not string.find(text, '"' .. (inside or FIELD) .. '"', 1, true) then
        return nil
    end
    local known, value = pcall(cjson.decode, text)
    if known and inside then
        value = type(value) == 'table' and value[inside]
    end
    if not known or type(value) ~= 'table' then
        return nil
    end
    value = value[FIELD]
    if type(value) == 'number' then
        return string.format(value % 1 == 0 and '%.0f' or '%.14g', value)
    end
    if type(value) == 'string' or type(value) == 'boolean' then
        return tostring(value)
    end
end

-- Returns some of the ready jobs that are not in a lane yet.
local function unsorted()
    local ids = call('LRANGE', WAIT, -PIECE, -1)
    if #ids == 0 then
        return call('ZRANGEBYSCORE', PRIORITIZED, 0, '+inf', 'LIMIT', 0, PIECE)
    end
    call('LTRIM', WAIT, 0, -#ids - 1)
    local found = {}
    for n = #ids, 1, -1 do
        found[#found + 1] = ids[n]
    end
    return found
end

local function has_unsorted()
    return call('LLEN', WAIT) > 0 or call('ZCOUNT', PRIORITIZED, 0, '+inf') > 0
end

local function enter_lane(id, job)
    local key = key_in(job[2] or '', 'metadata') or key_in(job[1]) or ''
    local place = unload(id) or (tonumber(job[3]) or 0) * LANE_STEP + call('INCR', TURN)
    call('HDEL', RUNNING, id)
    call('ZADD', PRIORITIZED, string.format('%.0f', place - IN_LANES), id)
    call('ZADD', LANE .. key, string.format('%.0f', place), id)
    if not call('ZSCORE', RING, key) and not call('ZSCORE', RESTING, key)
        and call('SISMEMBER', FULL, key) == 0 then
        join_ring(key)
    end
end

-- Puts ready jobs into their lanes; returns whether any are left.
local function sort()
    local sorted, bytes = 0, 0
    while sorted < SORTED_AT_ONCE and bytes < PIECES_BYTES do
        local ids = unsorted()
        if #ids == 0 then
            return false
        end
        for _, id in ipairs(ids) do
            local job = call('HMGET', JOB .. id, 'data', 'opts', 'priority')
            if job[1] then
                enter_lane(id, job)
                bytes = bytes + #job[1]
            else  -- removed by another client, or an old BullMQ's marker
                call('ZREM', PRIORITIZED, id)
            end
        end
        sorted = sorted + #ids
    end
    return has_unsorted()
end

local function rejoin_rested()
    local function rejoin(least, most)
        for _, key in ipairs(call('ZRANGEBYSCORE', RESTING, least, most, 'LIMIT', 0, CHUNK)) do
            call('ZREM', RESTING, key)
            join_ring(key)
        end
    end
    rejoin('-inf', NOW)
    -- from before the clock was set back
    rejoin('(' .. NOW + (KEY_PER or 0) + CLOCK_SLACK_MS, '+inf')
end

-- Returns whether a key's limits hold back its next job; if so, its lane becomes full or rests.
local function is_held_back(key)
    if key == '' then
        return false
    end
    if KEY_CONCURRENCY and call('SCARD', LOAD .. key) >= KEY_CONCURRENCY then
        call('SADD', FULL, key)
        return true
    end
    if KEY_MAX then
        local left, until_when = left_of(RATE .. key, KEY_MAX, KEY_PER, KEY_BURST)
        if left < 1 then
            call('ZADD', RESTING, until_when, key)
            return true
        end
    end
    return false
end

local function first_of(key)
    while true do
        local found = call('ZPOPMIN', LANE .. key)
        if not found[1] then
            return nil
        end
        if call('ZREM', PRIORITIZED, found[1]) == 1 then
            return found[1], found[2]
        end
        -- another client took or moved it
    end
end

-- Takes ids out of the lanes, one per lane in turn.
local function pick_in_turn(most)
    local ids = {}
    rejoin_rested()
    while #ids < most do
        local key = call('ZPOPMIN', RING)[1]
        if not key then
            break
        end
        if call('EXISTS', LANE .. key) == 1 and not is_held_back(key) then
            local id, place = first_of(key)
            if id then
                ids[#ids + 1] = id
                call('HSET', RUNNING, id, place .. ' ' .. key)
                if key ~= '' then
                    if KEY_CONCURRENCY then call('SADD', LOAD .. key, id) end
                    if KEY_MAX then spend(RATE .. key, KEY_MAX, KEY_PER, KEY_BURST, 1) end
                end
                join_ring(key)
            end
        end
    end
    return ids
end

-- Returns whether a fetch would find a job, in a lane or not yet in one.
local function has_ready()
    return call('EXISTS', RING) == 1 or has_unsorted()
end

-- Returns when the first resting lane may continue.
local function rested_at()
    local first = call('ZRANGE', RESTING, 0, 0, 'WITHSCORES')
    return first[2] and tonumber(first[2])
end
