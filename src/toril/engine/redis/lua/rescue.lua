-- Rescues jobs whose leases ran out, from a part of the active jobs.
-- ARGV: 1 how often a job may stall; 2 how many of the oldest to skip; 3 how many to check; 4 if
--   none are skipped, do nothing if another rescue ran within this time (ms, 0: always check);
--   then the ids of jobs to leave alone.
-- Returns: how many were checked, then for each stalled job: id, 1 if it is poison, else 0.
-- flags: allow-oom
-- include: queue
-- include: here
-- include: events
-- include: ready
-- include: counters
-- include: lanes

local MOST, SKIP, COUNT = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if SKIP == 0 and ARGV[4] ~= '0'
    and not call('SET', OWN .. 'rescued', NOW_TEXT, 'NX', 'PX', ARGV[4]) then return {0} end
local ids = call('LRANGE', ACTIVE, -SKIP - COUNT, -SKIP - 1)
local found, locks, tokens = {#ids}, {}, {}
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
    if not tokens[n] and not spared[id] then
        call('LREM', ACTIVE, -1, id)
        call('SREM', STALLED, id)
        local key = JOB .. id
        if call('EXISTS', key) == 1 then
            local stalls = call('HINCRBY', key, 'stc', 1)
            local job = call('HMGET', key, 'rjk', 'priority')
            local poisoned = stalls > MOST and not is_scheduled(job[1])
            if call('SREM', CANCELS, id) == 1 then
                call('HSET', key, 'defa', 'cancelled on request')
            elseif poisoned then
                call('HSET', key, 'defa', 'job stalled more than allowable limit')
            end
            push_first(HERE, id, tonumber(job[2]) or 0)
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
    trim_events(HERE)
    if not is_closed(HERE) then mark(HERE) end
end
return found
