-- The record of what happened: events and counters.

-- name: insert_events
-- Each row: queue, kind, jobs, data, number of jobs.
INSERT INTO event (queue, at, kind, jobs, data, n)
SELECT value->>0, :now, value->>1, value->>2, value->>3, value->>4 FROM json_each(:rows);

-- name: last_cursor
SELECT last_insert_rowid();

-- name: trim_events
-- What comes before the newest :kept.
DELETE FROM event WHERE cursor IN (
    SELECT cursor FROM (
        SELECT cursor, sum(n) OVER (ORDER BY cursor DESC) AS newer
        FROM event WHERE queue = :queue)
    WHERE newer > :kept);

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
