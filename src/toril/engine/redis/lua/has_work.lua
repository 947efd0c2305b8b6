-- Which of many queues have work: jobs that are ready or due, though no marker says so. A queue
-- that is gone counts as well, so that whoever asks creates it again.
-- ARGV: for each queue what stands before the names of its keys.
-- Returns: the places of those queues, from 0.
-- include: queue

local found = {}
for n, base in ipairs(ARGV) do
    local has_work = call('EXISTS', base .. 'wait', base .. 'prioritized') > 0
    if not has_work then
        local first = call('ZRANGE', base .. 'delayed', 0, 0, 'WITHSCORES')
        has_work = first[2] and math.floor(tonumber(first[2]) / 0x1000) <= NOW
    end
    if (has_work and not call('HGET', base .. 'meta', 'paused'))
        or call('EXISTS', base .. 'meta') == 0 then
        found[#found + 1] = n - 1
    end
end
return found
