-- Storing a job and putting it in line.
-- needs: events, ready

local function set_owner(key, id, ttl)
    if ttl > 0 then
        call('SET', key, id, 'PX', ttl)
    else
        call('SET', key, id)
    end
end

local function index_tags(id, tags)
    for _, tag in ipairs(tags) do
        call('ZADD', OWN .. 'tag:' .. tag, call('INCR', OWN .. 'tagged'), id)
    end
end

-- What follows the priority are further fields of the job's hash, each with its value.
local function store(id, name, data, opts, delay, priority, ...)
    call('HSET', JOB .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', NOW,
         'delay', delay, 'priority', priority, ...)
    emit('added', 'jobId', id, 'name', name)
end
