-- ARGV: 1 since when (ms before now).
-- Returns: the sum of each counter over the minutes that began since: name, number, …
-- include: queue

local missing = missing_queue()
if missing then return missing end
local sums, found = {}, {}
for minute = math.floor((NOW - ARGV[1]) / 60000) + 1, math.floor(NOW / 60000) do
    local counters = call('HGETALL', OWN .. 'minute:' .. minute)
    for n = 1, #counters, 2 do
        sums[counters[n]] = (sums[counters[n]] or 0) + counters[n + 1]
    end
end
for name, number in pairs(sums) do
    found[#found + 1], found[#found + 2] = name, number
end
return found
