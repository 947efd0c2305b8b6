-- Where a job is. Of a job that stands in no set, its lock or the list tells.
-- needs: here
local SETS = {'completed', 'failed', 'delayed', 'prioritized', 'waiting-children'}

-- Returns the state, and the score where it stands in a set; nothing where there is no such job.
local function state_of(q, id)
    local base = q.base
    if call('EXISTS', base .. id) == 0 then
        return nil
    end
    for _, set in ipairs(SETS) do
        local score = call('ZSCORE', base .. set, id)
        if score then
            return set, score, base .. set
        end
    end
    if call('EXISTS', base .. id .. ':lock') == 1 or call('LPOS', base .. 'active', id) then
        return 'active'
    end
    return 'waiting'
end

-- Takes a job that is not active out of where it stands.
local function take_out(q, id, state, set)
    if set then
        call('ZREM', set, id)
    elseif call('LREM', q.wait, -1, id) == 0 then
        call('LREM', q.base .. 'paused', -1, id)  -- an old BullMQ's
    end
end
