-- Forgets producers that have added nothing for a day: all of them over time, some in each run.
-- Inserted where it is to happen.

-- constant: PRODUCER_IDLE_MS
-- constant: PRODUCERS_CHECKED

local some, idle = call('HRANDFIELD', PRODUCERS, PRODUCERS_CHECKED, 'WITHVALUES'), {}
for n = 1, #some, 2 do
    local seen = tonumber(string.match(some[n + 1], '%d+$'))
    if not seen or math.abs(NOW - seen) > PRODUCER_IDLE_MS then
        idle[#idle + 1] = some[n]
    end
end
in_pieces('HDEL', PRODUCERS, idle)
