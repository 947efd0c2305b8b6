-- Renews leases.
-- ARGV: 1 the lease time (ms); 2 the number of exchanges in flight; for each: its record, its
--   token; then for each lease: id, token.
-- Returns: the indexes of the lost leases, from 0.
-- flags: allow-oom
-- include: queue

local LEASE = ARGV[1]
local in_flight = tonumber(ARGV[2])
local renewed = {}

local function renew(id)
    call('PEXPIRE', JOB .. id .. ':lock', LEASE)
    renewed[#renewed + 1] = id
end

for n = 1, in_flight do
    local packed = call('GET', OWN .. 'exchange:' .. ARGV[1 + 2 * n])
    local last = packed and cmsgpack.unpack(packed)
    if last and last[1] == ARGV[2 + 2 * n] then
        for _, id in ipairs(last[3]) do
            if call('MGET', JOB .. id .. ':lock')[1] == last[1] then
                renew(id)
            end
        end
        call('PEXPIRE', OWN .. 'exchange:' .. ARGV[1 + 2 * n], LEASE * 2)
    end
end

local lost, first = {}, 3 + 2 * in_flight
for at = first, #ARGV, 2 do
    if call('MGET', JOB .. ARGV[at] .. ':lock')[1] == ARGV[at + 1] then
        renew(ARGV[at])
    else
        lost[#lost + 1] = (at - first) / 2
    end
end
in_pieces('SREM', STALLED, renewed)
return lost
