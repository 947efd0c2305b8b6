-- Adding the jobs of a batch one by one. Inserted into add.lua.
-- needs: here, events, place, deduplicate

-- Returns the answer for a job of a batch that was added before.
local function added_before(id, key_id)
    if key_id and call('EXISTS', JOB .. id) == 0 then
        local holder = try('GET', JOB .. 'de:' .. key_id)
        if type(holder) == 'string' then
            return holder
        end
    end
    return 0
end

local function add_one(job, id, data, rule, key_id)
    if call('EXISTS', JOB .. id) == 1 then
        emit(HERE, 'duplicated', 'jobId', id)
        return 0
    end
    local holder = rule and holder_of(HERE, id, rule, key_id)
    if holder then
        return holder
    end
    job.id, job.data, job.key_id = id, data, key_id
    if place(HERE, job) then added_delayed = true else added_ready = true end
    return 1
end
