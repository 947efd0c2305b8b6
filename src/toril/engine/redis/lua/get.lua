-- Reads jobs.
-- ARGV: 1 the state that they must be in, or empty; then the ids.
-- Returns: for each, up to some megabytes in all: nil if it does not exist or is in another state,
--   else: id, state, score in its set or false, 1 if its cancellation was requested, and the values
--   of FIELDS in job_hash.py, which are left out if its key holds no hash.
-- include: queue
-- include: checks
-- include: here
-- include: find
-- constant: BYTES

local found, bytes = {}, 0
for n = 2, #ARGV do
    if bytes > BYTES then
        break
    end
    local id = ARGV[n]
    local state, score = state_of(HERE, id, #ARGV == 2 and ARGV[1] == '')
    if state and (ARGV[1] == '' or ARGV[1] == state) then
        local fields = try('HMGET', JOB .. id, 'name', 'data', 'opts', 'timestamp', 'processedOn',
                           'finishedOn', 'atm', 'attemptsMade', 'ats', 'stc', 'priority',
                           'progress', 'returnvalue', 'failedReason', 'stacktrace', 'errors', 'pb',
                           'defa')
        found[n - 1] = {id, state, score or false, call('SISMEMBER', CANCELS, id), unpack(fields)}
        bytes = bytes + #(fields[2] or '') + #(fields[13] or '') + #(fields[16] or '')
    else
        found[n - 1] = false
    end
end
return found
