-- Fails waiting jobs, except schedules' pending jobs, and asks running jobs to stop.
-- ARGV: 1 the reason, 2 the error (JSON, without its attempt and times), 3 the error for event
--   records (JSON), 4 the text in place of a traceback (JSON text); then the ids.
-- Returns: how many it went through, the ids of the failed jobs and of those asked to stop.
-- flags: allow-oom
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: store
-- include: finish
-- include: counters
-- include: find
-- include: schedules

local missing = missing_queue()
if missing then return missing end
local REASON, ERROR, EVENT_ERROR, TRACEBACK = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function fail_waiting(id, state, set)
    local key = JOB .. id
    local job = try('HMGET', key, 'atm', 'errors', 'stacktrace', 'deid', 'parentKey', 'parent',
                    'opts')
    take_out(HERE, id, state, set)
    if job[4] then free_key(id, job[4]) end
    if job[5] and job[5] ~= '' then child_failed(key, job[5], job[6], REASON) end
    local error = string.sub(ERROR, 1, -2) ..
        string.format(',"attempt":%d,"ended_ms":%d}', whole(job[1]) + 1, NOW)
    local stack = string.match(job[3] or '', '^%[(.+)%]$')
    stack = stack and '[' .. stack .. ',' or '['
    try('HSET', key, 'failedReason', REASON, 'finishedOn', NOW, 'delay', 0,
         'errors', job[2] and job[2] .. ',' .. error or error,
         'stacktrace', stack .. TRACEBACK .. ']')
    try('HDEL', key, 'defa')
    call('ZADD', FAILED, NOW, id)
    local keep = decoded(job[7]).removeOnFail
    local age = type(keep) == 'table' and whole((tonumber(keep.age) or 0) * 1000) or 0  -- in s
    if age > 0 then call('ZADD', OWN .. 'expiring', NOW + age, NOW_TEXT .. ':' .. id) end
    emit(HERE, 'failed', 'jobId', id, 'failedReason', REASON, 'prev', state, 'error', EVENT_ERROR)
end

local waiting, active, seen, went = {}, {}, {}, 0
for n = 5, #ARGV do
    if searched > MOST_SEARCHED then
        break
    end
    went = went + 1
    local id = ARGV[n]
    local state, _, set = state_of(HERE, id)
    local is_unfinished = state and state ~= 'completed' and state ~= 'failed'
    if is_unfinished and not seen[id] and (state == 'active' or not is_pending_job(id)) then
        seen[id] = true
        if state == 'active' then
            call('SADD', CANCELS, id)
            active[#active + 1] = id
        else
            fail_waiting(id, state, set)
            waiting[#waiting + 1] = id
        end
    end
end
if #waiting > 0 then
    count_ended('failed', #waiting)
end
for _, id in ipairs(active) do
    waiting[#waiting + 1] = id
end
for _, id in ipairs(waiting) do
    emit(HERE, 'cancelled', 'jobId', id)
end
return {went, unpack(waiting)}
