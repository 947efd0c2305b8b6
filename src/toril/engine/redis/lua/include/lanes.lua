-- Limits by key. The ready jobs of a key form a lane, and the lanes take turns.
--
-- A job in a lane is also in `prioritized`, where BullMQ finds it, with a score below zero. The
-- score tells it from jobs that are not in a lane yet, and a missing entry shows that another
-- client took the job.
-- A lane with jobs is in one of three places: in the ring of lanes that take turns, among the lanes
-- that rest until their rate limit allows more, or among the full ones, which have as many jobs
-- running as allowed.

local RING, RESTING, FULL = OWN .. 'ring', OWN .. 'resting', OWN .. 'full'
local RUNNING, TURN = OWN .. 'running', OWN .. 'turn'
local LANE, LOAD, RATE = OWN .. 'lane:', OWN .. 'load:', OWN .. 'rate:'
local LANE_STEP = 2 ^ 31  -- between two priorities; 2^32 would leave no room below zero
local IN_LANES = 2 ^ 53   -- subtracted from a place in a lane to get the score

local function join_ring(key)
    call('ZADD', RING, call('INCR', TURN), key)
end

-- Stops counting a job as running for its key. Returns the place that it had in its lane, if it was
-- running, and whether another job of the key may run now.
local function unload(id)
    local record = call('HGET', RUNNING, id)
    if not record then
        return nil, false
    end
    local place, key = string.match(record, '^(%d+) (.*)$')
    if call('SREM', LOAD .. key, id) == 1 and call('SREM', FULL, key) == 1 then
        join_ring(key)
        return tonumber(place), true
    end
    return tonumber(place), false
end

-- Puts all lanes back into the ring, because their limits have changed.
local function rejoin_all()
    for _, key in ipairs(call('ZRANGE', RESTING, 0, -1)) do join_ring(key) end
    for _, key in ipairs(call('SMEMBERS', FULL)) do join_ring(key) end
    call('DEL', RESTING, FULL)
end

-- Removes some lanes and what is counted for their keys. Returns how many; less than asked for once
-- all are gone.
local function clear_lanes(most)
    local keys, found = {}, call('ZRANGE', RING, 0, most - 1)
    in_pieces('ZREM', RING, found)
    for _, place in ipairs({RESTING, FULL}) do
        if #found < most then
            local is_set = place == FULL
            local some = call(is_set and 'SPOP' or 'ZPOPMIN', place, most - #found)
            for n = 1, #some, is_set and 1 or 2 do found[#found + 1] = some[n] end
        end
    end
    if #found < most then
        for _, record in ipairs(call('HVALS', RUNNING)) do
            found[#found + 1] = string.match(record, ' (.*)$')
        end
        call('UNLINK', RUNNING, TURN)
    end
    for _, key in ipairs(found) do
        keys[#keys + 1], keys[#keys + 2], keys[#keys + 3] = LANE .. key, LOAD .. key, RATE .. key
    end
    in_pieces('UNLINK', nil, keys)
    return math.min(#found, most)
end
