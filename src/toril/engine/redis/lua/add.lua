-- Adds a batch of jobs, as if one after the other.
-- ARGV: 1 the producer's id, or nothing; 2 the number of its batch; then runs of jobs that
--   share all but id and data, each:
--   how many, name, options (JSON), delay (ms), due (ms, 0: at once), priority, lifo (0, 1),
--   how many tags, the tags, mode, and for mode "key": ttl (ms, 0: none), extend, replace (0, 1);
--   then for each job: id, data, and for mode "key" its deduplication key.
-- Returns: 1 if all are new, else for each job 1 (new), 0 (its id was there), or the id of the
--   job that holds its deduplication key.
-- include: queue
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: store

local DAY = 86400000

-- Whether this batch was added before; a number counts for a day after its producer's last.
local function is_repeated(producer, number)
    local seen = call('HGET', PRODUCERS, producer)
    local last = seen and string.match(seen, '^%d+')
    if last and tonumber(number) <= tonumber(last) then
        return true
    end
    call('HSET', PRODUCERS, producer, number .. ' ' .. string.format('%d', NOW))
    if number % 1024 == 0 then
        local all = call('HGETALL', PRODUCERS)
        for place = 1, #all, 2 do
            if tonumber(string.match(all[place + 1], '%d+$')) < NOW - DAY then
                call('HDEL', PRODUCERS, all[place])
            end
        end
    end
    return false
end

-- Returns the id of the job that stands for this one; nothing where it is to be added.
local function holder_of(id, rule, key_id)
    local key = JOB .. 'de:' .. key_id
    local holder = call('GET', key)
    if not holder then
        set_owner(key, id, rule.ttl)
        return nil
    end
    -- Its key, too: another job may have got the id of a holder that is gone.
    if rule.replace and call('HGET', JOB .. holder, 'deid') == key_id
        and call('ZREM', DELAYED, holder) == 1 then
        forget(holder)
        emit('removed', 'jobId', holder, 'prev', 'delayed')
        emit('deduplicated', 'jobId', id, 'deduplicationId', key_id,
             'deduplicatedJobId', holder, 'toril', '-')
        call('DEL', JOB .. 'dn:' .. key_id)
        if rule.ttl > 0 and not rule.extend then
            call('SET', key, id, 'KEEPTTL')
        else
            set_owner(key, id, rule.ttl)
        end
        return nil
    end
    if call('PTTL', key) == -1 and call('EXISTS', JOB .. holder) == 0 then
        call('DEL', JOB .. 'dn:' .. key_id)
        set_owner(key, id, rule.ttl)
        return nil
    end
    -- Where a replacing job finds its holder running, the time goes on: or steady adds would
    -- keep out the one that is to follow.
    if rule.extend and rule.ttl > 0 and not rule.replace then
        set_owner(key, holder, rule.ttl)
    end
    emit('deduplicated', 'jobId', holder, 'deduplicationId', key_id, 'deduplicatedJobId', id)
    return holder
end

local repeated = ARGV[1] ~= '' and is_repeated(ARGV[1], ARGV[2])
local answers, all_new, place = {}, true, 3
local added_ready, added_delayed, counted = false, false, 0

local function answer(what)
    answers[#answers + 1] = what
    if what ~= 1 then
        all_new = false
    end
end

-- What became of a job of a batch that was added before.
local function standing(id, key_id)
    if key_id and call('EXISTS', JOB .. id) == 0 then
        local holder = call('GET', JOB .. 'de:' .. key_id)
        if holder then
            return holder
        end
    end
    return 0
end

local run
local function add(id, data, key_id)
    store(id, run.name, data, run.opts, run.delay, run.priority,
          unpack(key_id and {'deid', key_id} or {}))
    index_tags(id, run.tags)
    if run.due > 0 then
        delay_until(id, run.due)
        emit('delayed', 'jobId', id, 'delay', run.due)
        added_delayed = true
    else
        if run.lifo then push_first(id, run.priority) else push(id, run.priority) end
        emit('waiting', 'jobId', id)
        added_ready = true
    end
    answer(1)
end

-- Many at once where nothing has to be looked at for each: no keys, no priority, at once.
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
    in_pieces(run.lifo and 'RPUSH' or 'LPUSH', WAIT, ids)
    added_ready = true
    return true
end

while place <= #ARGV do
    run = {
        count = tonumber(ARGV[place]), name = ARGV[place + 1], opts = ARGV[place + 2],
        delay = ARGV[place + 3], due = tonumber(ARGV[place + 4]),
        priority = tonumber(ARGV[place + 5]), lifo = ARGV[place + 6] == '1', tags = {},
    }
    local tags = tonumber(ARGV[place + 7])
    for n = 1, tags do
        run.tags[n] = ARGV[place + 7 + n]
    end
    place = place + 8 + tags
    local rule
    if ARGV[place] == 'key' then
        rule = {
            ttl = tonumber(ARGV[place + 1]), extend = ARGV[place + 2] == '1',
            replace = ARGV[place + 3] == '1',
        }
        place = place + 4
    else
        place = place + 1
    end
    if run.due == -1 then  -- a delay from now on
        run.due = NOW + tonumber(run.delay)
    elseif run.due > NOW then
        run.delay = run.due - NOW
    else
        run.due, run.delay = 0, '0'
    end
    local width = rule and 3 or 2
    local last = place + run.count * width
    local plain = not rule and tags == 0 and run.priority == 0 and run.due == 0
    counted = counted + run.count
    if repeated then
        for at = place, last - 1, width do
            answer(standing(ARGV[at], rule and ARGV[at + 2]))
        end
    elseif not (plain and add_plain(place)) then
        for at = place, last - 1, width do
            local id, key_id = ARGV[at], rule and ARGV[at + 2]
            if call('EXISTS', JOB .. id) == 1 then
                emit('duplicated', 'jobId', id)
                answer(0)
            else
                local holder = rule and holder_of(id, rule, key_id)
                if holder then
                    answer(holder)
                else
                    add(id, ARGV[at + 1], key_id)
                end
            end
        end
    end
    place = last
end

if not repeated then
    call('INCRBY', ID, counted)
    trim_events()
end
if added_delayed then mark_due() end
if added_ready and not is_closed() then mark() end
return all_new and 1 or answers
