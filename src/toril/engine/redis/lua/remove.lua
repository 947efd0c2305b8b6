-- Removes jobs that are not active.
-- ARGV: their ids.
-- Returns: the ids of those that were removed.
-- flags: allow-oom
-- include: queue
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: find
-- include: scheduled

local missing = missing_queue()
if missing then return missing end
local removed = {}
for _, id in ipairs(ARGV) do
    local state, _, set = state_of(id)
    if state and state ~= 'active' and not (state == 'delayed' and carries_schedule(id)) then
        take_out(id, state, set)
        forget(id, true)
        emit('removed', 'jobId', id, 'prev', state == 'waiting' and 'wait' or state)
        removed[#removed + 1] = id
    end
end
if #removed > 0 then trim_events() end
return removed
