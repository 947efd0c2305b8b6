-- Creates or changes a schedule, and replaces its pending job with the next one.
-- ARGV: 1 its id; 2 when its next job is due (ms); 3 the interval, 4 the start, 5 the end and 6 the
--   offset (ms, each may be empty); 7 the jobs' name; 8 their data; 9 options of the next job
--   (JSON, without those that depend on its time); 10 priority; 11 lifo (0, 1); then further fields
--   of its hash, as pairs of field and value.
-- Returns: when its next job is due, and 1; or a time that already has a job, and 0 if therefore
--   nothing was done.
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: find
-- include: store
-- include: schedules
-- include: schedule_turn

local SCHEDULE, EVERY, START, END, OFFSET = ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local KEY = JOB .. 'repeat:' .. SCHEDULE
local before = call('HMGET', KEY, 'every', 'startDate', 'offset', 'ic')
local last = call('ZSCORE', SCHEDULES, SCHEDULE)
local pending = last and string.format('repeat:%s:%s', SCHEDULE, last)
local state, _, set
if pending then
    state, _, set = state_of(HERE, pending)
end
local is_pending = state == 'delayed' or state == 'waiting' or state == 'prioritized'

-- Returns the next time of an unchanged interval; nil if the interval starts over.
local function kept_time()
    if not last or before[1] ~= EVERY or (before[2] or '') ~= START
        or (OFFSET ~= '' and last % EVERY ~= tonumber(OFFSET)) then
        return nil
    end
    local due = tonumber(last)
    if due > NOW + EVERY then
        return nil  -- the clock was set back
    end
    if not is_pending then
        due = due + EVERY
        if due < NOW then
            due = NOW + EVERY - (NOW - due) % EVERY
        end
    end
    return (END == '' or due <= tonumber(END)) and due or nil
end

local due = math.max(tonumber(ARGV[2]), NOW)
if EVERY ~= '' then
    due = kept_time() or due
end
local function is_taken(time)
    local id = string.format('repeat:%s:%d', SCHEDULE, time)
    return call('EXISTS', JOB .. id) == 1 and not (is_pending and id == pending)
end
local tries = 0
while EVERY ~= '' and is_taken(due) and tries < 1000 do
    due, tries = due + EVERY, tries + 1
end
if is_taken(due) then
    return {due, 0}
end

if is_pending then
    take_out(HERE, pending, state, set)
    forget(HERE, pending, true)
end
local offset = EVERY ~= '' and {'offset', due % EVERY} or {}
call('DEL', KEY)
call('HSET', KEY, 'name', ARGV[7], 'ic', before[4] or 1, unpack(ARGV, 12))
if offset[1] then call('HSET', KEY, unpack(offset)) end
add_turn(SCHEDULE, due, ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10]), ARGV[11] == '1')
return {due, 1}
