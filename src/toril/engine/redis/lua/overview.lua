-- Reads many queues at once: settings, counts, and the sums of their counters.
-- ARGV: 1 the window over which counters are summed (ms before now); for each queue: the prefix of
--   its keys, and the prefix of Toril's own keys.
-- Returns: for each queue: nil if it does not exist, else: its meta; its limits that BullMQ does
--   not support; how many jobs are waiting, prioritized, delayed, waiting for children, active,
--   completed, failed; name and sum of each counter over the minutes that began in the window.
-- include: queue

local FIRST, LAST = math.floor((NOW - ARGV[1]) / 60000) + 1, math.floor(NOW / 60000)

local function sums_of(own)
    local sums, found = {}, {}
    for minute = FIRST, LAST do
        local counters = call('HGETALL', own .. 'minute:' .. minute)
        for n = 1, #counters, 2 do
            sums[counters[n]] = (sums[counters[n]] or 0) + counters[n + 1]
        end
    end
    for name, number in pairs(sums) do
        found[#found + 1], found[#found + 2] = name, number
    end
    return found
end

local function overview_of(base, own)
    local meta = call('HGETALL', base .. 'meta')
    if #meta == 0 then
        return false
    end
    return {
        meta, call('HGETALL', own .. 'limits'),
        {
            call('LLEN', base .. 'wait') + call('LLEN', base .. 'paused'),
            call('ZCARD', base .. 'prioritized'), call('ZCARD', base .. 'delayed'),
            call('ZCARD', base .. 'waiting-children'), call('LLEN', base .. 'active'),
            call('ZCARD', base .. 'completed'), call('ZCARD', base .. 'failed'),
        },
        sums_of(own),
    }
end

local found = {}
for n = 2, #ARGV, 2 do
    found[#found + 1] = overview_of(ARGV[n], ARGV[n + 1])
end
return found
