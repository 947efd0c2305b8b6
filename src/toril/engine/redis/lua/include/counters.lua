-- Counters by the minute: BullMQ's points, and our own.

local MINUTE = math.floor(NOW / 60000)
-- constant: KEPT_MINUTES

-- Our own hash of the minute. Returns whether it is the first of its name in this minute.
local function count(name, n)
    local key = OWN .. 'minute:' .. MINUTE
    if call('HINCRBY', key, name, n) == n then
        call('PEXPIRE', key, KEPT_MINUTES * 60000)
        return true
    end
    return false
end

-- Jobs that ended: BullMQ pushes a point when the first job of a later minute ends.
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
