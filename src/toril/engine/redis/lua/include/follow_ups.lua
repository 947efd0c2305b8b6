-- Follow-ups: jobs that are added in the same step as the settlement they come with, and only if
-- that is accepted. Stands within exchange.lua.
-- needs: here, events, ready, parents, forget, store, place, deduplicate

local FOLLOW_UP_WIDTH = 16  -- arguments, but for the tags

-- The follow-ups behind an argument, by the number of their settlement.
local function read_follow_ups(last)
    local found, at = {}, last + 1
    while at <= #ARGV do
        local number = tonumber(ARGV[at])
        local job = {
            base = ARGV[at + 1], id = ARGV[at + 2], name = ARGV[at + 3], data = ARGV[at + 4],
            opts = ARGV[at + 5], delay = ARGV[at + 6], due = tonumber(ARGV[at + 7]),
            priority = tonumber(ARGV[at + 8]), lifo = ARGV[at + 9] == '1',
            with_errors = ARGV[at + 10] == '1', tags = {},
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
        found[number] = found[number] or {}
        table.insert(found[number], job)
        at = at + FOLLOW_UP_WIDTH + tags
    end
    return found
end

-- The errors that jobs have so far, which their follow-ups are to be given: retention may take
-- them away with the jobs.
local function errors_before(follow_ups, jobs)
    for _, job in ipairs(jobs) do
        for _, follow_up in ipairs(follow_ups[job.number] or {}) do
            if follow_up.with_errors then
                job.errors = job.errors or call('HGET', job.key, 'errors') or ''
            end
        end
    end
end

-- An object with the errors of all attempts in it.
local function with_errors(data, known, last)
    local errors = known == '' and (last or '') or last and known .. ',' .. last or known
    return string.sub(data, 1, -2) .. (data == '{}' and '' or ',') .. '"errors":[' .. errors .. ']}'
end

local function when(delay, due)
    if due == -1 then  -- a delay from now on
        return NOW + tonumber(delay), delay
    elseif due > NOW then
        return due, due - NOW
    end
    return 0, '0'
end

-- accepted: the jobs whose settlements were accepted, each with its last error, if it has one.
-- Returns whether jobs of this queue became ready, and whether some are delayed.
local function add_follow_ups(follow_ups, accepted)
    local others, ready_here, delayed_here = {}, false, false
    for _, job in ipairs(accepted) do
        for _, new in ipairs(follow_ups[job.number] or {}) do
            local q = queue_at(new.base)
            if call('EXISTS', q.base .. new.id) == 1 then
                emit(q, 'duplicated', 'jobId', new.id)
            elseif not (new.rule and holder_of(q, new.id, new.rule, new.key_id)) then
                if new.with_errors then
                    new.data = with_errors(new.data, job.errors, job.last_error)
                end
                new.due, new.delay = when(new.delay, new.due)
                call('INCR', q.id)
                local is_delayed = place(q, new)
                if q == HERE then
                    ready_here, delayed_here = ready_here or not is_delayed, delayed_here or is_delayed
                elseif is_delayed then
                    mark_due(q)
                end
                if q ~= HERE then others[q.base] = q end
            end
        end
    end
    for _, q in pairs(others) do
        if not is_closed(q) then mark(q) end
        trim_events(q)
    end
    return ready_here, delayed_here
end
