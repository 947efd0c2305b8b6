-- Schedules: jobs that repeat.
local SCHEDULES = JOB .. 'repeat'

-- Returns the schedule's id and the due time of a schedule's job; nil for other jobs.
local function turn_of(id)
    return string.match(id, '^repeat:(.+):(%d+)$')
end

-- Returns whether this is its schedule's pending job. Without it the schedule would stop.
local function is_pending_job(id)
    local schedule, due = turn_of(id)
    return schedule and call('ZSCORE', SCHEDULES, schedule) == due
end
