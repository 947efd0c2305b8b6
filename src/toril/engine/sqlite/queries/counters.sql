-- Counters per minute.

-- name: count
INSERT INTO metric (queue, minute, what, n)
SELECT :queue, :minute, key, value FROM json_each(:counts) WHERE TRUE
ON CONFLICT DO UPDATE SET n = n + excluded.n;

-- name: trim_counts
DELETE FROM metric WHERE queue = :queue AND minute < :before;

-- name: counts_since
-- Minutes after :last are of before the clock was set back.
SELECT metric.queue, metric.what, sum(metric.n) FROM json_each(:queues) AS wanted
CROSS JOIN metric ON metric.queue = wanted.value AND metric.minute BETWEEN :since AND :last
GROUP BY metric.queue, metric.what;
