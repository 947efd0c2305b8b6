-- Where a job is. Of a job that stands in no set, its lock or the list tells.
local SETS = {
    {COMPLETED, 'completed'}, {FAILED, 'failed'}, {DELAYED, 'delayed'},
    {PRIORITIZED, 'prioritized'}, {CHILDREN, 'waiting-children'},
}

-- Returns the state, and the score where it stands in a set; nothing where there is no such job.
local function state_of(id)
    if call('EXISTS', JOB .. id) == 0 then
        return nil
    end
    for _, set in ipairs(SETS) do
        local score = call('ZSCORE', set[1], id)
        if score then
            return set[2], score, set[1]
        end
    end
    if call('EXISTS', JOB .. id .. ':lock') == 1 or call('LPOS', ACTIVE, id) then
        return 'active'
    end
    return 'waiting'
end

-- Takes a job that is not active out of where it stands.
local function take_out(id, state, set)
    if set then
        call('ZREM', set, id)
    elseif call('LREM', WAIT, -1, id) == 0 then
        call('LREM', JOB .. 'paused', -1, id)  -- an old BullMQ's
    end
end
