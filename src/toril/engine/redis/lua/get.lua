-- Reads jobs.
-- ARGV: 1 the state that they must be in, or empty; then the ids.
-- Returns: for each: nil if it does not exist or is in another state, else: id, state, score in its
--   set or false, 1 if its cancellation was requested, and the values of FIELDS in job_hash.py.
-- include: queue
-- include: here
-- include: find

local found = {}
for n = 2, #ARGV do
    local id = ARGV[n]
    local state, score = state_of(HERE, id)
    if state and (ARGV[1] == '' or ARGV[1] == state) then
        found[n - 1] = {
            id, state, score or false, call('SISMEMBER', CANCELS, id),
            unpack(call('HMGET', JOB .. id, 'name', 'data', 'opts', 'timestamp', 'processedOn',
                        'finishedOn', 'atm', 'attemptsMade', 'ats', 'stc', 'priority', 'progress',
                        'returnvalue', 'failedReason', 'stacktrace', 'errors', 'pb', 'defa'))
        }
    else
        found[n - 1] = false
    end
end
return found
