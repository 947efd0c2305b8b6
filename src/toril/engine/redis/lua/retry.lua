-- Runs finished jobs again as if they were new, but keeps their errors.
-- ARGV: the ids.
-- Returns: how many it went through, the ids of those that were finished.
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: parents

local missing = missing_queue()
if missing then return missing end
local again = {#ARGV}
for _, id in ipairs(ARGV) do
    local prev = call('ZREM', COMPLETED, id) == 1 and 'completed'
        or call('ZREM', FAILED, id) == 1 and 'failed'
    if prev then
        local key = JOB .. id
        try('HDEL', key, 'finishedOn', 'processedOn', 'failedReason', 'returnvalue', 'progress',
            'defa', 'stc', 'pb')
        try('HSET', key, 'atm', 0, 'ats', 0)
        local job = try('HMGET', key, 'priority', 'parentKey', 'opts')
        push_again(HERE, id, whole(job[1]), job[3])
        if job[2] and job[2] ~= '' then
            child_runs_again(key, job[2], prev)
        end
        emit(HERE, 'waiting', 'jobId', id, 'prev', prev)
        again[#again + 1] = id
    end
end
if #again > 1 then
    if not is_closed(HERE) then mark(HERE) end
end
return again
