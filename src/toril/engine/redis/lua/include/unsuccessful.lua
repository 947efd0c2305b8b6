-- Settling attempts that did not succeed: fail, retry, release. Inserted into exchange.lua.

-- constant: KEPT_ERRORS

-- Returns the last values of a JSON array; both arrays are without brackets. Of an array that
-- cannot be read, nothing is kept.
local function last_of(list, most)
    local all, kept = decoded('[' .. list .. ']'), {}
    for n = math.max(1, #all - most + 1), #all do
        local known, one = pcall(cjson.encode, all[n])  -- 1e999 can be read, but not written
        if known then kept[#kept + 1] = one end
    end
    return table.concat(kept, ',')
end

-- Adds an error to a job: to BullMQ's list of tracebacks, and to Toril's list of errors. Also sets
-- job.opts.
local function add_error(job, reason, traceback, error)
    local known = try('HMGET', job.key, 'stacktrace', 'errors', 'opts')
    local stack = string.match(known[1] or '', '^%[(.+)%]$')
    stack = stack and stack .. ',' .. traceback or traceback
    local errors = known[2] and known[2] .. ',' .. error or error
    local most = tonumber(string.match(known[3] or '', '"stackTraceLimit":(%d+)'))
    if most or job.made >= KEPT_ERRORS then
        most = math.min(most or KEPT_ERRORS, KEPT_ERRORS)
        stack = last_of(stack, most)
        if stack == '' and most > 0 then stack = traceback end
    end
    if job.made >= KEPT_ERRORS then
        errors = last_of(errors, KEPT_ERRORS)
        if errors == '' then errors = error end
    end
    try('HSET', job.key, 'failedReason', reason, 'stacktrace', '[' .. stack .. ']',
         'errors', errors)
    job.opts = known[3]
end

local function with_times(job, error)
    return string.sub(error, 1, -2) ..
        string.format(',"started_ms":%s,"ended_ms":%s}', job.started or NOW_TEXT, NOW_TEXT)
end

local function fail(jobs, count, age)
    for _, job in ipairs(jobs) do
        local reason, traceback, error, event_error, attempts = unpack(ARGV, job.at, job.at + 4)
        if job.key_id then free_key(job.id, job.key_id) end
        if job.parent_key then
            child_failed(job.key, job.parent_key, try('HGET', job.key, 'parent'), reason)
        end
        if count == 0 then
            forget(HERE, job.id)
        else
            add_error(job, reason, traceback, with_times(job, error))
            try('HSET', job.key, 'finishedOn', NOW, 'atm', job.made + 1)
            try('HDEL', job.key, 'defa')
            call('ZADD', FAILED, NOW, job.id)  -- now: a child may fail later in this run
        end
        emit(HERE, 'failed', 'jobId', job.id, 'failedReason', reason, 'prev', 'active',
             'error', event_error)
        if job.made + 1 >= tonumber(attempts) then
            emit(HERE, 'retries-exhausted', 'jobId', job.id, 'attemptsMade', job.made + 1)
        end
    end
    if #jobs > 0 and count ~= 0 then trim_finished(FAILED, age, count, jobs) end
    failed = failed + #jobs
end

-- Returns whether a job's cancellation was requested. If so, marks the job, so that the next worker
-- fails it; such a job is not delayed.
local function is_cancelled(job)
    if has_cancels and call('SISMEMBER', CANCELS, job.id) == 1 then
        try('HSET', job.key, 'defa', 'cancelled on request')
        return true
    end
    return false
end

local function put_back(job, delay, how, ...)
    if delay > 0 and not is_cancelled(job) then
        try('HSET', job.key, 'delay', delay)
        delay_until(HERE, job.id, NOW + delay)
        emit(HERE, 'delayed', 'jobId', job.id, 'delay', NOW + delay, ...)
        made_delayed = true
        return
    end
    how(HERE, job.id, whole(try('HGET', job.key, 'priority')), job.opts)
    emit(HERE, 'waiting', 'jobId', job.id, 'prev', 'active', ...)
    made_ready = true
end

local function retry(jobs)
    for _, job in ipairs(jobs) do
        local reason, traceback, error, event_error, delay = unpack(ARGV, job.at, job.at + 4)
        add_error(job, reason, traceback, with_times(job, error))
        try('HSET', job.key, 'atm', job.made + 1)
        is_cancelled(job)
        delay = tonumber(delay)
        put_back(job, delay, delay == 0 and push_again or push, 'error', event_error)
    end
    retried = retried + #jobs
end

-- Backwards, so that jobs released together keep their order.
local function release(jobs)
    for n = #jobs, 1, -1 do
        local job = jobs[n]
        is_cancelled(job)
        given_back[job.id] = ARGV[job.at] == '0'
        put_back(job, tonumber(ARGV[job.at]), push_first, 'toril', 'released')
    end
end
