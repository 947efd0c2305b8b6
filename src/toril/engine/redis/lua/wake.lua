-- Ends a wait for markers, so that other queues can join it. The key is gone once it has done so.
-- ARGV: 1 the name of the key behind "wake:"; 2 when it expires if nobody waits (ms).
-- include: queue

local key = OWN .. 'wake:' .. ARGV[1]
call('ZADD', key, 0, '0')
call('PEXPIRE', key, ARGV[2])
