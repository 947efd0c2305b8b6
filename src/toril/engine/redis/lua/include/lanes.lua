-- Limits by key. The jobs of a key stand in a lane, and the lanes take turns.
--
-- A job in a lane stands in `prioritized` still, where BullMQ finds it, at a score below zero:
-- what is in no lane yet is told from that, and what somebody took away is missed there.
-- A lane that has jobs is in one of three: the ring of those whose turn comes, those that rest
-- until their rate allows, those that have as many jobs running as they may.

local RING, RESTING, FULL = OWN .. 'ring', OWN .. 'resting', OWN .. 'full'
local RUNNING, TURN = OWN .. 'running', OWN .. 'turn'
local LANE, LOAD, RATE = OWN .. 'lane:', OWN .. 'load:', OWN .. 'rate:'
local LANE_STEP = 2 ^ 31  -- between two priorities; 2^32 would leave no room below zero
local IN_LANES = 2 ^ 53   -- what a place is moved by to be a score

local function join_ring(key)
    call('ZADD', RING, call('INCR', TURN), key)
end

-- A job of a key does not run any more. Returns the place that it had in its lane, if it did
-- run, and whether that lets another one run.
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

-- Lets all lanes be looked at again: their limits are new.
local function rejoin_all()
    for _, key in ipairs(call('ZRANGE', RESTING, 0, -1)) do join_ring(key) end
    for _, key in ipairs(call('SMEMBERS', FULL)) do join_ring(key) end
    call('DEL', RESTING, FULL)
end

-- Forgets which job is of which key.
local function clear_lanes()
    local keys = {RING, RESTING, FULL, RUNNING, TURN}
    local function add(key)
        for _, kind in ipairs({LANE, LOAD, RATE}) do
            keys[#keys + 1] = kind .. key
        end
    end
    for _, key in ipairs(call('ZRANGE', RING, 0, -1)) do add(key) end
    for _, key in ipairs(call('ZRANGE', RESTING, 0, -1)) do add(key) end
    for _, key in ipairs(call('SMEMBERS', FULL)) do add(key) end
    for _, record in ipairs(call('HVALS', RUNNING)) do add(string.match(record, ' (.*)$')) end
    in_pieces('DEL', nil, keys)
end
