-- Stores progress and log lines of jobs whose leases are held.
-- ARGV: for each: id, token, progress (JSON, or empty), number of lines, the lines.
-- include: queue
-- include: here
-- include: events
-- constant: KEPT_LINES

local at, noted = 1, false
while at <= #ARGV do
    local id, token, progress, lines = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
    local key = JOB .. id
    if call('GET', key .. ':lock') == token and call('EXISTS', key) == 1 then
        noted = true
        if progress ~= '' then
            call('HSET', key, 'progress', progress)
            emit(HERE, 'progress', 'jobId', id, 'data', progress)
        end
        if lines > 0 then
            local texts = {}
            for n = 1, lines do
                texts[n] = ARGV[at + 3 + n]
            end
            in_pieces('RPUSH', key .. ':logs', texts)
            local kept = string.match(call('HGET', key, 'opts') or '', '"kl":(%d+)')
            call('LTRIM', key .. ':logs', -(kept or KEPT_LINES), -1)
        end
    end
    at = at + 4 + lines
end
if noted then trim_events(HERE) end
