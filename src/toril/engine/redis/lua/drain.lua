-- Removes a part of the jobs that wait, then of the delayed if asked.
-- ARGV: 1 the delayed, too ("1"); 2 how many at most.
-- Returns: how many were removed.
-- flags: allow-oom
-- include: queue
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: scheduled

local missing = missing_queue()
if missing then return missing end
local MOST = tonumber(ARGV[2])
local removed = 0

local function remove(ids, prev)
    for _, id in ipairs(ids) do
        forget(id, true)
        emit('removed', 'jobId', id, 'prev', prev)
    end
    removed = removed + #ids
end

local waiting = call('LRANGE', WAIT, -MOST, -1)
call('LTRIM', WAIT, 0, -#waiting - 1)
remove(waiting, 'wait')
if removed < MOST then
    local popped, ids = call('ZPOPMIN', PRIORITIZED, MOST - removed), {}
    for n = 1, #popped, 2 do
        ids[#ids + 1] = popped[n]
    end
    remove(ids, 'prioritized')
end
if removed == 0 and ARGV[1] == '1' then
    local ids = {}
    for _, id in ipairs(call('ZRANGE', DELAYED, 0, MOST + call('ZCARD', JOB .. 'repeat'))) do
        if not carries_schedule(id) then
            ids[#ids + 1] = id
        end
    end
    in_pieces(ids, function(...) call('ZREM', DELAYED, ...) end)
    remove(ids, 'delayed')
end
if removed > 0 then trim_events() end
return removed
