-- Makes a queue visible and sets the limits that are given.
-- ARGV: 1 the version that BullMQ is told; 2 concurrency, 3 max, 4 duration (ms): each may be
--   nothing.
-- include: queue
-- include: ready

call('HSETNX', META, 'opts.maxLenEvents', 10000)
call('HSETNX', META, 'version', ARGV[1])
if ARGV[2] ~= '' then
    call('HSET', META, 'concurrency', ARGV[2])
end
if ARGV[3] ~= '' then
    call('HSET', META, 'max', ARGV[3], 'duration', ARGV[4])
end
if ARGV[2] ~= '' or ARGV[3] ~= '' then
    if call('LLEN', WAIT) + call('ZCARD', PRIORITIZED) > 0 and not is_closed() then mark() end
end
