-- Removes a part of the waiting jobs, then of the delayed ones if requested, but not schedules'
-- pending jobs.
-- ARGV: 1 "1" to remove delayed jobs too; 2 how many at most.
-- Returns: how many were removed.
-- flags: allow-oom
-- include: queue
-- include: checks
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

-- Schedules' pending jobs stay, so this many more jobs are checked than may be removed.
local PENDING = call('ZCARD', SCHEDULES)

local function removable(ids)
    local found = {}
    for _, id in ipairs(ids) do
        if #found < MOST - removed and not is_pending_job(id) then
            found[#found + 1] = id
        end
    end
    return found
end

local function drain_list(list, prev)
    local ids = call('LRANGE', list, -MOST - PENDING, -1)
    local chosen = removable(ids)
    if #chosen == #ids then
        call('LTRIM', list, 0, -#ids - 1)
    else
        for _, id in ipairs(chosen) do
            call('LREM', list, -1, id)
        end
    end
    remove(chosen, prev)
end

local function drain_set(set, prev)
    local chosen = removable(call('ZRANGE', set, 0, MOST - removed + PENDING - 1))
    in_pieces('ZREM', set, chosen)
    remove(chosen, prev)
end

drain_list(WAIT, 'wait')
if removed < MOST then drain_list(JOB .. 'paused', 'wait') end  -- used by old BullMQs
if removed < MOST then drain_set(PRIORITIZED, 'prioritized') end
if removed == 0 and ARGV[1] == '1' then drain_set(DELAYED, 'delayed') end
return removed
