-- Changes a job that has not finished.
-- ARGV: 1 its id; 2 its new priority, or empty; 3 its new delay from now (ms), or empty; 4 "1" if
--   its data changes; 5 its new data (JSON).
-- Returns: nil, or the state that does not allow the change; "missing" if the job does not exist.
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: find

local missing = missing_queue()
if missing then return missing end
local id = ARGV[1]
local key = JOB .. id
local state, _, set = state_of(HERE, id)
if not state then return 'missing' end
if state == 'completed' or state == 'failed' then return state end
local moves = ARGV[2] ~= '' or ARGV[3] ~= ''
if moves and (state == 'active' or state == 'waiting-children') then return state end
if ARGV[4] == '1' then
    call('HSET', key, 'data', ARGV[5])
end
local priority = whole(call('HGET', key, 'priority'))
if ARGV[2] ~= '' then
    priority = tonumber(ARGV[2])
    call('HSET', key, 'priority', priority)
end
if ARGV[3] ~= '' and tonumber(ARGV[3]) > 0 then
    take_out(HERE, id, state, set)
    local due = NOW + ARGV[3]
    call('HSET', key, 'delay', ARGV[3])
    delay_until(HERE, id, due)
    emit(HERE, 'delayed', 'jobId', id, 'delay', due)
    mark_due(HERE)
elseif moves and not (ARGV[3] == '' and state == 'delayed') then
    take_out(HERE, id, state, set)
    if state == 'delayed' then call('HSET', key, 'delay', 0) end
    push(HERE, id, priority)
    if not is_closed(HERE) then mark(HERE) end
end
emit(HERE, 'changed', 'jobId', id)
