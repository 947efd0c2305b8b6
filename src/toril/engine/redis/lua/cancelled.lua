-- ARGV: for each lease its id and token.
-- Returns: the places, from 0, of those that are held and whose jobs somebody asked to cancel.
-- include: queue

local found = {}
if call('EXISTS', CANCELS) == 1 then
    for at = 1, #ARGV, 2 do
        if call('SISMEMBER', CANCELS, ARGV[at]) == 1
            and call('GET', JOB .. ARGV[at] .. ':lock') == ARGV[at + 1] then
            found[#found + 1] = (at - 1) / 2
        end
    end
end
return found
