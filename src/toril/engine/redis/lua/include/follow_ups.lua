-- Follow-ups: jobs added in the same step as a settlement, and only if it is accepted. Inserted
-- into exchange.lua.
-- needs: here, events, ready, place, deduplicate, unsuccessful

local FOLLOW_UP_WIDTH = 16  -- arguments without the tags

-- Returns the follow-ups after an argument, in order, and the set of the numbers of settlements
-- with a follow-up that receives errors. Raises, before anything is written, if a queue that is to
-- receive one holds something else at one of its keys.
local function read_follow_ups(last)
    local found, wants_errors, at, checked = {}, {}, last + 1, {}
    while at <= #ARGV do
        local q = queue_at(ARGV[at + 1])
        if not checked[q] then
            checked[q] = true
            call('LLEN', q.wait)
            call('ZCARD', q.prioritized)
            call('ZCARD', q.delayed)
            call('ZCARD', q.marker)
            call('XLEN', q.events)
        end
        local job = {
            number = tonumber(ARGV[at]), base = ARGV[at + 1], id = ARGV[at + 2],
            name = ARGV[at + 3], data = ARGV[at + 4], opts = ARGV[at + 5], delay = ARGV[at + 6],
            due = tonumber(ARGV[at + 7]), priority = tonumber(ARGV[at + 8]),
            lifo = ARGV[at + 9] == '1', with_errors = ARGV[at + 10] == '1', tags = {},
        }
        if ARGV[at + 11] ~= '' then
            job.key_id = ARGV[at + 11]
            job.rule = {ttl = tonumber(ARGV[at + 12]), extend = ARGV[at + 13] == '1',
                        replace = ARGV[at + 14] == '1'}
        end
        local tags = tonumber(ARGV[at + 15])
        for n = 1, tags do
            job.tags[n] = ARGV[at + 15 + n]
        end
        found[#found + 1] = job
        if job.with_errors then wants_errors[job.number] = true end
        at = at + FOLLOW_UP_WIDTH + tags
    end
    return found, wants_errors
end

-- Reads the errors that jobs have so far, because retention may remove the jobs.
local function read_errors(wants_errors, jobs)
    for _, job in ipairs(jobs) do
        if wants_errors[job.number] then
            job.errors = call('HGET', job.key, 'errors') or ''
        end
    end
end

-- Returns a JSON object with the newest errors of a job's attempts added to it.
local function with_errors(data, job)
    local errors = job.errors
    if job.last_error then
        errors = errors == '' and job.last_error or errors .. ',' .. job.last_error
        if tonumber(job.made) >= KEPT_ERRORS then errors = last_of(errors, KEPT_ERRORS) end
    end
    return string.sub(data, 1, -2) .. (data == '{}' and '' or ',') .. '"errors":[' .. errors .. ']}'
end

local function when(delay, due)
    if due == -1 then  -- the delay starts now
        return NOW + tonumber(delay), delay
    elseif due > NOW then
        return due, due - NOW
    end
    return 0, '0'
end

-- accepted: maps each accepted settlement's number to its job, which has its last error.
-- Returns whether jobs of this queue became ready, and whether any are delayed.
local function add_follow_ups(follow_ups, accepted)
    local others, ready_here, delayed_here = {}, false, false
    for _, new in ipairs(follow_ups) do
        local job, q = accepted[new.number], queue_at(new.base)
        if job and call('EXISTS', q.base .. new.id) == 1 then
            emit(q, 'duplicated', 'jobId', new.id)
        elseif job and not (new.rule and holder_of(q, new.id, new.rule, new.key_id)) then
            if new.with_errors then
                new.data = with_errors(new.data, job)
            end
            new.due, new.delay = when(new.delay, new.due)
            call('INCR', q.id)
            local is_delayed = place(q, new)
            if q ~= HERE then
                others[q.base] = q
                if is_delayed then mark_due(q) end
            elseif is_delayed then
                delayed_here = true
            else
                ready_here = true
            end
        end
    end
    for _, q in pairs(others) do
        if not is_closed(q) then mark(q) end
    end
    return ready_here, delayed_here
end
