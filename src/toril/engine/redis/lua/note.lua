-- Stores progress and log lines of jobs whose leases are held.
-- ARGV: for each: id, token, progress (JSON, or empty), number of lines, the lines.
-- include: queue
-- include: here
-- include: events
-- constant: KEPT_LINES

local at = 1
while at <= #ARGV do
    local id, token, progress, lines = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
    local key = JOB .. id
    if call('MGET', key .. ':lock')[1] == token and call('EXISTS', key) == 1 then
        if progress ~= '' then
            try('HSET', key, 'progress', progress)
            emit(HERE, 'progress', 'jobId', id, 'data', progress)
        end
        if lines > 0 then
            local texts = {}
            for n = 1, lines do
                texts[n] = ARGV[at + 3 + n]
            end
            for first = 1, lines, 5000 do
                try('RPUSH', key .. ':logs', unpack(texts, first, math.min(first + 4999, lines)))
            end
            local opts = try('HMGET', key, 'opts')[1]
            local kept = opts and string.match(opts, '"kl":(%d+)') or KEPT_LINES
            try('LTRIM', key .. ':logs', -kept, -1)
        end
    end
    at = at + 4 + lines
end
