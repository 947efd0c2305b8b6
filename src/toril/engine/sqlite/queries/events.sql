-- Event records.

-- name: insert_events
-- Each row: queue, kind, jobs, data, number of jobs.
INSERT INTO event (queue, at, kind, jobs, data, n)
SELECT value->>0, :now, value->>1, value->>2, value->>3, value->>4 FROM json_each(:rows);

-- name: last_cursor
SELECT last_insert_rowid();

-- name: trim_events
-- Deletes all but the newest :kept events.
DELETE FROM event WHERE cursor IN (
    SELECT cursor FROM (
        SELECT cursor, sum(n) OVER (ORDER BY cursor DESC) AS newer
        FROM event WHERE queue = :queue)
    WHERE newer > :kept);

-- name: last_event
SELECT coalesce(max(cursor), 0) FROM event WHERE queue = :queue;

-- name: events_after
-- Each cursor: queue, the queue's last row that was read. Returns up to :limit rows per queue.
SELECT found.cursor, found.at, found.queue, found.kind, found.jobs, found.data
FROM json_each(:cursors) AS wanted
CROSS JOIN event AS found ON found.queue = wanted.value->>0 AND found.cursor > wanted.value->>1
WHERE found.cursor <= coalesce(
    (SELECT last.cursor FROM event AS last
     WHERE last.queue = wanted.value->>0 AND last.cursor > wanted.value->>1
     ORDER BY last.cursor LIMIT 1 OFFSET :limit - 1), found.cursor)
ORDER BY found.queue, found.cursor;
