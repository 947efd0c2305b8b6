-- Removes a part of the jobs that wait, then of the delayed if asked, but none that carries a
-- schedule on.
-- ARGV: 1 the delayed, too ("1"); 2 how many at most.
-- Returns: how many were removed.
-- flags: allow-oom
-- include: queue
-- include: here
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: schedules

local missing = missing_queue()
if missing then return missing end
local MOST = tonumber(ARGV[2])
local removed = 0

local function remove(ids, prev)
    for _, id in ipairs(ids) do
        forget(HERE, id, true)
        emit(HERE, 'removed', 'jobId', id, 'prev', prev)
    end
    removed = removed + #ids
end

-- Jobs that carry a schedule stay: so many are looked at beyond those that may go.
local CARRIERS = call('ZCARD', SCHEDULES)

local function that_may_go(ids)
    local found = {}
    for _, id in ipairs(ids) do
        if #found < MOST - removed and not carries_schedule(id) then
            found[#found + 1] = id
        end
    end
    return found
end

local function drain_list(list, prev)
    local ids = call('LRANGE', list, -MOST - CARRIERS, -1)
    local going = that_may_go(ids)
    if #going == #ids then
        call('LTRIM', list, 0, -#ids - 1)
    else
        for _, id in ipairs(going) do
            call('LREM', list, -1, id)
        end
    end
    remove(going, prev)
end

local function drain_set(set, prev)
    local going = that_may_go(call('ZRANGE', set, 0, MOST - removed + CARRIERS - 1))
    in_pieces('ZREM', set, going)
    remove(going, prev)
end

drain_list(WAIT, 'wait')
if removed < MOST then drain_list(JOB .. 'paused', 'wait') end  -- an old BullMQ's
if removed < MOST then drain_set(PRIORITIZED, 'prioritized') end
if removed == 0 and ARGV[1] == '1' then drain_set(DELAYED, 'delayed') end
if removed > 0 then trim_events(HERE) end
return removed
