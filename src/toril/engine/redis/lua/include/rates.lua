-- Rate limits: a fixed window, or a token bucket stored as the time at which it is full again.
-- If the server's clock was set back, the stored times are too far in the future. They are ignored,
-- so that no limit holds jobs back for longer than it could by the clock as it is now.

-- constant: CLOCK_SLACK_MS

-- Returns when a bucket is full again.
local function full_at_of(key, max, per, burst)
    local full_at = tonumber(call('GET', key)) or 0
    if full_at > NOW + burst * per / max + CLOCK_SLACK_MS then
        return NOW
    end
    return math.max(full_at, NOW)
end

-- Returns how many jobs may start now, and when one more than that may start.
local function left_of(key, max, per, burst)
    if not burst then
        local left, ends = max - (tonumber(call('GET', key)) or 0), call('PTTL', key)
        if ends > per + CLOCK_SLACK_MS then
            call('DEL', key)
            left, ends = tonumber(max), per
        end
        return left, NOW + math.max(ends, 1)
    end
    local step = per / max
    local full_at = full_at_of(key, max, per, burst)
    -- Rounding may leave slightly less than a whole job: count it as one.
    local left = math.floor(burst - (full_at - NOW) / step + 1e-6)
    return left, math.ceil(full_at - (burst - left - 1) * step)
end

local function spend(key, max, per, burst, n)
    if not burst then
        if call('INCRBY', key, n) == n then call('PEXPIREAT', key, NOW + per) end
        return
    end
    local full_at = full_at_of(key, max, per, burst) + n * per / max
    call('SET', key, string.format('%.17g', full_at), 'PX', math.ceil(full_at - NOW))
end
