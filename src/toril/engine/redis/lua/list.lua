-- Lists a part of the ids in one state: next to run first, or last finished first.
-- ARGV: 1 the state; 2 how many; then the end of the previous part. For sets: 3 the score, or empty
--   to start; 4 the id. For lists: 3 "-"; then its last ids, the very last first: the first one
--   that is still in the list counts.
-- Returns: for sets: id, score, id, score, …; for lists: the ids.
-- include: queue

local STATE, COUNT, AFTER = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local SETS = {
    prioritized = PRIORITIZED, delayed = DELAYED, ['waiting-children'] = CHILDREN,
    completed = COMPLETED, failed = FAILED,
}
local set = SETS[STATE]
if not set then
    -- BullMQ 5 renames the list of ready jobs while a queue is paused.
    local lists = STATE == 'active' and {ACTIVE} or {JOB .. 'paused', WAIT}
    local first, skip = nil, 0
    for n = 4, #ARGV do
        for place, list in ipairs(lists) do
            local at = not first and call('LPOS', list, ARGV[n], 'RANK', -1)
            if at then
                first, skip = place, call('LLEN', list) - at
            end
        end
    end
    local found = {}
    for place = first or 1, #lists do
        local most = COUNT - #found
        local ids = most > 0 and call('LRANGE', lists[place], -skip - most, -skip - 1) or {}
        for n = #ids, 1, -1 do
            found[#found + 1] = ids[n]
        end
        skip = 0
    end
    return found
end

local newest_first = STATE == 'completed' or STATE == 'failed'
local size = call('ZCARD', set)

-- Returns the rank of the first member after (score, id), which may be gone itself.
local function rank_after(score, id)
    local low = call('ZCOUNT', set, '-inf', '(' .. score)
    local high = low + call('ZCOUNT', set, score, score)
    while low < high do
        local middle = math.floor((low + high) / 2)
        local member = call('ZRANGE', set, middle, middle)[1]
        if member < id or (member == id and not newest_first) then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

if not newest_first then
    local first = AFTER == '' and 0 or rank_after(AFTER, ARGV[4])
    return call('ZRANGE', set, first, first + COUNT - 1, 'WITHSCORES')
end
local left = AFTER == '' and size or rank_after(AFTER, ARGV[4])
local first = size - left
return call('ZREVRANGE', set, first, first + COUNT - 1, 'WITHSCORES')
