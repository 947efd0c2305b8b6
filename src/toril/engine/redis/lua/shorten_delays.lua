-- After the clock was set back: lets a part of the delayed jobs wait no longer than they were asked
-- to. Leaves out the jobs of schedules, and those that wait for a point in time.
-- ARGV: 1 the greatest score to check, or "+inf"; 2 how many jobs to check; then for schedules'
--   jobs: id, when it is due instead (ms).
-- Returns: the next greatest score, or nil if all were checked.
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready

-- constant: CLOCK_SLACK_MS

local missing = missing_queue()
if missing then return missing end
for n = 3, #ARGV, 2 do
    local score, due = call('ZSCORE', DELAYED, ARGV[n]), tonumber(ARGV[n + 1])
    if score and due < math.floor(score / 0x1000) then
        delay_until(HERE, ARGV[n], due)
    end
end
local found = call('ZREVRANGEBYSCORE', DELAYED, ARGV[1], '(' .. NOW * 0x1000, 'WITHSCORES',
                   'LIMIT', 0, ARGV[2])
for n = 1, #found, 2 do
    local id, due = found[n], math.floor(found[n + 1] / 0x1000)
    local job = try('HMGET', JOB .. id, 'delay', 'opts')
    local asked, at = whole(job[1]), tonumber(string.match(job[2] or '', '"scheduledAt":(%d+)'))
    if job[1] and due > NOW + asked + CLOCK_SLACK_MS and due ~= at
        and string.sub(id, 1, 7) ~= 'repeat:' then
        delay_until(HERE, id, NOW + asked)
    end
end
mark_due(HERE)
return #found == 2 * ARGV[2] and found[#found] or nil
