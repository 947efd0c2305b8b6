-- Finds leases whose jobs should be cancelled.
-- ARGV: for each lease: id, token.
-- Returns: the indexes, from 0, of the held leases whose jobs' cancellation was requested.
-- include: queue

local found = {}
if call('EXISTS', CANCELS) == 1 then
    for at = 1, #ARGV, 2 do
        if call('SISMEMBER', CANCELS, ARGV[at]) == 1
            and call('MGET', JOB .. ARGV[at] .. ':lock')[1] == ARGV[at + 1] then
            found[#found + 1] = (at - 1) / 2
        end
    end
end
return found
