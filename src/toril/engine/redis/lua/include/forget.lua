-- Removing jobs and all their keys.
-- needs: here, parents

-- Removes a job's keys; the caller removes the job from its list or set.
-- by_hand: also free its deduplication key.
local function forget(q, id, by_hand)
    local key = q.base .. id
    local job = call('HMGET', key, 'deid', 'parentKey', 'opts')
    if job[3] and string.find(job[3], '"tags"', 1, true) then
        for _, tag in ipairs(cjson.decode(job[3]).tags or {}) do
            call('ZREM', q.own .. 'tag:' .. tag, id)
        end
    end
    if by_hand and job[1] and call('GET', q.base .. 'de:' .. job[1]) == id then
        call('DEL', q.base .. 'de:' .. job[1], q.base .. 'dn:' .. job[1])
    end
    if job[2] and job[2] ~= '' then
        child_removed(key, job[2])
    end
    return call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed',
                key .. ':failed', key .. ':unsuccessful')
end
