-- Removes finished jobs that are past their age, and forgets some of the idle producers.
-- ARGV: 1 how many jobs at most.
-- Returns: how many were checked; how many were removed.
-- flags: allow-oom
-- include: queue
-- include: here
-- include: events
-- include: ready
-- include: parents
-- include: forget

local EXPIRING = OWN .. 'expiring'
local removed = 0
local due = call('ZRANGEBYSCORE', EXPIRING, '-inf', NOW, 'LIMIT', 0, ARGV[1])
for _, noted in ipairs(due) do
    local ended, id = string.match(noted, '^(%d+):(.*)$')
    for _, set in ipairs({COMPLETED, FAILED}) do
        -- It may have run again since, and ended at another time.
        if call('ZSCORE', set, id) == ended then
            call('ZREM', set, id)
            forget(HERE, id)
            removed = removed + 1
        end
    end
end
in_pieces('ZREM', EXPIRING, due)
do
    -- insert: producers
end
return {#due, removed}
