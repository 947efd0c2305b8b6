-- Removes a schedule and its pending job.
-- ARGV: its id.
-- Returns: 1 if it existed, else 0.
-- flags: allow-oom
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: find
-- include: schedules

local missing = missing_queue()
if missing then return missing end
local SCHEDULE = ARGV[1]
local due = call('ZSCORE', SCHEDULES, SCHEDULE)
local pending = due and string.format('repeat:%s:%s', SCHEDULE, due)
local state, _, set
if pending then
    state, _, set = state_of(HERE, pending)
end
if state == 'delayed' or state == 'waiting' or state == 'prioritized' then
    take_out(HERE, pending, state, set)
    forget(HERE, pending, true)
    emit(HERE, 'removed', 'jobId', pending, 'prev', state == 'waiting' and 'wait' or state)
end
call('DEL', JOB .. 'repeat:' .. SCHEDULE)
return call('ZREM', SCHEDULES, SCHEDULE)
