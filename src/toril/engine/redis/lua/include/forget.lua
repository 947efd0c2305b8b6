-- Removing jobs and all that is theirs.
-- needs: parents

-- Takes a job's record away; the list or set that it stands in is the caller's.
-- by_hand: its deduplication key goes, too, and its parent waits for it no more.
local function forget(id, by_hand)
    local key = JOB .. id
    local job = call('HMGET', key, 'deid', 'parentKey', 'opts')
    if job[3] and string.find(job[3], '"tags"', 1, true) then
        for _, tag in ipairs(cjson.decode(job[3]).tags or {}) do
            call('ZREM', OWN .. 'tag:' .. tag, id)
        end
    end
    if by_hand and job[1] and call('GET', JOB .. 'de:' .. job[1]) == id then
        call('DEL', JOB .. 'de:' .. job[1], JOB .. 'dn:' .. job[1])
    end
    if job[2] and job[2] ~= '' then
        child_removed(key, job[2])
    end
    return call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed',
                key .. ':failed', key .. ':unsuccessful')
end
