-- Counters per minute: BullMQ's data points, and Toril's own.

local MINUTE = math.floor(NOW / 60000)
-- constant: KEPT_MINUTES

-- Adds to Toril's hash of the minute. Returns whether this is the counter's first in the minute.
local function count(name, n)
    local key = OWN .. 'minute:' .. MINUTE
    if call('HINCRBY', key, name, n) == n then
        call('PEXPIRE', key, KEPT_MINUTES * 60000)
        return true
    end
    return false
end

-- Counts jobs that ended. BullMQ pushes a data point when the first job of a later minute ends.
local function count_ended(kind, n)
    local key = JOB .. 'metrics:' .. kind
    local before = call('HINCRBY', key, 'count', n) - n
    if not count(kind, n) then
        return
    end
    local last = call('HMGET', key, 'prevTS', 'prevCount')
    if not last[1] then
        call('HSET', key, 'prevTS', NOW, 'prevCount', 0)
        return
    end
    local minutes = math.min(MINUTE - math.floor(last[1] / 60000), KEPT_MINUTES)
    if minutes < 1 then
        return
    end
    local points = {before - last[2]}
    for place = 2, minutes do
        points[place] = 0
    end
    in_pieces('LPUSH', key .. ':data', points)
    call('LTRIM', key .. ':data', 0, KEPT_MINUTES - 1)
    call('HSET', key, 'prevCount', before, 'prevTS', NOW)
end
