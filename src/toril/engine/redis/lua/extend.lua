-- Renews leases, also those that have run out if nobody has taken the job since.
-- ARGV: 1 the lease time (ms); 2 the number of exchanges in flight; for each: its record, its
--   token; then for each lease: id, token, how often the job had been fetched by then.
-- Returns: the indexes of the lost leases, from 0.
-- flags: allow-oom
-- include: queue

local LEASE = ARGV[1]
local in_flight = tonumber(ARGV[2])
local renewed = {}

-- Renews a lease if its token is the lock's, or if there is no lock, and the field that each fetch
-- changes is still as this fetch left it. Returns whether it was renewed.
local function renew(id, token, field, value)
    local lock = JOB .. id .. ':lock'
    local holder = call('MGET', lock)[1]
    if holder == token then
        call('PEXPIRE', lock, LEASE)
    elseif not holder and try('HGET', JOB .. id, field) == value and call('LPOS', ACTIVE, id) then
        call('SET', lock, token, 'PX', LEASE)
    else
        return false
    end
    renewed[#renewed + 1] = id
    return true
end

for n = 1, in_flight do
    local packed = call('GET', OWN .. 'exchange:' .. ARGV[1 + 2 * n])
    local last = packed and cmsgpack.unpack(packed)
    if last and last[1] == ARGV[2 + 2 * n] then
        for _, id in ipairs(last[3]) do
            renew(id, last[1], 'pb', string.match(last[1], '^(.*):'))
        end
        call('PEXPIRE', OWN .. 'exchange:' .. ARGV[1 + 2 * n], LEASE * 2)
    end
end

local lost, first = {}, 3 + 2 * in_flight
for at = first, #ARGV, 3 do
    if not renew(ARGV[at], ARGV[at + 1], 'ats', ARGV[at + 2]) then
        lost[#lost + 1] = (at - first) / 3
    end
end
in_pieces('SREM', STALLED, renewed)
return lost
