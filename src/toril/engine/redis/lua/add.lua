-- Adds a batch of jobs, as if one by one.
-- ARGV: 1 the producer's id, or empty; 2 the batch's sequence number; then runs of jobs that differ
--   only in id and data, each:
--   number of jobs, name, options (JSON), delay (ms), due (ms; 0: now, -1: after the delay),
--   priority, lifo (0, 1), number of tags, the tags, mode, and for mode "key": ttl (ms, 0: none),
--   extend, replace (0, 1);
--   then for each job: id, data, and for mode "key" its deduplication key.
-- Returns: 1 if all jobs are new, else for each job 1 (new), 0 (its id exists), or the id of the
--   job that holds its deduplication key.
-- include: queue

-- A script creates its functions again in each run, and a function with upvalues costs as much as
-- a command. So plain jobs are added by straight code, and the pieces that other jobs need are
-- inserted where they are needed.

-- constant: PRODUCER_IDLE_MS

-- Returns whether this batch was added before. A producer's last number is kept for a day.
local function is_repeated(producer, number)
    local seen = call('HGET', PRODUCERS, producer)
    local last = seen and string.match(seen, '^%d+')
    if last and tonumber(number) <= tonumber(last) then
        return true
    end
    call('HSET', PRODUCERS, producer, number .. ' ' .. NOW_TEXT)
    call('PEXPIRE', PRODUCERS, PRODUCER_IDLE_MS)
    if not seen then  -- most processes add little and end, so each new one clears away some
        -- insert: producers
    end
    return false
end

local limits = call('HMGET', META, 'paused', 'concurrency', 'opts.maxLenEvents', 'version')
-- In a paused queue, ready jobs go to where BullMQ 5 would put them; see include/ready.lua.
local LIST = WAIT
if limits[1] and (string.find(limits[4] or '', ':5%.')
    or call('EXISTS', JOB .. 'paused') == 1) then
    LIST = JOB .. 'paused'
end

local repeated = ARGV[1] ~= '' and is_repeated(ARGV[1], ARGV[2])
if not repeated then
    if not limits[3] then
        call('HSET', META, 'opts.maxLenEvents', KEPT_EVENTS)
    end
    -- Before the first event, so that a small limit hides none of this call's own.
    call('XTRIM', EVENTS, 'MAXLEN', '~', tonumber(limits[3]) and whole(limits[3]) or KEPT_EVENTS)
end
local answers, all_new, at = {}, true, 3
local added_ready, added_delayed, counted = false, false, 0

local function answer(what)
    answers[#answers + 1] = what
    if what ~= 1 then
        all_new = false
    end
end

local run, rare

-- Adds a run of plain jobs at once: no deduplication keys, tags, priority or delay. Returns false,
-- and adds nothing, if an id exists or repeats.
local function add_plain(first)
    local keys, ids, seen = {}, {}, {}
    for n = 1, run.count do
        local id = ARGV[first + 2 * n - 2]
        if seen[id] then
            return false
        end
        ids[n], keys[n], seen[id] = id, JOB .. id, true
    end
    if in_pieces('EXISTS', nil, keys) > 0 then
        return false
    end
    local name, opts, delay = run.name, run.opts, run.delay
    for n = 1, run.count do
        local id = ids[n]
        call('HSET', keys[n], 'name', name, 'data', ARGV[first + 2 * n - 1], 'opts', opts,
             'timestamp', NOW_TEXT, 'delay', delay, 'priority', '0')
        call('XADD', EVENTS, '*', 'event', 'added', 'jobId', id, 'name', name)
        call('XADD', EVENTS, '*', 'event', 'waiting', 'jobId', id)
        answers[#answers + 1] = 1
    end
    in_pieces(run.lifo and 'RPUSH' or 'LPUSH', LIST, ids)
    added_ready = true
    return true
end

while at <= #ARGV do
    run = {
        count = tonumber(ARGV[at]), name = ARGV[at + 1], opts = ARGV[at + 2],
        delay = ARGV[at + 3], due = tonumber(ARGV[at + 4]),
        priority = tonumber(ARGV[at + 5]), lifo = ARGV[at + 6] == '1', tags = {},
    }
    local tags = tonumber(ARGV[at + 7])
    for n = 1, tags do
        run.tags[n] = ARGV[at + 7 + n]
    end
    at = at + 8 + tags
    local rule
    if ARGV[at] == 'key' then
        rule = {
            ttl = tonumber(ARGV[at + 1]), extend = ARGV[at + 2] == '1',
            replace = ARGV[at + 3] == '1',
        }
        at = at + 4
    else
        at = at + 1
    end
    if run.due == -1 then  -- the delay starts now
        run.due = NOW + tonumber(run.delay)
    elseif run.due > NOW then
        run.delay = run.due - NOW
    else
        run.due, run.delay = 0, '0'
    end
    local width = rule and 3 or 2
    local last = at + run.count * width
    local plain = not rule and tags == 0 and run.priority == 0 and run.due == 0
    counted = counted + run.count
    if not (plain and not repeated and add_plain(at)) then
        if not rare then
            -- insert: here
            HERE.is_trimmed = true
            -- insert: events
            -- insert: ready
            -- insert: parents
            -- insert: forget
            -- insert: store
            -- insert: place
            -- insert: deduplicate
            -- insert: add_one
            rare = {
                add_one = add_one, added_before = added_before, mark_due = mark_due, here = HERE,
            }
        end
        for n = at, last - 1, width do
            local id, key_id = ARGV[n], rule and ARGV[n + 2]
            answer(repeated and rare.added_before(id, key_id)
                or rare.add_one(run, id, ARGV[n + 1], rule, key_id))
        end
    end
    at = last
end

if not repeated then
    call('INCRBY', ID, counted)
end
if added_delayed then rare.mark_due(rare.here) end
if added_ready and not limits[1]
    and not (tonumber(limits[2]) and call('LLEN', ACTIVE) >= tonumber(limits[2])) then
    call('ZADD', MARKER, 0, '0')
end
return all_new and 1 or answers
