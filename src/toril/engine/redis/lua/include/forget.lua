-- Removing jobs and all their keys.
-- needs: here, parents

-- Returns the tags in a job's options, as far as they can be read.
local function tags_of(opts)
    local tags, found = decoded(opts).tags, {}
    for _, tag in ipairs(type(tags) == 'table' and tags or {}) do
        if type(tag) == 'string' then found[#found + 1] = tag end
    end
    return found
end

-- Removes a job's keys; the caller removes the job from its list or set.
-- by_hand: also free its deduplication key.
local function forget(q, id, by_hand)
    local key = q.base .. id
    local job = try('HMGET', key, 'deid', 'parentKey', 'opts')
    if job[3] and string.find(job[3], '"tags"', 1, true) then
        for _, tag in ipairs(tags_of(job[3])) do
            try('ZREM', q.own .. 'tag:' .. tag, id)
        end
    end
    if by_hand and job[1] and try('GET', q.base .. 'de:' .. job[1]) == id then
        call('UNLINK', q.base .. 'de:' .. job[1], q.base .. 'dn:' .. job[1])
    end
    if job[2] and job[2] ~= '' then
        child_removed(key, job[2])
    end
    return call('UNLINK', key, key .. ':logs', key .. ':dependencies', key .. ':processed',
                key .. ':failed', key .. ':unsuccessful')
end
