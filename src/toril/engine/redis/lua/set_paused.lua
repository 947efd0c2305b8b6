-- Pauses or resumes a queue. Running jobs continue.
-- ARGV: 1 "1" to pause, "0" to resume.
-- flags: allow-oom
-- include: queue
-- include: checks
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
    -- Old BullMQs moved a paused queue's jobs to this list; they go before jobs added since.
    in_pieces('RPUSH', WAIT, call('LRANGE', JOB .. 'paused', 0, -1))
    call('DEL', JOB .. 'paused')
    if call('LLEN', WAIT) + call('ZCARD', PRIORITIZED) > 0 then
        mark(HERE)
    else
        mark_due(HERE)
    end
end
emit(HERE, paused and 'paused' or 'resumed')
