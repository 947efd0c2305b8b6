-- ARGV: 1 the state that all are in, or nothing; then ids.
-- Returns: for each, nothing where it is not there, else: id, state, score in its set, whether a
--   cancel was asked for (1), and the fields of FIELDS in inspecting.py.
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
