-- Queue rows, limits and counts.

-- name: find
SELECT id, paused, concurrency, rate_max, rate_per, rate_burst, window_count, window_until,
       key_field, key_max, key_per, key_burst, key_concurrency
FROM queue WHERE prefix = :prefix AND name = :name;

-- name: take_id
-- An id that no queue ever had, so that a queue that was removed and made again is noticed.
UPDATE ticket SET n = max(n, (SELECT coalesce(max(id), 0) FROM queue)) + 1 RETURNING n;

-- name: make
INSERT INTO queue (id, prefix, name) VALUES (:id, :prefix, :name);

-- name: limit_concurrency
UPDATE queue SET concurrency = :concurrency WHERE id = :queue;

-- name: limit_rate
UPDATE queue SET rate_max = :max, rate_per = :per, rate_burst = :burst,
                 window_count = :count, window_until = :until
WHERE id = :queue;

-- name: limit_keys
UPDATE queue SET key_field = :field, key_max = :max, key_per = :per, key_burst = :burst,
                 key_concurrency = :concurrency
WHERE id = :queue;

-- name: clear_limits
UPDATE queue SET concurrency = NULL, rate_max = NULL, rate_per = NULL, rate_burst = NULL,
                 window_count = 0, window_until = 0, key_field = NULL, key_max = NULL,
                 key_per = NULL, key_burst = NULL, key_concurrency = NULL
WHERE id = :queue;

-- name: set_paused
UPDATE queue SET paused = :paused WHERE id = :queue;

-- name: set_window
UPDATE queue SET window_count = :count, window_until = :until WHERE id = :queue;

-- name: find_many
-- Each queue: prefix, name.
SELECT queue.prefix, queue.name, queue.id, paused, concurrency, rate_max, rate_per, rate_burst,
       window_count, window_until, key_field, key_max, key_per, key_burst, key_concurrency
FROM json_each(:queues) AS wanted
CROSS JOIN queue ON queue.prefix = wanted.value->>0 AND queue.name = wanted.value->>1
ORDER BY wanted.key;

-- name: all
SELECT prefix, name, id, paused, concurrency, rate_max, rate_per, rate_burst, window_count,
       window_until, key_field, key_max, key_per, key_burst, key_concurrency
FROM queue ORDER BY prefix, name;

-- name: counts
SELECT tally.queue, tally.state, tally.n FROM json_each(:queues) AS wanted
CROSS JOIN tally ON tally.queue = wanted.value;

-- name: with_work
-- The indexes of the queues that have work or no longer exist. Each queue: prefix, name.
SELECT json_group_array(wanted.key) FROM json_each(:queues) AS wanted
LEFT JOIN queue ON queue.prefix = wanted.value->>0 AND queue.name = wanted.value->>1
WHERE queue.id IS NULL
   OR (queue.paused = 0 AND EXISTS (
       SELECT 1 FROM job WHERE job.queue = queue.id AND job.state IN ('waiting', 'prioritized')))
   OR EXISTS (SELECT 1 FROM job WHERE job.queue = queue.id AND job.state = 'delayed'
                                  AND job.due_at <= :now);

-- name: rescued
-- Returns a row unless another rescue ran within :within ms. The clock may have gone back.
UPDATE queue SET rescued_at = :now
WHERE id = :queue AND NOT (rescued_at <= :now AND rescued_at > :now - :within)
RETURNING 1;

-- name: count
SELECT n FROM tally WHERE queue = :queue AND state = :state;

-- name: take_tickets
UPDATE ticket SET n = n + :count RETURNING n - :count;

-- name: forget
DELETE FROM queue WHERE id = :queue;

-- name: forget_counts
DELETE FROM tally WHERE queue = :queue;

-- name: forget_events
DELETE FROM event WHERE queue = :queue;

-- name: forget_metrics
DELETE FROM metric WHERE queue = :queue;

-- name: forget_keys
DELETE FROM dedup WHERE queue = :queue;

-- name: forget_schedules
DELETE FROM schedule WHERE queue = :queue;

-- name: forget_producers
DELETE FROM producer WHERE queue = :queue;

-- name: tally_added
-- Counts the jobs among :base + 1 to :base + :count that were added.
UPDATE tally SET n = tally.n + new.n
FROM (SELECT state, count(*) AS n FROM job WHERE seq > :base AND seq <= :base + :count
      GROUP BY state) AS new
WHERE tally.queue = :queue AND tally.state = new.state;

-- name: tally_moved
-- The parameters are the changes in the number of jobs in each state.
UPDATE tally SET n = n + CASE state WHEN 'waiting' THEN :waiting
                                    WHEN 'prioritized' THEN :prioritized
                                    WHEN 'active' THEN :active
                                    WHEN 'completed' THEN :completed ELSE 0 END
WHERE queue = :queue;
