-- Reads all keys of a job as they are. Of a long list or set, only the beginning is read.
-- ARGV: the id.
-- Returns: for each key: its suffix after the job's key, its type, its values. A key that was put
--   aside because it held no job has the suffix "unreadable".
-- include: queue

local MOST = 100

local function values_of(key, kind)
    if kind == 'hash' then return call('HGETALL', key) end
    if kind == 'list' then return call('LRANGE', key, 0, MOST - 1) end
    if kind == 'set' then return call('SRANDMEMBER', key, MOST) end
    if kind == 'zset' then return call('ZRANGE', key, 0, MOST - 1, 'WITHSCORES') end
    if kind == 'string' then return {call('GET', key)} end
    return {}
end

local found = {}
local function read(suffix, key)
    local kind = call('TYPE', key).ok
    if kind ~= 'none' then
        found[#found + 1] = {suffix, kind, values_of(key, kind)}
    end
end

local key = JOB .. ARGV[1]
read('', key)
for _, suffix in ipairs({'lock', 'logs', 'dependencies', 'processed', 'failed', 'unsuccessful'}) do
    read(suffix, key .. ':' .. suffix)
end
read('unreadable', OWN .. 'unreadable:' .. ARGV[1])
return found
