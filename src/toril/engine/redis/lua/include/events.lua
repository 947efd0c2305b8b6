-- Event records. The fields `toril` and `error` add what BullMQ's own events leave out; Node.js
-- ignores unknown fields.
-- needs: here
-- The stream is trimmed before a script's first event, never after it: with a small limit, nobody
-- would see the script's own events.
local function emit(q, ...)
    if not q.is_trimmed then
        q.is_trimmed = true
        local most = call('HGET', q.meta, 'opts.maxLenEvents')
        if not most then
            call('HSET', q.meta, 'opts.maxLenEvents', KEPT_EVENTS)
        end
        call('XTRIM', q.events, 'MAXLEN', '~', tonumber(most) and whole(most) or KEPT_EVENTS)
    end
    call('XADD', q.events, '*', 'event', ...)
end
