-- Reads how jobs ended.
-- ARGV: the ids.
-- Returns: for each, up to some megabytes in all: nil if it does not exist; 0 if it has not ended;
--   {1, result} if it completed; {2, reason, errors} if it failed.
-- include: queue
-- constant: BYTES

local found, bytes = {}, 0
for n, id in ipairs(ARGV) do
    if bytes > BYTES then
        break
    end
    local job = try('HMGET', JOB .. id, 'timestamp', 'finishedOn', 'returnvalue', 'failedReason',
                     'errors')
    if not job[1] then
        found[n] = false
    elseif not job[2] then
        found[n] = 0
    elseif call('ZSCORE', FAILED, id) then
        found[n] = {2, job[4] or '', job[5] or ''}
        bytes = bytes + #found[n][2] + #found[n][3]
    else
        found[n] = {1, job[3]}
        bytes = bytes + #(job[3] or '')
    end
end
return found
