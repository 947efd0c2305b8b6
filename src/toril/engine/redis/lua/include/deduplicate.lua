-- Deduplication keys: which job counts for a new one.
-- needs: here, events, store, parents, forget

-- rule: ttl (ms, 0: none), extend, replace.
-- Returns the id of the job that counts instead; nothing where the new one is to be added.
local function holder_of(q, id, rule, key_id)
    local key = q.base .. 'de:' .. key_id
    local holder = call('GET', key)
    if not holder then
        set_owner(key, id, rule.ttl)
        return nil
    end
    -- Its key too: another job may have got the id of a holder that is gone.
    if rule.replace and call('HGET', q.base .. holder, 'deid') == key_id
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
    -- If a replacing job finds its holder running, the time runs on: otherwise a steady stream of
    -- adds would keep out the one that is to follow.
    if rule.extend and rule.ttl > 0 and not rule.replace then
        set_owner(key, holder, rule.ttl)
    end
    emit(q, 'deduplicated', 'jobId', holder, 'deduplicationId', key_id, 'deduplicatedJobId', id)
    return holder
end
