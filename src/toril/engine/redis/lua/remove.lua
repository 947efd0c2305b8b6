-- Removes jobs that are not active, each with its children in any queue. As in BullMQ, a job is not
-- removed while it or one of its descendants is active.
-- ARGV: the ids.
-- Returns: how many it went through, the ids of those that were removed.
-- flags: allow-oom
-- include: queue
-- include: checks
-- include: here
-- include: events
-- include: ready
-- include: parents
-- include: forget
-- include: find
-- include: schedules

local missing = missing_queue()
if missing then return missing end

-- Returns a job's children, but not unrelated jobs that now have the id of a former child.
local function children_of(key)
    local children = {}
    for _, found in ipairs({
        try('HKEYS', key .. ':processed'), try('HKEYS', key .. ':failed'),
        try('ZRANGE', key .. ':unsuccessful', 0, -1), try('SMEMBERS', key .. ':dependencies'),
    }) do
        for _, child in ipairs(found) do
            if string.find(child, ':', 1, true) and try('HGET', child, 'parentKey') == key then
                children[#children + 1] = child
            end
        end
    end
    return children
end

-- Returns whether a job or one of its descendants is active. A job may be its own descendant.
local function is_running(q, id, seen)
    local key = q.base .. id
    if seen[key] then
        return false
    end
    seen[key] = true
    if state_of(q, id) == 'active' then
        return true
    end
    for _, child in ipairs(children_of(key)) do
        local child_base, child_id = string.match(child, '^(.*:)([^:]*)$')
        if is_running(queue_at(child_base), child_id, seen) then
            return true
        end
    end
    return false
end

local gone = {}
local function remove(q, id, parent_key)
    local key = q.base .. id
    if gone[key] then
        return
    end
    gone[key] = true
    if parent_key and parent_key ~= '' then child_removed(key, parent_key) end
    for _, child in ipairs(children_of(key)) do
        local child_base, child_id = string.match(child, '^(.*:)([^:]*)$')
        remove(queue_at(child_base), child_id, key)
    end
    local state, _, set = state_of(q, id)
    if state then
        take_out(q, id, state, set)
        forget(q, id, true)
        emit(q, 'removed', 'jobId', id, 'prev', state == 'waiting' and 'wait' or state)
    end
end

local removed = {0}
for _, id in ipairs(ARGV) do
    if searched > MOST_SEARCHED then
        break
    end
    removed[1] = removed[1] + 1
    local key = JOB .. id
    local state = state_of(HERE, id)
    if state and (state == 'completed' or state == 'failed' or not is_pending_job(id))
        and not is_running(HERE, id, {}) then
        remove(HERE, id, try('HMGET', key, 'parentKey')[1])
    end
end
for _, id in ipairs(ARGV) do
    if gone[JOB .. id] then
        removed[#removed + 1] = id
        gone[JOB .. id] = nil
    end
end
return removed
