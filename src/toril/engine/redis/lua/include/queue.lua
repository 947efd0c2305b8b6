-- What every script needs: the keys of its queue, the time, and helpers.
-- KEYS: all keys of the queue, in the order of QueueKeys.all in keys.py.
-- constant: KEPT_EVENTS
-- constant: CHUNK
-- constant: LATEST_MS
local call, try = redis.call, redis.pcall
local META, ID, WAIT, ACTIVE, PRIORITIZED, PC, DELAYED, CHILDREN, COMPLETED, FAILED, EVENTS,
      MARKER, STALLED, LIMITER, PRODUCERS, CANCELS = unpack(KEYS)
local JOB = string.sub(META, 1, -5)        -- the prefix of BullMQ's keys and of jobs' keys
local OWN = string.sub(PRODUCERS, 1, -10)  -- the prefix of Toril's own keys
local LIMITS = OWN .. 'limits'             -- the limits that BullMQ does not support

local time = call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)  -- ms, by the server's clock

-- Numbers as text, for the hot path: Redis formats a number each time it is an argument.
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

-- Calls a command with a list of arguments, after a key if given. Lua's stack holds about 8,000
-- values, so long lists are split. Returns the sum of the answers.
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

-- Other programs write to these keys too, and not only what BullMQ would write. A script that
-- raised an error halfway would leave its work half done. So what belongs to a single job is read
-- and written with `try`, which returns errors: an error has no fields and is not a number.

-- Returns a number as a whole one; 0 if it is none, is negative, or exceeds 2^53.
local function whole(value)
    local n = tonumber(value)
    return n and n >= 0 and n < 0x20000000000000 and n - n % 1 or 0
end
