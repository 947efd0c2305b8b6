-- What most scripts check before they begin.

-- Finding an id in a list takes as long as the list is. So a script that searches lists counts the
-- entries, and does not begin with another id when it has searched so many.
local MOST_SEARCHED = 2000000
local searched = 0

-- Raises now, before anything is moved, if a key of the queue holds something else.
local function check_keys()
    call('LLEN', WAIT)
    call('LLEN', ACTIVE)
    for _, set in ipairs({PRIORITIZED, DELAYED, CHILDREN, COMPLETED, FAILED, MARKER}) do
        call('ZCARD', set)
    end
    call('XLEN', EVENTS)
end

local function missing_queue()
    if call('EXISTS', META) == 0 then
        return redis.error_reply('NOQUEUE there is no such queue')
    end
    check_keys()
end
