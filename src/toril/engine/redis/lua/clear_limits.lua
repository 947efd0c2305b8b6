-- Removes a queue's limits, and puts a part of the jobs in lanes back in line.
-- ARGV: 1 how many jobs at most.
-- Returns: how many jobs were put back, or how many lanes were removed if they are more.
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: lanes

local missing = missing_queue()
if missing then return missing end
call('HDEL', META, 'concurrency', 'max', 'duration')
local cleared = clear_lanes(CHUNK)
call('DEL', LIMITS, OWN .. 'rate')
local sorted = call('ZRANGEBYSCORE', PRIORITIZED, '-inf', '(0', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local scores = {}
for n = 1, #sorted, 2 do
    local place = sorted[n + 1] + IN_LANES
    local priority = math.floor(place / LANE_STEP)
    scores[n] = string.format('%.0f', priority * 2 ^ 32 + place % LANE_STEP)
    scores[n + 1] = sorted[n]
end
in_pieces('ZADD', PRIORITIZED, scores)
if call('LLEN', WAIT) + call('ZCARD', PRIORITIZED) > 0 and not is_closed(HERE) then mark(HERE) end
return math.max(#sorted / 2, cleared)
