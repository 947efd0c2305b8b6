-- Finds queues with work that no marker announces: jobs that are ready or due. A queue that does
-- not exist is also found, so that the worker creates it again.
-- ARGV: for each queue the prefix of its keys.
-- Returns: the indexes of these queues, from 0.
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
