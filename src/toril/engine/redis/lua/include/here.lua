-- Queues as tables, so that one function serves this queue and other queues that a script reaches:
-- a parent's or a follow-up's.

local HERE = {
    base = JOB, own = OWN, meta = META, wait = WAIT, active = ACTIVE, prioritized = PRIORITIZED,
    pc = PC, delayed = DELAYED, failed = FAILED, events = EVENTS, marker = MARKER, id = ID,
}

-- base: the prefix of a queue's keys, "<prefix>:<queue>:".
local function queue_at(base)
    if base == JOB then
        return HERE
    end
    local prefix, name = string.match(base, '^(.*):([^:]+):$')
    return {
        base = base, own = prefix .. '::toril:' .. name .. ':', meta = base .. 'meta',
        wait = base .. 'wait', active = base .. 'active', prioritized = base .. 'prioritized',
        pc = base .. 'pc', delayed = base .. 'delayed', failed = base .. 'failed',
        events = base .. 'events', marker = base .. 'marker', id = base .. 'id',
    }
end
