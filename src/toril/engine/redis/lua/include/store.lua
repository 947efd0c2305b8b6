-- Storing a job, its tags and its deduplication key.
-- needs: here, events, ready

local function set_owner(key, id, ttl)
    if ttl > 0 then
        call('SET', key, id, 'PX', ttl)
    else
        call('SET', key, id)
    end
end

local function index_tags(q, id, tags)
    for _, tag in ipairs(tags) do
        call('ZADD', q.own .. 'tag:' .. tag, call('INCR', q.own .. 'tagged'), id)
    end
end

-- Further fields of the job's hash follow the priority, as pairs of field and value.
local function store(q, id, name, data, opts, delay, priority, ...)
    call('HSET', q.base .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', NOW,
         'delay', delay, 'priority', priority, ...)
    emit(q, 'added', 'jobId', id, 'name', name)
end
