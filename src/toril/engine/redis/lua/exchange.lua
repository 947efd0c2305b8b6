-- Settles what has finished and takes new jobs.
-- ARGV: 1 the worker's id; 2 the name of the record of what this exchange does; 3 the token of
--   new leases; 4 how many are wanted (-1: none are); 5 how long to hold them (ms); 6 how many
--   exchanges before got no answer; for each its record and its token; then runs of settlements
--   of one kind, each: kind, how many, count and age (ms) of what is kept (or nothing); for each
--   settlement: id, token, and
--   complete: result (JSON);
--   fail: reason, traceback (JSON text), error (JSON), error for followers (JSON), attempts;
--   retry: as fail, but for the last the delay (ms);
--   release: delay (ms).
-- Returns: now, {place and code of what was refused, …}, {id, token and fields of each lease, …},
--   next due or false, limited until or false, 1 if jobs are left to be put in lanes.
-- Codes: -1 no such job, -2 the lease is not held, -4 children are open, -9 children failed.
-- flags: allow-oom
-- include: queue
-- include: events
-- include: ready
-- include: record

local WORKER, TOKEN, WANTED, LEASE = ARGV[1], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local RECORD = OWN .. 'exchange:' .. ARGV[2]
local UNANSWERED = tonumber(ARGV[6])

local refused, settled = {}, {}
local lost_before = {}    -- what an exchange settled whose answer was lost
local leases = {}
local total = 0
local freed, made_ready, made_delayed = {}, false, false
local counts = {completed = 0, failed = 0, retried = 0}
local buckets, duration_sum = {}, 0
local given_back = {}     -- ids that keep their place in the lane of their key
local has_cancels, has_limits = false, false
if call('EXISTS', CANCELS, LIMITS) > 0 then
    has_cancels = call('EXISTS', CANCELS) == 1
    has_limits = call('EXISTS', LIMITS) == 1
end
local limits = call('HMGET', META, 'paused', 'concurrency', 'max', 'duration',
                    'opts.maxLenEvents')

local MOST_EVENTS = limits[5]
if not MOST_EVENTS then
    MOST_EVENTS = 10000
    call('HSET', META, 'opts.maxLenEvents', MOST_EVENTS)
end

-- What few queues need is made only there: a script makes its functions anew each time it is run.
local own
local function of_own()
    if not own then
        -- insert: rates
        -- insert: lanes
        -- insert: turns
        own = {
            by_key = FIELD, unload = unload, sort = sort, pick = pick_in_turn,
            rested_at = rested_at, has_unsorted = has_unsorted, left_of = left_of, spend = spend,
            bucket = call('HMGET', LIMITS, 'max', 'per', 'burst'),
        }
    end
    return own
end
local by_key = has_limits and of_own().by_key

local function is_full()
    return limits[2] and call('LLEN', ACTIVE) >= tonumber(limits[2])
end

-- What exchanges did whose answers were lost: what they settled is settled, and what they took
-- is given again.
local function recover()
    local taken = {}
    for n = 1, UNANSWERED do
        local record, token = ARGV[5 + 2 * n], ARGV[6 + 2 * n]
        local packed = call('GET', OWN .. 'exchange:' .. record)
        local last = packed and cmsgpack.unpack(packed)
        if last and last[1] == token then
            for _, id in ipairs(last[2]) do
                lost_before[id] = true
            end
            for _, id in ipairs(last[3]) do
                taken[#taken + 1] = {id, token}
            end
        end
    end
    return taken
end

local function refuse(place, code)
    refused[#refused + 1] = place
    refused[#refused + 1] = code
end

-- Of a run, the jobs whose leases are held.
local function held(first, count, width)
    local locks, found = {}, {}
    for n = 1, count do
        locks[n] = JOB .. ARGV[first + (n - 1) * width] .. ':lock'
    end
    local tokens = {}
    in_pieces(locks, function(...)
        for _, token in ipairs(call('MGET', ...)) do
            tokens[#tokens + 1] = token
        end
    end)
    for n = 1, count do
        local at = first + (n - 1) * width
        local id = ARGV[at]
        if tokens[n] == ARGV[at + 1] and not freed[id] then
            local key = JOB .. id
            local job = call('HMGET', key, 'timestamp', 'processedOn', 'atm', 'deid', 'parentKey')
            freed[id] = locks[n]
            if job[1] then
                found[#found + 1] = {
                    id = id, key = key, at = at + 2, place = total + n,
                    started = job[2], made = job[3] or 0, key_id = job[4], parent_key = job[5],
                }
            else
                refuse(total + n, -1)
            end
        elseif not lost_before[id] then
            refuse(total + n, call('EXISTS', JOB .. id) == 1 and -2 or -1)
        end
    end
    total = total + count
    return found
end

-- Whether any of the jobs has children that did not complete.
local function have_children(jobs)
    local keys, there = {}, 0
    for _, job in ipairs(jobs) do
        keys[#keys + 1] = job.key .. ':dependencies'
        keys[#keys + 1] = job.key .. ':unsuccessful'
    end
    in_pieces(keys, function(...) there = there + call('EXISTS', ...) end)
    return there > 0
end

-- Children that are open keep their parent from completing, and so do those that failed it.
local function is_kept(job)
    local code = call('SCARD', job.key .. ':dependencies') > 0 and -4
        or call('ZCARD', job.key .. ':unsuccessful') > 0 and -9
    if code then
        refuse(job.place, code)
        freed[job.id] = nil
    end
    return code
end

local function measure(job)
    local duration = math.max(NOW - (job.started or NOW), 0)
    duration_sum = duration_sum + duration
    local bits = 0
    while duration > 0 do
        duration, bits = math.floor(duration / 2), bits + 1
    end
    buckets[bits] = (buckets[bits] or 0) + 1
    settled[#settled + 1] = job.id
end

-- What few jobs need is made only then, too.
local finishing
local function finish()
    if not finishing then
        -- insert: parents
        -- insert: forget
        -- insert: store
        -- insert: finish
        finishing = {
            child_completed = child_completed, child_failed = child_failed, forget = forget,
            free_key = free_key, trim = trim_finished,
        }
    end
    return finishing
end

-- Puts finished jobs where they are kept, or takes them away.
local function keep(jobs, set, count, age)
    if #jobs == 0 then
        return
    end
    if count == 0 then
        for _, job in ipairs(jobs) do
            finish().forget(job.id)
        end
        return
    end
    local members = {}
    for n, job in ipairs(jobs) do
        members[2 * n - 1], members[2 * n] = NOW_TEXT, job.id
    end
    in_pieces(members, function(...) call('ZADD', set, ...) end)
    if age or count then finish().trim(set, age, count) end
end

local function complete_one(job, count)
    local result = ARGV[job.at]
    measure(job)
    if job.key_id then finish().free_key(job.id, job.key_id) end
    if job.parent_key then
        finish().child_completed(job.key, job.parent_key, call('HGET', job.key, 'parent'), result)
    end
    if count ~= 0 then
        call('HSET', job.key, 'returnvalue', result, 'finishedOn', NOW_TEXT,
             'atm', text(job.made + 1))
    end
    call('XADD', EVENTS, '*', 'event', 'completed', 'jobId', job.id, 'returnvalue', result,
         'prev', 'active')
end

-- A parent is looked at in its turn: its last child may stand before it.
local function complete(jobs, count, age)
    local look, done = have_children(jobs), {}
    for _, job in ipairs(jobs) do
        if not (look and is_kept(job)) then
            complete_one(job, count)
            done[#done + 1] = job
        end
    end
    keep(done, COMPLETED, count, age)
    counts.completed = counts.completed + #done
end

local other_kinds
local function kind_of(name)
    if name == 'complete' then
        return complete, 3
    end
    if not other_kinds then
        -- insert: unsuccessful
        other_kinds = {fail = fail, retry = retry, release = release}
    end
    return other_kinds[name], name == 'release' and 3 or 7
end

-- Takes jobs out of the list of those that run. Where most of the list goes, it is cheaper to
-- write the rest anew than to look for each.
local function leave_active(ids)
    if #ids < 8 or #ids * 4 < call('LLEN', ACTIVE) then
        for _, id in ipairs(ids) do
            call('LREM', ACTIVE, -1, id)
        end
        return
    end
    local rest = {}
    for _, id in ipairs(call('LRANGE', ACTIVE, 0, -1)) do
        if not freed[id] then
            rest[#rest + 1] = id
        end
    end
    call('DEL', ACTIVE)
    in_pieces(rest, function(...) call('RPUSH', ACTIVE, ...) end)
end

local function settle(place)
    while place <= #ARGV do
        local run, width = kind_of(ARGV[place])
        local count = tonumber(ARGV[place + 1])
        local kept, age = tonumber(ARGV[place + 2]), tonumber(ARGV[place + 3])
        place = place + 4
        run(held(place, count, width), kept, age)
        place = place + count * width
    end
    local ids, locks = {}, {}
    for id, lock in pairs(freed) do
        ids[#ids + 1], locks[#locks + 1] = id, lock
    end
    if #ids == 0 then
        return
    end
    in_pieces(locks, function(...) call('DEL', ...) end)
    in_pieces(ids, function(...) call('SREM', STALLED, ...) end)
    if has_cancels then
        in_pieces(ids, function(...) call('SREM', CANCELS, ...) end)
    end
    leave_active(ids)
    if by_key then
        for _, id in ipairs(ids) do
            local _, lets_another_run = own.unload(id)
            made_ready = made_ready or lets_another_run
            if not given_back[id] then call('HDEL', OWN .. 'running', id) end
        end
    end
    if duration_sum > 0 then count('duration_ms', duration_sum) end
    for bits, n in pairs(buckets) do
        count('bucket:' .. bits, n)
    end
    if counts.completed > 0 then count_ended('completed', counts.completed) end
    if counts.failed > 0 then count_ended('failed', counts.failed) end
    if counts.retried > 0 then count('retried', counts.retried) end
end

local function promote_due()
    local due = call('ZRANGEBYSCORE', DELAYED, 0, NOW * 0x1000 + 0xFFF, 'LIMIT', 0, 1000)
    if #due == 0 then
        return
    end
    call('ZREM', DELAYED, unpack(due))
    for _, id in ipairs(due) do
        push(id, tonumber(call('HGET', JOB .. id, 'priority')) or 0)
        call('HSET', JOB .. id, 'delay', 0)
        emit('waiting', 'jobId', id, 'prev', 'delayed')
    end
    made_ready = true
end

-- How many may be taken, and until when the rate limit holds the rest.
local function room()
    if limits[1] then
        return 0
    end
    local most = WANTED
    if limits[2] then
        most = math.min(most, tonumber(limits[2]) - call('LLEN', ACTIVE))
    end
    local bucket = has_limits and of_own().bucket
    if bucket and bucket[3] then
        local left, until_when = own.left_of(OWN .. 'rate', unpack(bucket))
        return math.min(left, most), left < most and until_when or nil
    end
    if not limits[3] then
        return most
    end
    local left = tonumber(limits[3]) - (tonumber(call('GET', LIMITER)) or 0)
    local window = tonumber(limits[4])
    if left >= most then
        return most
    end
    local ends = call('PTTL', LIMITER)
    if ends == 0 or ends == -1 then  -- over, or a count that nothing would ever end
        call('DEL', LIMITER)
        left, ends = tonumber(limits[3]), -2
    end
    return math.min(left, most), NOW + (ends > 0 and ends or window)
end

local function count_started(n)
    local bucket = has_limits and own.bucket
    if bucket and bucket[3] then
        own.spend(OWN .. 'rate', bucket[1], bucket[2], bucket[3], n)
    elseif limits[3] and call('INCRBY', LIMITER, n) == n then
        call('PEXPIRE', LIMITER, limits[4])
    end
end

-- Takes ids out of line, those without a priority first; tells whether they are active already.
local function pick(most)
    if by_key then
        return own.pick(most)
    end
    local ids = {}
    if most == 1 then
        local id = call('RPOPLPUSH', WAIT, ACTIVE)
        if id and string.sub(id, 1, 2) ~= '0:' then
            return {id}, true
        elseif id then
            call('LREM', ACTIVE, 1, id)
        end
    end
    local waiting = call('LRANGE', WAIT, -most, -1)
    if #waiting > 0 then
        call('LTRIM', WAIT, 0, -#waiting - 1)
        for n = #waiting, 1, -1 do
            if string.sub(waiting[n], 1, 2) ~= '0:' then  -- an old BullMQ's marker
                ids[#ids + 1] = waiting[n]
            end
        end
    end
    local wanted = most - #ids
    if wanted > 0 then
        local popped = call('ZPOPMIN', PRIORITIZED, wanted)
        for n = 1, #popped, 2 do
            ids[#ids + 1] = popped[n]
        end
        if #popped / 2 < wanted then
            call('DEL', PC)
        end
    end
    return ids
end

-- What a worker has to know of a job; see `_lease` in exchanging.py.
local function read(id)
    return call('HMGET', JOB .. id, 'name', 'data', 'opts', 'timestamp', 'atm', 'attemptsMade',
                'ats', 'stc', 'priority', 'defa', 'processedOn')
end

local function lease(id, token, job)
    local n = #leases
    leases[n + 1], leases[n + 2], leases[n + 3] = id, token, job
end

local function take(most)
    local taken, counted = {}, 0
    local ids, moved = pick(most)
    for _, id in ipairs(ids) do
        local key, job = JOB .. id, read(id)
        if job[1] then  -- else it was removed behind our back
            job[7] = text((job[7] or 0) + 1)
            job[11] = NOW_TEXT
            call('SET', key .. ':lock', TOKEN, 'PX', LEASE)
            call('HSET', key, 'processedOn', NOW_TEXT, 'pb', WORKER, 'ats', job[7])
            call('XADD', EVENTS, 'MAXLEN', '~', MOST_EVENTS, '*', 'event', 'active', 'jobId', id,
                 'prev', 'waiting')
            taken[#taken + 1] = id
            lease(id, TOKEN, job)
            if not job[10] then
                counted = counted + 1
            end
        else
            made_ready = true  -- others may wait, and the marker for them is gone
            if moved then
                call('LREM', ACTIVE, 1, id)
            elseif by_key then
                own.unload(id)
                call('HDEL', OWN .. 'running', id)
            end
        end
    end
    if not moved then
        in_pieces(taken, function(...) call('LPUSH', ACTIVE, ...) end)
    end
    return taken, counted
end

-- The leases of exchanges whose answers were lost, as far as they are held.
local function give_again(taken)
    for _, one in ipairs(taken) do
        local id, token = one[1], one[2]
        if call('GET', JOB .. id .. ':lock') == token then
            local job = read(id)
            if job[1] then
                lease(id, token, job)
            end
        end
    end
end

local again = recover()
if #ARGV > 6 + 2 * UNANSWERED then
    settle(7 + 2 * UNANSWERED)
end
local taken, due, limited, unsorted = {}, false, false, false
if WANTED >= 0 then
    promote_due()
    give_again(again)
    unsorted = by_key and own.sort()
    repeat
        local most, until_when = room()
        most = math.min(most, WANTED - #leases / 3)
        local some, counted = {}, 0
        if most > 0 then
            some, counted = take(most)
            for _, id in ipairs(some) do
                taken[#taken + 1] = id
            end
            if counted > 0 then count_started(counted) end
        end
        limited = until_when and #some >= most and until_when or false
        -- Jobs that only fail do not count against the rate: others take their places.
    until not limited or counted == #some or #leases / 3 == WANTED
    if by_key and not limited and #leases / 3 < WANTED then
        limited = own.rested_at() or false
    end
    if #leases / 3 < WANTED then
        due = next_due() or false
    end
end
if #settled > 0 or #taken > 0 then
    call('SET', RECORD, cmsgpack.pack({TOKEN, settled, taken}), 'PX', math.max(LEASE, 1000) * 2)
end
if #settled > 0 and #taken == 0 then
    call('XTRIM', EVENTS, 'MAXLEN', '~', MOST_EVENTS)
end
if made_delayed then mark_due() end
if made_ready or limited or unsorted or #taken > 0 or #settled > 0 then
    if call('LLEN', WAIT) > 0 or call('ZCARD', PRIORITIZED) > 0 then
        if limited then
            -- Whoever is kept back may die meanwhile: an idle worker comes when the window ends.
            call('ZADD', MARKER, 'LT', limited, '1')
        elseif not limits[1] and not is_full()
            and (not by_key or call('EXISTS', OWN .. 'ring') == 1 or own.has_unsorted()) then
            mark()
        end
    elseif counts.completed + counts.failed > 0 and call('LLEN', ACTIVE) == 0 then
        emit('drained')
    end
end
return {NOW, refused, leases, due, limited, unsorted and 1}
