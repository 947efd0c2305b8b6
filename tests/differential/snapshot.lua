-- Everything under a prefix.
-- ARGV: 1 the prefix.
-- Returns: for each key its name without the prefix, its type, how long it has left (ms), and what
--   it holds as Redis tells it.
local READ = {
    string = {'GET'}, list = {'LRANGE', 0, -1}, set = {'SMEMBERS'}, hash = {'HGETALL'},
    zset = {'ZRANGE', 0, -1, 'WITHSCORES'}, stream = {'XRANGE', '-', '+'},
}
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' then
        local command, rest = READ[kind][1], {unpack(READ[kind], 2)}
        found[#found + 1] = {
            string.sub(key, #ARGV[1] + 1), kind, redis.call('PTTL', key),
            redis.call(command, key, unpack(rest)),
        }
    end
end
return found
