-- Makes a queue visible, and sets the given limits.
-- ARGV: 1 the version for BullMQ; 2 concurrency limit; 3 max, 4 period (ms) and 5 burst of the rate
--   limit; 6 the field of the keys; 7 max, 8 period (ms) and 9 burst of each key's rate limit;
--   10 each key's concurrency limit. All but the first may be empty. An empty limit is left as it
--   is, but with a field, all limits by key are replaced.
-- Returns: nil, or the different field by which the queue already has limits.
-- include: queue
-- include: here
-- include: events
-- include: ready
-- include: lanes

local field = ARGV[6] ~= '' and call('HGET', LIMITS, 'by')
if field and field ~= ARGV[6] then return field end
call('HSETNX', META, 'opts.maxLenEvents', KEPT_EVENTS)
call('HSETNX', META, 'version', ARGV[1])
if ARGV[6] ~= '' then
    call('HDEL', LIMITS, 'key_max', 'key_per', 'key_burst', 'key_concurrency')
    call('HSET', LIMITS, 'by', ARGV[6])
    for place, name in pairs({[7] = 'key_max', [8] = 'key_per', [9] = 'key_burst',
                              [10] = 'key_concurrency'}) do
        if ARGV[place] ~= '' then call('HSET', LIMITS, name, ARGV[place]) end
    end
    rejoin_all()
end
if ARGV[2] ~= '' then
    call('HSET', META, 'concurrency', ARGV[2])
end
if ARGV[5] ~= '' then  -- a token bucket, which BullMQ does not support
    call('HDEL', META, 'max', 'duration')
    call('HSET', LIMITS, 'max', ARGV[3], 'per', ARGV[4], 'burst', ARGV[5])
elseif ARGV[3] ~= '' then
    call('HSET', META, 'max', ARGV[3], 'duration', ARGV[4])
    call('HDEL', LIMITS, 'max', 'per', 'burst')
end
if ARGV[2] ~= '' or ARGV[3] ~= '' or ARGV[6] ~= '' then
    if call('LLEN', WAIT) + call('ZCARD', PRIORITIZED) > 0 and not is_closed(HERE) then
        mark(HERE)
    end
end
