-- Makes the next jobs of schedules whose jobs were taken, each once, whoever asks and how often.
-- ARGV: for each: the job that was taken, when the next is due, its options (JSON, but for what
--   its time decides), its priority, lifo (0, 1).
-- Returns: for each: 1 (made), 0 (the schedule is gone, or has moved on), -1 (there is a job of
--   that time already).
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
    local rule = schedule and carries_schedule(id) and call('HMGET', JOB .. 'repeat:' .. schedule,
                                                            'name', 'data')
    if not rule or not rule[1] then
        return 0
    end
    if not add_turn(schedule, due, rule[1], rule[2] or '{}', opts, priority, lifo) then
        return -1
    end
    call('HINCRBY', JOB .. 'repeat:' .. schedule, 'ic', 1)
    return 1
end

local answers, any = {}, false
for at = 1, #ARGV, 5 do
    local answer = advance(ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3]),
                           ARGV[at + 4] == '1')
    answers[#answers + 1] = answer
    any = any or answer == 1
end
if any then trim_events(HERE) end
return answers
