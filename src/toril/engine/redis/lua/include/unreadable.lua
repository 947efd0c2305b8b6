-- Jobs that cannot be read: fails them by themselves, and keeps what they held. Inserted into
-- exchange.lua.

-- constant: KEPT_MINUTES

-- Returns whether a key belongs to the queue, so that no job can be there.
local function is_queues(id, key)
    for _, own in ipairs(KEYS) do
        if key == own then return true end
    end
    return id == 'paused' or id == 'repeat' or id == 'stalled-check' or id == 'delay'
end

-- Returns the fields of a job without a name, or whose key holds no hash, with the reason to fail
-- it; nil if there is no job: another client removed it, or the id is an old BullMQ's marker or a
-- key of the queue.
local function read_unreadable(id, key)
    local kind = call('TYPE', key).ok
    if kind == 'none' or is_queues(id, key) then
        return nil
    end
    local reason = 'the job cannot be read: it has no name'
    if kind ~= 'hash' then
        if string.find(id, ':', 1, true) then
            return nil  -- a job's id has no colon, but keys that belong to a job have
        end
        local kept = OWN .. 'unreadable:' .. id
        call('RENAME', key, kept)
        call('PEXPIRE', kept, KEPT_MINUTES * 60000)
        reason = 'the job cannot be read: its key held a ' .. kind .. ', which is now at ' .. kept
    end
    call('HSET', key, 'name', '', 'defa', reason)
    call('HSETNX', key, 'timestamp', NOW_TEXT)
    return call('HMGET', key, unpack(FIELDS))
end
