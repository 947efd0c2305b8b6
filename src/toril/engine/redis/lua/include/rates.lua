-- Rate limits: a fixed window, or a token bucket stored as the time at which it is full again.

-- Returns how many jobs may start now, and when one more than that may start.
local function left_of(key, max, per, burst)
    if not burst then
        local left = max - (tonumber(call('GET', key)) or 0)
        return left, NOW + math.max(call('PTTL', key), 1)
    end
    local step = per / max
    local full_at = math.max(tonumber(call('GET', key)) or 0, NOW)
    -- Rounding may leave slightly less than a whole job: count it as one.
    local left = math.floor(burst - (full_at - NOW) / step + 1e-6)
    return left, math.ceil(full_at - (burst - left - 1) * step)
end

local function spend(key, max, per, burst, n)
    if not burst then
        if call('INCRBY', key, n) == n then call('PEXPIRE', key, per) end
        return
    end
    local full_at = math.max(tonumber(call('GET', key)) or 0, NOW) + n * per / max
    call('SET', key, string.format('%.17g', full_at), 'PX', math.ceil(full_at - NOW))
end
