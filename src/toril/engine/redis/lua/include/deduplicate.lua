-- Deduplication keys: which existing job stands in for a new one.
-- needs: here, events, store, parents, forget

-- rule: ttl (ms, 0: none), extend, replace.
-- Returns the id of the job that holds the key, or nil if the new job should be added.
local function holder_of(q, id, rule, key_id)
    local key = q.base .. 'de:' .. key_id
    local holder = try('GET', key)
    if type(holder) ~= 'string' then
        set_owner(key, id, rule.ttl)
        return nil
    end
    -- Check the job's key too: the holder may be gone, and another job may have its id.
    if rule.replace and try('HGET', q.base .. holder, 'deid') == key_id
        and call('ZREM', q.delayed, holder) == 1 then
        forget(q, holder)
        emit(q, 'removed', 'jobId', holder, 'prev', 'delayed')
        emit(q, 'deduplicated', 'jobId', id, 'deduplicationId', key_id,
             'deduplicatedJobId', holder, 'toril', '-')
        call('DEL', q.base .. 'dn:' .. key_id)
        if rule.ttl > 0 and not rule.extend then
            call('SET', key, id, 'KEEPTTL')
        else
            set_owner(key, id, rule.ttl)
        end
        return nil
    end
    if call('PTTL', key) == -1 and call('EXISTS', q.base .. holder) == 0 then
        call('DEL', q.base .. 'dn:' .. key_id)
        set_owner(key, id, rule.ttl)
        return nil
    end
    -- If a replacing job finds the holder running, the ttl is not extended: otherwise a steady
    -- stream of adds would keep the next job out forever.
    if rule.extend and rule.ttl > 0 and not rule.replace then
        set_owner(key, holder, rule.ttl)
    end
    emit(q, 'deduplicated', 'jobId', holder, 'deduplicationId', key_id, 'deduplicatedJobId', id)
    return holder
end
