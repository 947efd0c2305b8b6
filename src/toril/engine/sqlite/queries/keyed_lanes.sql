-- Lanes: the ready jobs of each key, for queues with limits by key.

-- name: assign
-- Each row: index in the batch, key.
UPDATE job SET lane = given.key
FROM (SELECT :base + (value->>0) + 1 AS seq, value->>1 AS key FROM json_each(:rows)) AS given
WHERE job.seq = given.seq;

-- name: bodies
-- The bodies of the next unfinished jobs after :after. Reads by seq, because an index on the queue
-- would be read from its start for each chunk.
SELECT job.seq, body.data, body.options FROM job CROSS JOIN body ON body.seq = job.seq
WHERE +job.queue = :queue AND job.seq > :after AND job.finished_at IS NULL
ORDER BY job.seq LIMIT :limit;

-- name: options
SELECT options FROM body WHERE seq = :seq;

-- name: set
-- Each row: seq, key.
UPDATE job SET lane = given.key
FROM (SELECT value->>0 AS seq, value->>1 AS key FROM json_each(:rows)) AS given
WHERE job.seq = given.seq;

-- name: rejoin_rested
-- No lane rests longer than :most ms, unless the clock was set back.
UPDATE lane SET turn = :turn, resting_until = NULL
WHERE queue = :queue AND (resting_until <= :now OR resting_until > :now + :most);

-- name: rejoin_all
INSERT INTO lane (queue, key, turn)
SELECT DISTINCT queue, lane, :turn FROM job
WHERE queue = :queue AND lane IS NOT NULL AND state IN ('waiting', 'prioritized')
ON CONFLICT DO UPDATE SET turn = coalesce(turn, excluded.turn), resting_until = NULL;

-- name: in_turn
SELECT key, turn, window_count, window_until FROM lane
WHERE queue = :queue AND turn IS NOT NULL AND (turn, key) > (:turn, :key)
ORDER BY turn, key LIMIT :limit;

-- name: running
SELECT count(*) FROM job WHERE queue = :queue AND lane = :key AND state = 'active';

-- name: next
SELECT id, name, data, options, created_at, attempts_made, attempts_started + 1, stalls,
       priority, deferred_failure, job.seq, position
FROM job CROSS JOIN body ON body.seq = job.seq
WHERE job.queue = :queue AND job.lane = :key AND job.state IN ('waiting', 'prioritized')
ORDER BY job.priority, job.position LIMIT 1 OFFSET :taken;

-- name: move_on
-- Each row: key, turn, resting_until, window_count, window_until.
INSERT INTO lane (queue, key, turn, resting_until, window_count, window_until)
SELECT :queue, value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(:rows)
WHERE TRUE
ON CONFLICT DO UPDATE SET turn = excluded.turn, resting_until = excluded.resting_until,
                          window_count = excluded.window_count,
                          window_until = excluded.window_until;

-- name: rested_at
SELECT min(resting_until) FROM lane WHERE queue = :queue AND resting_until IS NOT NULL;

-- name: forget_idle
-- A job that becomes ready or finishes creates its lane again. Buckets use microseconds.
DELETE FROM lane WHERE queue = :queue AND turn IS NULL AND resting_until IS NULL
                   AND (window_until <= :now OR window_until > :most);

-- name: forget
DELETE FROM lane WHERE queue = :queue;

-- name: leave
UPDATE job SET lane = NULL WHERE queue = :queue AND lane IS NOT NULL;
