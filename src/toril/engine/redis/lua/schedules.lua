-- Lists a queue's schedules.
-- Returns: for each schedule, ordered by due time: id, due time of its newest job (ms), its hash.
-- include: queue
-- include: checks
-- include: schedules

local missing = missing_queue()
if missing then return missing end
local found = {}
local all = call('ZRANGE', SCHEDULES, 0, -1, 'WITHSCORES')
for n = 1, #all, 2 do
    local rule = try('HGETALL', JOB .. 'repeat:' .. all[n])
    found[#found + 1] = {all[n], all[n + 1], rule.err and {} or rule}
end
return found
