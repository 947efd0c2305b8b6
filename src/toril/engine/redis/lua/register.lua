-- Makes a queue visible and sets the limits that are given.
-- ARGV: 1 the version that BullMQ is told; 2 concurrency; 3 max, 4 time (ms) and 5 burst of the
--   rate; 6 the field of the keys; 7 max, 8 time (ms) and 9 burst of the rate of each;
--   10 concurrency of each. All but the first may be nothing; what has nothing before it is left.
-- Returns: nothing, or the field by which the queue has limits already.
-- include: queue
-- include: here
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
if ARGV[5] ~= '' then  -- a bucket, which BullMQ does not know
    call('HDEL', META, 'max', 'duration')
    call('HSET', LIMITS, 'max', ARGV[3], 'per', ARGV[4], 'burst', ARGV[5])
elseif ARGV[3] ~= '' then
    call('HSET', META, 'max', ARGV[3], 'duration', ARGV[4])
    call('HDEL', LIMITS, 'max', 'per', 'burst')
end
if ARGV[2] ~= '' or ARGV[3] ~= '' or ARGV[6] ~= '' then
    if call('LLEN', WAIT) + call('ZCARD', PRIORITIZED) > 0 and not is_closed(HERE) then mark(HERE) end
end
