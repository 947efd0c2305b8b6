-- Removes old jobs from a part of a state.
-- ARGV: 1 the state; 2 the minimum age (ms); 3 how many to remove at most; 4 how many of the oldest
--   to skip; 5 how many to check.
-- Returns: how many to skip next time (-1: all were checked), then the removed ids.
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
local STATE, BEFORE = ARGV[1], NOW - ARGV[2]
local MOST, SKIP, CHECK = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- BullMQ 5 renames the list of ready jobs while a queue is paused.
local LIST = call('LLEN', WAIT) > 0 and WAIT or JOB .. 'paused'
local SET = ({
    completed = COMPLETED, failed = FAILED, delayed = DELAYED, prioritized = PRIORITIZED,
    ['waiting-children'] = CHILDREN,
})[STATE]
local finished = STATE == 'completed' or STATE == 'failed'

local ids
if finished then
    ids = call('ZRANGEBYSCORE', SET, '-inf', BEFORE, 'LIMIT', 0, math.min(MOST, CHECK))
elseif SET then
    ids = call('ZRANGE', SET, SKIP, SKIP + CHECK - 1)
else
    local found = call('LRANGE', LIST, -SKIP - CHECK, -SKIP - 1)
    ids = {}
    for n = #found, 1, -1 do
        ids[#ids + 1] = found[n]
    end
end

local old, checked = {}, 0
for _, id in ipairs(ids) do
    if #old == MOST or searched > MOST_SEARCHED then
        break
    end
    if not SET then searched = searched + SKIP + checked - #old end
    checked = checked + 1
    local added = finished and 0 or whole(try('HGET', JOB .. id, 'timestamp'))
    if added <= BEFORE and (finished or not is_pending_job(id)) then
        old[#old + 1] = id
    end
end
if SET then
    in_pieces('ZREM', SET, old)
else
    for _, id in ipairs(old) do
        call('LREM', LIST, -1, id)
    end
end
for _, id in ipairs(old) do
    forget(HERE, id, true)
    emit(HERE, 'removed', 'jobId', id, 'prev', STATE == 'waiting' and 'wait' or STATE)
end
if #old > 0 then
    emit(HERE, 'cleaned', 'count', #old)
end
local ended = checked == #ids and #ids < (finished and math.min(MOST, CHECK) or CHECK)
return {ended and -1 or SKIP + checked - #old, unpack(old)}
