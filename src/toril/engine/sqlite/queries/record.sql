-- The record of what happened: events and counters.

-- name: insert_event
INSERT INTO event (queue, at, kind, jobs, data, upto)
SELECT :queue, :now, :kind, :jobs, :data, :count + coalesce(
    (SELECT upto FROM event WHERE queue = :queue ORDER BY cursor DESC LIMIT 1), 0);

-- name: trim_events
DELETE FROM event WHERE cursor IN (
    SELECT cursor FROM event WHERE queue = :queue AND upto < :kept_from
    ORDER BY cursor LIMIT 1000);

-- name: events_so_far
SELECT upto FROM event WHERE queue = :queue ORDER BY cursor DESC LIMIT 1;

-- name: last_event
SELECT coalesce(max(cursor), 0) FROM event WHERE queue = :queue;

-- name: events_after
SELECT cursor, at, kind, jobs, data FROM event
WHERE queue = :queue AND cursor > :cursor ORDER BY cursor LIMIT :limit;

-- name: count
INSERT INTO metric (queue, minute, what, n)
SELECT :queue, :minute, key, value FROM json_each(:counts) WHERE TRUE
ON CONFLICT DO UPDATE SET n = n + excluded.n;

-- name: trim_counts
DELETE FROM metric WHERE queue = :queue AND minute < :before;

-- name: counts_since
SELECT what, sum(n) FROM metric WHERE queue = :queue AND minute >= :since GROUP BY what;
