-- Queues: their rows, limits and counters.

-- name: find
SELECT id, paused, concurrency, rate_max, rate_per, rate_burst, window_count, window_until,
       key_field, key_max, key_per, key_burst, key_concurrency
FROM queue WHERE prefix = :prefix AND name = :name;

-- name: make
INSERT INTO queue (prefix, name) VALUES (:prefix, :name) ON CONFLICT DO NOTHING;

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

-- name: lift
UPDATE queue SET concurrency = NULL, rate_max = NULL, rate_per = NULL, rate_burst = NULL,
                 window_count = 0, window_until = 0, key_field = NULL, key_max = NULL,
                 key_per = NULL, key_burst = NULL, key_concurrency = NULL
WHERE id = :queue;

-- name: set_paused
UPDATE queue SET paused = :paused WHERE id = :queue;

-- name: set_window
UPDATE queue SET window_count = :count, window_until = :until WHERE id = :queue;

-- name: all
SELECT prefix, name, paused, concurrency, rate_max, rate_per, rate_burst,
       key_field, key_max, key_per, key_burst, key_concurrency
FROM queue ORDER BY prefix, name;

-- name: counts
SELECT state, n FROM tally WHERE queue = :queue;

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
-- Jobs :base + 1 to :base + :count, as far as they were added.
UPDATE tally SET n = tally.n + new.n
FROM (SELECT state, count(*) AS n FROM job WHERE seq > :base AND seq <= :base + :count
      GROUP BY state) AS new
WHERE tally.queue = :queue AND tally.state = new.state;

-- name: tally_moved
-- How many more jobs are in each state now.
UPDATE tally SET n = n + CASE state WHEN 'waiting' THEN :waiting
                                    WHEN 'prioritized' THEN :prioritized
                                    WHEN 'active' THEN :active
                                    WHEN 'completed' THEN :completed ELSE 0 END
WHERE queue = :queue;
