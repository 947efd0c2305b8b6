-- The one job that carries a schedule on must not be removed: the schedule would stop.
local function carries_schedule(id)
    local name, millis = string.match(id, '^repeat:(.+):(%d+)$')
    if not name then
        return false
    end
    return call('ZSCORE', JOB .. 'repeat', name) == millis
end
