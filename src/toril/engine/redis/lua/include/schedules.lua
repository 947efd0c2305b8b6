-- Schedules: what makes a job again and again.
local SCHEDULES = JOB .. 'repeat'

-- Returns whose job one is, and when it was due; nothing where it is no schedule's.
local function turn_of(id)
    return string.match(id, '^repeat:(.+):(%d+)$')
end

-- The one job that carries a schedule on until it is taken: without it the schedule would stop.
local function carries_schedule(id)
    local schedule, due = turn_of(id)
    return schedule and call('ZSCORE', SCHEDULES, schedule) == due
end
