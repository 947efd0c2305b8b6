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
local RENAMED = JOB .. 'paused'  -- the list of ready jobs while BullMQ 5 has paused the queue
local paused = ARGV[1] == '1'
local was_paused = call('HEXISTS', META, 'paused') == 1
if paused then
    call('HSET', META, 'paused', 1)
    if ready_list(HERE) == RENAMED and call('EXISTS', WAIT) == 1 then
        if call('EXISTS', RENAMED) == 0 then
            call('RENAME', WAIT, RENAMED)
        else  -- the oldest first, behind those that are there
            while call('RPOPLPUSH', WAIT, RENAMED) do end
        end
    end
elseif call('EXISTS', RENAMED) == 1 then
    if call('EXISTS', WAIT) == 0 then
        call('RENAME', RENAMED, WAIT)
    else  -- they go before jobs added since
        in_pieces('RPUSH', WAIT, call('LRANGE', RENAMED, 0, -1))
        call('UNLINK', RENAMED)
    end
end
if was_paused == paused then
    return
end
if paused then
    call('DEL', MARKER)
else
    call('HDEL', META, 'paused')
    if call('LLEN', WAIT) + call('ZCARD', PRIORITIZED) > 0 then
        mark(HERE)
    else
        mark_due(HERE)
    end
end
emit(HERE, paused and 'paused' or 'resumed')
