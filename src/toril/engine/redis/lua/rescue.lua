-- Rescues jobs whose leases ran out, from a part of the active jobs.
-- ARGV: 1 how often a job may stall; 2 how many of the oldest to skip; 3 how many to check; 4 if
--   none are skipped, do nothing if another rescue ran within this time (ms, 0: always check);
--   then the ids of jobs to leave alone.
-- Returns: how many were checked (-1: nothing was done); 1 if the server's clock was set back; then
--   for each stalled job: id, 1 if it is poison, else 0.
-- flags: allow-oom
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: counters
-- include: lanes

-- constant: CLOCK_SLACK_MS

check_keys()
local MOST, SKIP, COUNT = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local went_back = false
if SKIP == 0 then
    local last = tonumber(call('GET', OWN .. 'rescued'))
    went_back = last ~= nil and last > NOW
    if last and not went_back and NOW - last < tonumber(ARGV[4]) then return {-1, 0} end
    if ARGV[4] ~= '0' then
        -- Kept for longer than needed, so that it shows when the clock is set back.
        call('SET', OWN .. 'rescued', NOW_TEXT, 'PX', 60000 + 4 * ARGV[4])
    end
    -- Unless it waits for a point in time, the first delayed job shows it too.
    local first = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
    local job = first[1] and try('HMGET', JOB .. first[1], 'delay', 'opts') or {}
    if job[1] and first[2] / 0x1000 > NOW + whole(job[1]) + CLOCK_SLACK_MS
        and not string.find(first[1], '^repeat:')
        and not string.find(job[2] or '', '"scheduledAt"', 1, true) then
        went_back = true
    end
end
local ids = call('LRANGE', ACTIVE, -SKIP - COUNT, -SKIP - 1)
local found, locks, tokens = {#ids, went_back and 1 or 0}, {}, {}
for n, id in ipairs(ids) do
    locks[n] = JOB .. id .. ':lock'
end
if #ids > 0 then
    tokens = call('MGET', unpack(locks))
end

local function is_scheduled(schedule)
    return schedule and (call('EXISTS', JOB .. 'repeat:' .. schedule) == 1
        or call('ZSCORE', JOB .. 'repeat', schedule))
end

-- From newest to oldest, so that the oldest is first in line.
local stalled, spared = {}, {}
for n = 5, #ARGV do
    spared[ARGV[n]] = true
end
for n, id in ipairs(ids) do
    local left = tokens[n] and call('PTTL', locks[n])
    -- Every lease expires, so a lock that does not was set by something else.
    if left and left ~= -1 then
        -- A lease that ends later than it can was given before the clock was set back. A worker
        -- that lives will renew it.
        local lease = tonumber(string.match(tokens[n], ':(%d+)%-%x+$'))
        if lease and left > lease + CLOCK_SLACK_MS then
            call('PEXPIRE', locks[n], string.format('%d', lease))
        end
    elseif not spared[id] then
        call('DEL', locks[n])
        call('LREM', ACTIVE, -1, id)
        call('SREM', STALLED, id)
        local key = JOB .. id
        if call('EXISTS', key) == 1 then
            local job = try('HMGET', key, 'rjk', 'priority', 'stc')
            local stalls = whole(job[3]) + 1
            try('HSET', key, 'stc', stalls)
            local poisoned = stalls > MOST and not is_scheduled(job[1])
            if call('SREM', CANCELS, id) == 1 then
                try('HSET', key, 'defa', 'cancelled on request')
            elseif poisoned then
                try('HSET', key, 'defa', 'job stalled more than allowable limit')
            end
            push_first(HERE, id, whole(job[2]))
            emit(HERE, 'waiting', 'jobId', id, 'prev', 'active', 'toril', '-')
            emit(HERE, 'stalled', 'jobId', id)
            table.insert(stalled, 1, {id, poisoned and 1 or 0})
        end
    end
end
for _, job in ipairs(stalled) do
    found[#found + 1], found[#found + 2] = job[1], job[2]
end

-- A job that ended outside an exchange would otherwise count against its key forever.
local made_room = false
if SKIP == 0 then
    for _, key in ipairs(call('SMEMBERS', FULL)) do
        for _, id in ipairs(call('SMEMBERS', LOAD .. key)) do
            if call('EXISTS', JOB .. id .. ':lock') == 0 then
                local _, lets_another_run = unload(id)
                made_room = made_room or lets_another_run
            end
        end
    end
end
if made_room and not is_closed(HERE) then mark(HERE) end
if #stalled > 0 then
    count('stalled', #stalled)
    if not is_closed(HERE) then mark(HERE) end
end
return found
