-- Pauses a queue, or resumes it. Running jobs go on.
-- ARGV: 1 "1" or "0".
-- flags: allow-oom
-- include: queue
-- include: here
-- include: events
-- include: ready

local missing = missing_queue()
if missing then return missing end
local paused = ARGV[1] == '1'
if (call('HEXISTS', META, 'paused') == 1) == paused then
    return
end
if paused then
    call('HSET', META, 'paused', 1)
    call('DEL', MARKER)
else
    call('HDEL', META, 'paused')
    -- An old BullMQ moved the jobs of a queue that it paused; they were there first.
    in_pieces('RPUSH', WAIT, call('LRANGE', JOB .. 'paused', 0, -1))
    call('DEL', JOB .. 'paused')
    if call('LLEN', WAIT) + call('ZCARD', PRIORITIZED) > 0 then
        mark(HERE)
    else
        mark_due(HERE)
    end
end
emit(HERE, paused and 'paused' or 'resumed')
trim_events(HERE)
