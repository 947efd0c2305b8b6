-- Settles finished jobs and fetches new ones.
-- ARGV: 1 the worker's id; 2 the name of this exchange's record; 3 the token of new leases; 4 how
--   many jobs to fetch (-1: no fetch); 5 the lease time (ms); 6 the number of earlier exchanges
--   without an answer; 7 the index of the settlements' last argument; for each unanswered
--   exchange: its record, its token; then runs of settlements of one kind, each: kind, number of
--   settlements, count and age (ms) of the retention (each may be empty); for each settlement: id,
--   token, and
--   complete: result (JSON); attempts made;
--   fail: reason, traceback (JSON text), error (JSON), error for event records (JSON), attempts;
--   retry: as fail, but with the delay (ms) instead of the attempts;
--   release: delay (ms);
--   then follow-ups, each: the number of its settlement; the prefix of its queue's keys; id, name,
--   data, options (JSON); delay (ms); due (ms; 0: now, -1: after the delay); priority; lifo,
--   whether it receives the errors of all attempts (0, 1); deduplication key (may be empty), its
--   ttl (ms), extend, replace (0, 1); number of tags, the tags.
-- Returns: now, {number and code of each refused settlement, …}, {id, token and fields of each
--   lease, …}, next due or false, limited until or false, 1 if ready jobs remain outside the lanes,
--   1 if the queue was not registered: nothing is fetched then, because its limits may be missing.
-- Codes: -1 the job does not exist, -2 the lease is not held, -4 open children, -9 failed children.
-- flags: allow-oom
-- include: queue
-- include: counters
-- constant: BYTES
-- constant: CLOCK_SLACK_MS

-- A script creates its functions again in each run, and a function with upvalues costs as much as
-- a command. So the common path is straight code, and pieces that few exchanges need are inserted
-- where they are needed.

local WORKER, TOKEN, WANTED, LEASE = ARGV[1], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local UNANSWERED, LAST = tonumber(ARGV[6]), tonumber(ARGV[7])

local made_ready, made_delayed = false, false
local given_back = {}  -- ids that keep their place in their key's lane
local completed, failed, retried = 0, 0, 0

local has_cancels, has_stalled, has_limits = false, false, false
if call('EXISTS', CANCELS, STALLED, LIMITS) > 0 then
    has_cancels = call('EXISTS', CANCELS) == 1
    has_stalled = call('EXISTS', STALLED) == 1
    has_limits = call('EXISTS', LIMITS) == 1
end
local limits = call('HMGET', META, 'paused', 'concurrency', 'max', 'duration',
                    'opts.maxLenEvents', 'version')
local MOST_RUNNING, MAX, DURATION = tonumber(limits[2]), tonumber(limits[3]), whole(limits[4])
local is_limited = MAX and DURATION > 0
if not limits[5] then
    call('HSET', META, 'opts.maxLenEvents', KEPT_EVENTS)
end
-- Events are trimmed before the first one is written, never after it: with a small limit, nobody
-- would see this exchange's events.
local MOST_EVENTS, is_trimmed = tonumber(limits[5]) and whole(limits[5]) or KEPT_EVENTS, false

-- A queue that was removed may exist again, because jobs were added, but without its limits.
local is_registered = limits[6]
if not is_registered then WANTED = -1 end

local own, by_key, bucket
if has_limits then
    -- insert: rates
    -- insert: lanes
    -- insert: keyed_lanes
    own = {
        unload = unload, sort = sort, pick = pick_in_turn, rested_at = rested_at,
        has_ready = has_ready, left_of = left_of, spend = spend,
    }
    by_key = FIELD
    local found = call('HMGET', LIMITS, 'max', 'per', 'burst')
    bucket = found[3] and found
end

-- Recover exchanges whose answers were lost: the jobs they settled are not refused, and the leases
-- they took are returned again.
local lost_before, again = {}, {}
for n = 1, UNANSWERED do
    local record, token = ARGV[6 + 2 * n], ARGV[7 + 2 * n]
    local packed = call('GET', OWN .. 'exchange:' .. record)
    local last = packed and cmsgpack.unpack(packed)
    if last and last[1] == token then
        for _, id in ipairs(last[2]) do
            lost_before[id] = true
        end
        for _, id in ipairs(last[3]) do
            again[#again + 1] = {id, token}
        end
    end
end

-- Settle, one run at a time.
local refused, settled, locks_of = {}, {}, {}
local at, total = 8 + 2 * UNANSWERED, 0
local buckets, duration_sum = {}, 0
local rare  -- the functions that few settlements need
local follow_ups, wants_errors, accepted = #ARGV > LAST, {}, {}
while at <= LAST do
    local kind, count = ARGV[at], tonumber(ARGV[at + 1])
    local kept, age = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local width = kind == 'release' and 3 or kind == 'complete' and 4 or 7
    at = at + 4

    -- Find the jobs whose leases are held.
    local jobs, needs_more = {}, kind ~= 'complete' or kept or age or follow_ups
    local locks = {}
    for n = 1, count do
        locks[n] = JOB .. ARGV[at + (n - 1) * width] .. ':lock'
    end
    for first = 1, count, 5000 do
        local tokens = call('MGET', unpack(locks, first, math.min(first + 4999, count)))
        for n = 1, #tokens do
            local start = at + (first + n - 2) * width
            local id, number = ARGV[start], total + first + n - 1
            if tokens[n] == ARGV[start + 1] and not locks_of[id] then
                -- Read now, not when the job was fetched: a parent may have been added since.
                local key = JOB .. id
                local job = try('HMGET', key, 'processedOn', 'deid', 'parentKey')
                locks_of[id] = locks[first + n - 1]
                if job[1] then
                    needs_more = needs_more or job[2] or job[3]
                    jobs[#jobs + 1] = {
                        id = id, key = key, at = start + 2, number = number, started = job[1],
                        made = whole(kind == 'complete' and ARGV[start + 3]
                            or call('HGET', key, 'atm')),
                        key_id = job[2], parent_key = job[3] ~= '' and job[3],
                    }
                else
                    refused[#refused + 1], refused[#refused + 2] = number, -1
                end
            elseif not lost_before[id] then
                refused[#refused + 1] = number
                refused[#refused + 1] = call('EXISTS', JOB .. id) == 1 and -2 or -1
            end
        end
    end
    at, total = at + count * width, total + count
    if #jobs > 0 and not is_trimmed then
        is_trimmed = true
        call('XTRIM', EVENTS, 'MAXLEN', '~', MOST_EVENTS)
    end

    if needs_more and not rare then
        -- insert: here
        HERE.is_trimmed = true
        -- insert: events
        -- insert: ready
        -- insert: parents
        -- insert: forget
        -- insert: store
        -- insert: place
        -- insert: deduplicate
        -- insert: finish
        -- insert: unsuccessful
        -- insert: follow_ups
        rare = {
            fail = fail, retry = retry, release = release, free_key = free_key,
            trim = trim_finished, child_completed = child_completed, forget = forget,
            with_times = with_times, read_errors = read_errors,
            add_follow_ups = add_follow_ups, here = HERE,
        }
        if follow_ups then follow_ups, wants_errors = read_follow_ups(LAST) end
    end
    if follow_ups then rare.read_errors(wants_errors, jobs) end
    if kind ~= 'complete' then
        rare[kind](jobs, kept, age)
    else
        local keys = {}
        for _, job in ipairs(jobs) do
            keys[#keys + 1] = job.key .. ':dependencies'
            keys[#keys + 1] = job.key .. ':unsuccessful'
        end
        local are_parents = #keys > 0 and in_pieces('EXISTS', nil, keys) > 0
        local done, members = {}, {}
        for _, job in ipairs(jobs) do
            local result = ARGV[job.at]
            -- A parent cannot complete while it has open children, or after children failed it.
            -- Check in order: its last child may be settled earlier in this run.
            local code = are_parents and (whole(try('SCARD', job.key .. ':dependencies')) > 0 and -4
                or whole(try('ZCARD', job.key .. ':unsuccessful')) > 0 and -9)
            if code then
                refused[#refused + 1], refused[#refused + 2] = job.number, code
                locks_of[job.id] = nil
            else
                if job.key_id then rare.free_key(job.id, job.key_id) end
                if job.parent_key then
                    rare.child_completed(job.key, job.parent_key, try('HGET', job.key, 'parent'),
                                         result)
                end
                if kept == 0 then
                    rare.forget(rare.here, job.id)
                else
                    call('HSET', job.key, 'returnvalue', result, 'finishedOn', NOW_TEXT,
                         'atm', text(job.made + 1))
                end
                call('XADD', EVENTS, '*', 'event', 'completed', 'jobId', job.id,
                     'returnvalue', result, 'prev', 'active')
                done[#done + 1] = job
                members[#members + 1], members[#members + 2] = NOW_TEXT, job.id
            end
        end
        if kept ~= 0 then in_pieces('ZADD', COMPLETED, members) end
        if #done > 0 and (kept or age) then rare.trim(COMPLETED, age, kept, done) end
        jobs = done
        completed = completed + #done
    end

    if follow_ups then
        for _, job in ipairs(jobs) do
            job.last_error = kind == 'fail' and rare.with_times(job, ARGV[job.at + 2])
            accepted[job.number] = job
        end
    end
    for _, job in ipairs(jobs) do
        local started = whole(job.started)
        local duration = started > 0 and started < NOW and NOW - started or 0
        duration_sum = duration_sum + duration
        local _, bits = math.frexp(duration)  -- how many bits the number has
        buckets[bits] = (buckets[bits] or 0) + 1
        settled[#settled + 1] = job.id
    end
end

-- Release the leases of settled jobs.
local freed, freed_locks = {}, {}
for id, lock in pairs(locks_of) do
    freed[#freed + 1], freed_locks[#freed_locks + 1] = id, lock
end
if #freed > 0 then
    in_pieces('DEL', nil, freed_locks)
    if has_stalled then in_pieces('SREM', STALLED, freed) end
    if has_cancels then in_pieces('SREM', CANCELS, freed) end
    local running = call('LLEN', ACTIVE)
    if #freed < 8 or #freed * 4 < running then
        -- In a long list, jobs that ran briefly are near the head, and others near the tail.
        for _, id in ipairs(freed) do
            local is_near = running > 1000 and call('LPOS', ACTIVE, id, 'MAXLEN', 1000)
            call('LREM', ACTIVE, is_near and 1 or -1, id)
        end
    else  -- if much of the list goes, rewriting the rest is cheaper than searching for each id
        local rest = {}
        for _, id in ipairs(call('LRANGE', ACTIVE, 0, -1)) do
            if not locks_of[id] then
                rest[#rest + 1] = id
            end
        end
        call('DEL', ACTIVE)
        in_pieces('RPUSH', ACTIVE, rest)
    end
    if by_key then
        for _, id in ipairs(freed) do
            local _, lets_another_run = own.unload(id)
            made_ready = made_ready or lets_another_run
            if not given_back[id] then call('HDEL', OWN .. 'running', id) end
        end
    end
    if duration_sum > 0 then count('duration_ms', duration_sum) end
    for bits, n in pairs(buckets) do
        count('bucket:' .. bits, n)
    end
    if completed > 0 then count_ended('completed', completed) end
    if failed > 0 then count_ended('failed', failed) end
    if retried > 0 then count('retried', retried) end
end

if next(accepted) then
    local ready, delayed = rare.add_follow_ups(follow_ups, accepted)
    made_ready, made_delayed = made_ready or ready, made_delayed or delayed
end

-- Fetch.
local leases, taken = {}, {}
local due, limited, unsorted = false, false, false
if WANTED >= 0 then
    local promoted = call('ZRANGEBYSCORE', DELAYED, '-inf', NOW * 0x1000 + 0xFFF,
                          'LIMIT', 0, CHUNK)
    if #promoted > 0 then
        -- insert: here
        HERE.is_trimmed = is_trimmed
        is_trimmed = true
        -- insert: events
        -- insert: ready
        -- insert: checks
        check_keys()
        call('ZREM', DELAYED, unpack(promoted))
        for _, id in ipairs(promoted) do
            push_due(HERE, id)
        end
        made_ready = true
    end
    unsorted = by_key and own.sort()

    -- The fields that a worker needs; see `_lease` in hot_path/exchange.py.
    local FIELDS = {'name', 'data', 'opts', 'timestamp', 'atm', 'attemptsMade', 'ats', 'stc',
                    'priority', 'defa', 'processedOn'}

    -- Return the leases of exchanges whose answers were lost, if they are still held.
    for _, one in ipairs(again) do
        local id, token = one[1], one[2]
        local job = call('MGET', JOB .. id .. ':lock')[1] == token
            and try('HMGET', JOB .. id, unpack(FIELDS))
        if job and job[1] then
            leases[#leases + 1], leases[#leases + 2], leases[#leases + 3] = id, token, job
        end
    end

    -- A few jobs first: their size tells how many more fit into the answer. Jobs that the worker
    -- only fails do not count against the rate limit: fetch others instead.
    local piece, bytes = 16, 0
    repeat
        local wanted = math.min(WANTED - #leases / 3, piece)
        local most, until_when = limits[1] and 0 or wanted, nil
        if most > 0 and MOST_RUNNING then
            most = math.min(most, MOST_RUNNING - call('LLEN', ACTIVE))
        end
        if most > 0 and bucket then
            local left, at = own.left_of(OWN .. 'rate', unpack(bucket))
            if left < most then most, until_when = left, at end
        elseif most > 0 and is_limited then
            local left = MAX - (tonumber(try('GET', LIMITER)) or 0)
            if left < most then
                local ends = call('PTTL', LIMITER)
                -- Expired, a count without an expiry, or left from before the clock was set back.
                -- BullMQ's `rateLimit` sets any time by hand, with a count of 2^53 - 1.
                local is_over = ends == 0 or ends == -1
                if is_over or (ends > DURATION + CLOCK_SLACK_MS and left > -2 ^ 52) then
                    call('DEL', LIMITER)
                    left, ends = MAX, -2
                end
                most, until_when = math.min(left, most), NOW + (ends > 0 and ends or DURATION)
            end
        end

        -- Take the next jobs, those without a priority first.
        -- They enter the list of active jobs before anything else happens: should the script fail
        -- after all, they are rescued.
        local ids = {}
        if most > 0 and by_key then
            ids = own.pick(most)
            in_pieces('LPUSH', ACTIVE, ids)
        elseif most == 1 then
            ids[1] = call('RPOPLPUSH', WAIT, ACTIVE) or nil
        elseif most > 1 then
            local waiting = call('LRANGE', WAIT, -most, -1)
            for n = #waiting, 1, -1 do
                ids[#ids + 1] = waiting[n]
            end
            if #ids > 0 then
                in_pieces('LPUSH', ACTIVE, ids)
                call('LTRIM', WAIT, 0, -#ids - 1)
            end
        end
        if #ids < most and not by_key then
            if #ids == 0 then call('LLEN', ACTIVE) end  -- raises if it is no list
            local popped, ranked = call('ZPOPMIN', PRIORITIZED, most - #ids), {}
            for n = 1, #popped, 2 do
                ranked[#ranked + 1] = popped[n]
                ids[#ids + 1] = popped[n]
            end
            in_pieces('LPUSH', ACTIVE, ranked)
            if #ids < most then
                call('DEL', PC)
            end
        end

        if #ids > 0 and not is_trimmed then
            is_trimmed = true
            call('XTRIM', EVENTS, 'MAXLEN', '~', MOST_EVENTS)
        end
        local some, counted = 0, 0
        for _, id in ipairs(ids) do
            local key = JOB .. id
            local job = try('HMGET', key, unpack(FIELDS))
            if not job[1] then
                -- insert: unreadable
                job = read_unreadable(id, key)
            end
            if job and not call('SET', key .. ':lock', TOKEN, 'PX', LEASE, 'NX') then
                if call('LPOS', ACTIVE, id, 'RANK', 2) then
                    job = nil  -- it is running, and its id was in the list twice
                else
                    call('SET', key .. ':lock', TOKEN, 'PX', LEASE)
                end
            end
            if job then
                job[7] = text(whole(job[7]) + 1)
                job[11] = NOW_TEXT
                call('HSET', key, 'processedOn', NOW_TEXT, 'pb', WORKER, 'ats', job[7])
                call('XADD', EVENTS, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
                some, taken[#taken + 1] = some + 1, id
                leases[#leases + 1], leases[#leases + 2], leases[#leases + 3] = id, TOKEN, job
                bytes = bytes + #(job[2] or '')
                if not job[10] then
                    counted = counted + 1
                end
            else
                made_ready = true  -- other jobs may be waiting, and their marker is gone
                call('LREM', ACTIVE, 1, id)
                if by_key then
                    own.unload(id)
                    call('HDEL', OWN .. 'running', id)
                end
            end
        end
        if counted > 0 and bucket then
            own.spend(OWN .. 'rate', bucket[1], bucket[2], bucket[3], counted)
        elseif counted > 0 and is_limited then
            local n = try('INCRBY', LIMITER, counted)
            if n == counted then
                -- From the time that the jobs have: the script may have waited before it ran.
                call('PEXPIREAT', LIMITER, NOW + DURATION)
            elseif type(n) == 'table' then  -- not a number: start counting again
                call('SET', LIMITER, counted, 'PX', DURATION)
            end
        end
        limited = most < wanted and until_when and some >= most and until_when or false
        piece = math.max(math.floor((BYTES - bytes) / (bytes + 1) * #leases / 3), 1)
        local are_more = #ids == wanted and bytes < BYTES
    until #leases / 3 >= WANTED or (limited and counted == some) or not (limited or are_more)

    if #leases / 3 < WANTED then
        limited = limited or (by_key and own.rested_at() or false)
        local first = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
        due = first[2] and math.floor(math.min(first[2] / 0x1000, LATEST_MS)) or false
    end
end

if #settled > 0 or #taken > 0 then
    call('SET', OWN .. 'exchange:' .. ARGV[2], cmsgpack.pack({TOKEN, settled, taken}), 'PX',
         math.max(LEASE, 1000) * 2)
end
if made_delayed then
    local first = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
    call('ZADD', MARKER, math.floor(first[2] / 0x1000), '1')
end
if made_ready or limited or unsorted or #taken > 0 or #settled > 0 then
    if call('LLEN', WAIT) > 0 or call('ZCARD', PRIORITIZED) > 0 then
        if limited then
            -- This worker may die before the window ends, so an idle worker also wakes up then.
            call('ZADD', MARKER, 'LT', limited, '1')
        elseif not limits[1] and not (MOST_RUNNING and call('LLEN', ACTIVE) >= MOST_RUNNING)
            and (not by_key or own.has_ready()) then
            call('ZADD', MARKER, 0, '0')
        end
    elseif completed + failed > 0 and call('LLEN', ACTIVE) == 0 then
        call('XADD', EVENTS, '*', 'event', 'drained')
    end
end
return {NOW, refused, leases, due, limited, unsorted and 1 or false,
        not is_registered and 1 or false}
