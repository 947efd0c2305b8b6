-- Deduplication keys: which existing job stands in for a new one.
-- needs: here, events, store, parents, forget

-- Lets a key be held no longer than its holder asked for, if the clock was set back.
local function shorten(q, key, holder, ttl)
    local left = call('PTTL', key)
    if ttl == 0 or left <= ttl then
        return
    end
    local rule = decoded(try('HGET', q.base .. holder, 'opts')).de
    local asked = type(rule) == 'table' and rule.ttl and whole(rule.ttl) or ttl
    if asked > 0 and left > asked then
        call('PEXPIRE', key, string.format('%.0f', asked))
    end
end

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
    if rule.replace then
        -- The holder has started, is about to, or has ended, so it cannot be replaced. The last job
        -- of a burst runs all the same: after it.
        set_owner(key, id, rule.ttl)
        return nil
    end
    if call('PTTL', key) == -1 and call('EXISTS', q.base .. holder) == 0 then
        call('DEL', q.base .. 'dn:' .. key_id)
        set_owner(key, id, rule.ttl)
        return nil
    end
    if rule.extend and rule.ttl > 0 then
        set_owner(key, holder, rule.ttl)
    else
        shorten(q, key, holder, rule.ttl)
    end
    emit(q, 'deduplicated', 'jobId', holder, 'deduplicationId', key_id, 'deduplicatedJobId', id)
    return holder
end
