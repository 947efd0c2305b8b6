-- Finding a job's state. For a job in no sorted set, its lock or the active list decides.
-- needs: checks, here
local SETS = {'completed', 'failed', 'delayed', 'prioritized', 'waiting-children'}

-- Returns the state, and for a job in a sorted set also its score and the set's key; nil if the job
-- does not exist.
-- is_alone: search the lists of waiting jobs too, which may take as long as they are.
local function state_of(q, id, is_alone)
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
    if call('EXISTS', base .. id .. ':lock') == 1 then
        return 'active'
    end
    -- Without a lock it may be active only until it is rescued. A long list is not searched.
    local running = call('LLEN', q.active)
    if running <= CHUNK or is_alone then
        searched = searched + running
        if call('LPOS', q.active, id) then
            return 'active'
        end
    end
    if is_alone and not call('LPOS', q.wait, id, 'RANK', -1)
        and not call('LPOS', q.base .. 'paused', id) then
        return 'unknown'  -- left behind by a client that died between two commands
    end
    return 'waiting'
end

-- Removes a job that is not active from its list or set.
local function take_out(q, id, state, set)
    if set then
        call('ZREM', set, id)
    else
        searched = searched + call('LLEN', q.wait)
        if call('LREM', q.wait, -1, id) == 0 then
            call('LREM', q.base .. 'paused', -1, id)  -- used by old BullMQs
        end
    end
end
