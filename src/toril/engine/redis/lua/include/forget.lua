-- Removing jobs and all that is theirs.
-- needs: parents

-- What stands before the keys of another queue that are not BullMQ's.
local function own_of(base)
    local prefix, name = string.match(base, '^(.*):([^:]+):$')
    return prefix .. '::toril:' .. name .. ':'
end

-- Takes a job's record away; the list or set that it stands in is the caller's.
-- by_hand: its deduplication key goes, too.
-- base: what stands before its id in its key, where it is not of this queue.
local function forget(id, by_hand, base)
    base = base or JOB
    local key = base .. id
    local job = call('HMGET', key, 'deid', 'parentKey', 'opts')
    if job[3] and string.find(job[3], '"tags"', 1, true) then
        local own = base == JOB and OWN or own_of(base)
        for _, tag in ipairs(cjson.decode(job[3]).tags or {}) do
            call('ZREM', own .. 'tag:' .. tag, id)
        end
    end
    if by_hand and job[1] and call('GET', base .. 'de:' .. job[1]) == id then
        call('DEL', base .. 'de:' .. job[1], base .. 'dn:' .. job[1])
    end
    if job[2] and job[2] ~= '' then
        child_removed(key, job[2])
    end
    return call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed',
                key .. ':failed', key .. ':unsuccessful')
end
