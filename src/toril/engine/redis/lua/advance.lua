-- Creates the next jobs of schedules whose jobs were fetched. Repeating the call creates nothing.
-- ARGV: for each: the id of the fetched job, the due time of the next one (ms), its options (JSON,
--   without those that depend on its time), its priority, lifo (0, 1).
-- Returns: for each: 1 (created), 0 (the schedule is gone, or already has a later job), -1 (a job
--   for this time exists).
-- flags: allow-oom
-- include: queue
-- include: here
-- include: events
-- include: ready
-- include: store
-- include: schedules
-- include: schedule_turn

local function advance(id, due, opts, priority, lifo)
    local schedule = turn_of(id)
    local rule = schedule and is_pending_job(id) and try('HMGET', JOB .. 'repeat:' .. schedule,
                                                           'name', 'data')
    if not rule or not rule[1] then
        return 0
    end
    if not add_turn(schedule, due, rule[1], rule[2] or '{}', opts, priority, lifo) then
        return -1
    end
    try('HINCRBY', JOB .. 'repeat:' .. schedule, 'ic', 1)
    return 1
end

local answers = {}
for at = 1, #ARGV, 5 do
    answers[#answers + 1] = advance(ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2],
                                    tonumber(ARGV[at + 3]), ARGV[at + 4] == '1')
end
return answers
