-- Removes jobs that are not active, each with its children in any queue. As in BullMQ, a job is not
-- removed while it or one of its descendants is active.
-- ARGV: the ids.
-- Returns: the ids of those that were removed.
-- flags: allow-oom
-- include: queue
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
        call('HKEYS', key .. ':processed'), call('HKEYS', key .. ':failed'),
        call('ZRANGE', key .. ':unsuccessful', 0, -1), call('SMEMBERS', key .. ':dependencies'),
    }) do
        for _, child in ipairs(found) do
            if call('HGET', child, 'parentKey') == key then
                children[#children + 1] = child
            end
        end
    end
    return children
end

-- Returns whether a job or one of its descendants is active.
local function is_running(q, id)
    if state_of(q, id) == 'active' then
        return true
    end
    for _, child in ipairs(children_of(q.base .. id)) do
        local child_base, child_id = string.match(child, '^(.*:)([^:]+)$')
        if is_running(queue_at(child_base), child_id) then
            return true
        end
    end
    return false
end

local gone = {}
local function remove(q, id, parent_key)
    local key = q.base .. id
    if parent_key and parent_key ~= '' then child_removed(key, parent_key) end
    for _, child in ipairs(children_of(key)) do
        local child_base, child_id = string.match(child, '^(.*:)([^:]+)$')
        remove(queue_at(child_base), child_id, key)
    end
    local state, _, set = state_of(q, id)
    if state then
        take_out(q, id, state, set)
        forget(q, id, true)
        emit(q, 'removed', 'jobId', id, 'prev', state == 'waiting' and 'wait' or state)
        gone[key] = true
    end
end

local removed = {}
for _, id in ipairs(ARGV) do
    local key = JOB .. id
    local state = state_of(HERE, id)
    if state and (state == 'completed' or state == 'failed' or not is_pending_job(id))
        and not is_running(HERE, id) then
        remove(HERE, id, call('HGET', key, 'parentKey'))
    end
end
for _, id in ipairs(ARGV) do
    if gone[JOB .. id] then
        removed[#removed + 1] = id
        gone[JOB .. id] = nil
    end
end
if #removed > 0 then trim_events(HERE) end
return removed
