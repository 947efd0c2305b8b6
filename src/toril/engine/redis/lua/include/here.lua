-- Queues as tables, so that one function serves this queue and other queues that a script reaches:
-- a parent's or a follow-up's. Also what reads the JSON of other programs.

-- Returns JSON text as a table; an empty one if it is neither an object nor an array.
local function decoded(text)
    local known, value = pcall(cjson.decode, text)
    return known and type(value) == 'table' and value or {}
end

local HERE = {
    base = JOB, own = OWN, meta = META, wait = WAIT, active = ACTIVE, prioritized = PRIORITIZED,
    pc = PC, delayed = DELAYED, failed = FAILED, events = EVENTS, marker = MARKER, id = ID,
}

local QUEUES = {[JOB] = HERE}

-- base: the prefix of a queue's keys, "<prefix>:<queue>:".
local function queue_at(base)
    if QUEUES[base] then
        return QUEUES[base]
    end
    local prefix, name = string.match(base, '^(.*):([^:]+):$')
    prefix, name = prefix or base, name or ''
    QUEUES[base] = {
        base = base, own = prefix .. '::toril:' .. name .. ':', meta = base .. 'meta',
        wait = base .. 'wait', active = base .. 'active', prioritized = base .. 'prioritized',
        pc = base .. 'pc', delayed = base .. 'delayed', failed = base .. 'failed',
        events = base .. 'events', marker = base .. 'marker', id = base .. 'id',
    }
    return QUEUES[base]
end
