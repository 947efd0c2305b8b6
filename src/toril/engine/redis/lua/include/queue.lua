-- What every script knows of its queue.
-- KEYS: all keys of the queue, in the order of QueueKeys.all in keys.py.
-- constant: KEPT_EVENTS
-- constant: CHUNK
local call = redis.call
local META, ID, WAIT, ACTIVE, PRIORITIZED, PC, DELAYED, CHILDREN, COMPLETED, FAILED, EVENTS,
      MARKER, STALLED, LIMITER, PRODUCERS, CANCELS = unpack(KEYS)
local JOB = string.sub(META, 1, -5)        -- what stands before a job's id in its key
local OWN = string.sub(PRODUCERS, 1, -10)  -- what stands before the keys that are not BullMQ's
local LIMITS = OWN .. 'limits'             -- those that BullMQ does not know

local time = call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)  -- ms; the server's clock rules

-- As text for the hot path: Redis prints each number that it is given as an argument anew.
local NOW_TEXT = string.format('%d', NOW)
local texts = {}
local function text(n)
    local known = texts[n]
    if not known then
        known = string.format('%d', n)
        texts[n] = known
    end
    return known
end

-- Calls a command with a list; before it stands a key, or nothing. Lua's stack holds some 8,000
-- values, so that long lists go in pieces. Returns the sum of the answers.
local function in_pieces(command, key, list)
    local sum = 0
    for first = 1, #list, 5000 do
        local last = math.min(first + 4999, #list)
        if key then
            sum = sum + call(command, key, unpack(list, first, last))
        else
            sum = sum + call(command, unpack(list, first, last))
        end
    end
    return sum
end

local function missing_queue()
    if call('EXISTS', META) == 0 then
        return redis.error_reply('NOQUEUE there is no such queue')
    end
end
