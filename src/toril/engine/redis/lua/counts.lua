-- Counts a queue's jobs by state.
-- Returns: how many jobs are waiting, prioritized, delayed, waiting for children, active,
--   completed, failed.
-- include: queue
-- include: checks

local missing = missing_queue()
if missing then return missing end
return {
    call('LLEN', WAIT) + call('LLEN', JOB .. 'paused'), call('ZCARD', PRIORITIZED),
    call('ZCARD', DELAYED), call('ZCARD', CHILDREN), call('LLEN', ACTIVE),
    call('ZCARD', COMPLETED), call('ZCARD', FAILED),
}
