-- Removes a part of a queue's jobs, or the queue itself if it has none.
-- ARGV: 1 "1" to remove active jobs too; 2 how many jobs at most.
-- Returns: how many jobs were removed, or -1 once the queue is removed.
-- flags: allow-oom
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: lanes

local missing = missing_queue()
if missing then return missing end
local MOST = tonumber(ARGV[2])
local active = call('LLEN', ACTIVE)
if active > 0 and ARGV[1] ~= '1' then
    return redis.error_reply('ACTIVE ' .. active)
end
local removed = 0
for _, list in ipairs({ACTIVE, WAIT, JOB .. 'paused'}) do
    local ids = call('LRANGE', list, 0, MOST - removed - 1)
    if MOST > removed and #ids > 0 then
        for _, id in ipairs(ids) do
            forget(HERE, id, true)
            call('UNLINK', JOB .. id .. ':lock')
        end
        call('LTRIM', list, #ids, -1)
        removed = removed + #ids
    end
end
for _, set in ipairs({PRIORITIZED, DELAYED, CHILDREN, COMPLETED, FAILED}) do
    if MOST > removed then
        local ids = call('ZRANGE', set, 0, MOST - removed - 1)
        for _, id in ipairs(ids) do
            forget(HERE, id, true)
            call('UNLINK', JOB .. id .. ':lock')
        end
        in_pieces('ZREM', set, ids)
        removed = removed + #ids
    end
end
if removed > 0 then
    return removed
end
for _, schedule in ipairs(call('ZRANGE', JOB .. 'repeat', 0, -1)) do
    call('UNLINK', JOB .. 'repeat:' .. schedule)
end
if clear_lanes(CHUNK) == CHUNK then
    return 0
end
local keys = {
    LIMITS, OWN .. 'rate', OWN .. 'rescued', OWN .. 'expiring', OWN .. 'tagged', JOB .. 'repeat',
    JOB .. 'delay', JOB .. 'stalled-check',
}
for _, key in ipairs(KEYS) do
    keys[#keys + 1] = key
end
for _, kind in ipairs({'completed', 'failed'}) do
    keys[#keys + 1] = JOB .. 'metrics:' .. kind
    keys[#keys + 1] = JOB .. 'metrics:' .. kind .. ':data'
end
local minute = math.floor(NOW / 60000)
for m = minute - 20160, minute do
    keys[#keys + 1] = OWN .. 'minute:' .. m
end
in_pieces('UNLINK', nil, keys)
return -1
