-- Counters by the minute: BullMQ's points, and our own.

local MINUTE = math.floor(NOW / 60000)
local KEPT_MINUTES = 20160  -- two weeks

-- Our own hash of the minute. `counts` is name, number, name, number, …
local function count(counts)
    local key = OWN .. 'minute:' .. MINUTE
    local total
    for place = 1, #counts, 2 do
        if counts[place + 1] ~= 0 then
            total = call('HINCRBY', key, counts[place], counts[place + 1])
            if total == counts[place + 1] then
                call('PEXPIRE', key, KEPT_MINUTES * 60000)
            end
        end
    end
end

-- BullMQ's: a point is pushed when the first job of a later minute ends.
local function add_points(kind, n)
    local key = JOB .. 'metrics:' .. kind
    local before = call('HINCRBY', key, 'count', n) - n
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
    in_pieces(points, function(...) call('LPUSH', key .. ':data', ...) end)
    call('LTRIM', key .. ':data', 0, KEPT_MINUTES - 1)
    call('HSET', key, 'prevCount', before, 'prevTS', NOW)
end
