-- Removes jobs that are not active, each with its children in whatever queue: as in BullMQ, none
-- of them where one runs.
-- ARGV: their ids.
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

-- Its children, but no job that has got the id of one meanwhile.
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

-- Whether it or one below it runs.
local function runs(q, id)
    if state_of(q, id) == 'active' then
        return true
    end
    for _, child in ipairs(children_of(q.base .. id)) do
        local its_base, its_id = string.match(child, '^(.*:)([^:]+)$')
        if runs(queue_at(its_base), its_id) then
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
        local its_base, its_id = string.match(child, '^(.*:)([^:]+)$')
        remove(queue_at(its_base), its_id, key)
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
    if state and (state == 'completed' or state == 'failed' or not carries_schedule(id))
        and not runs(HERE, id) then
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
