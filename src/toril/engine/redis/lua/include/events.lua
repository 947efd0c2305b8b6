-- Event records. The fields `toril` and `error` add what BullMQ's own events leave out; Node.js
-- ignores unknown fields.
-- needs: here
local function emit(q, ...)
    call('XADD', q.events, '*', 'event', ...)
end

local function trim_events(q)
    local most = call('HGET', q.meta, 'opts.maxLenEvents')
    if not most then
        most = KEPT_EVENTS
        call('HSET', q.meta, 'opts.maxLenEvents', most)
    end
    call('XTRIM', q.events, 'MAXLEN', '~', most)
end
