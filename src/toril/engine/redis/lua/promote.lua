-- Makes delayed jobs ready.
-- ARGV: the ids.
-- Returns: the ids of those that were delayed.
-- include: queue
-- include: here
-- include: events
-- include: ready

local missing = missing_queue()
if missing then return missing end
local promoted = {}
for _, id in ipairs(ARGV) do
    if call('ZREM', DELAYED, id) == 1 then
        push(HERE, id, tonumber(call('HGET', JOB .. id, 'priority')) or 0)
        call('HSET', JOB .. id, 'delay', 0)
        emit(HERE, 'waiting', 'jobId', id, 'prev', 'delayed')
        promoted[#promoted + 1] = id
    end
end
if #promoted > 0 then
    trim_events(HERE)
    if not is_closed(HERE) then mark(HERE) end
end
return promoted
