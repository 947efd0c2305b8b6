-- Writing down what happened. Fields that Node.js does not know (`toril`, `error`) pass it by:
-- they say what BullMQ's own events leave open.
local function emit(...)
    call('XADD', EVENTS, '*', 'event', ...)
end

local function trim_events()
    local most = call('HGET', META, 'opts.maxLenEvents')
    if not most then
        most = 10000
        call('HSET', META, 'opts.maxLenEvents', most)
    end
    call('XTRIM', EVENTS, 'MAXLEN', '~', most)
end
