-- Makes delayed jobs ready.
-- ARGV: the ids.
-- Returns: how many it went through, the ids of those that were delayed.
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready

local missing = missing_queue()
if missing then return missing end
local promoted = {#ARGV}
for _, id in ipairs(ARGV) do
    if call('ZREM', DELAYED, id) == 1 then
        push_due(HERE, id)
        promoted[#promoted + 1] = id
    end
end
if #promoted > 1 then
    if not is_closed(HERE) then mark(HERE) end
end
return promoted
