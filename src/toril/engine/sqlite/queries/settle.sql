-- Settling jobs whose leases are still held. Statements take and return sets as JSON.

-- name: held
-- For each lease (id, token) that is still held: its index, the job, when it started, whether it
-- has a deduplication key, and whether its cancellation was requested.
SELECT json_group_array(json_array(lease.key, job.seq, job.started_at,
                                   job.dedup IS NOT NULL, job.cancel_requested))
FROM json_each(:leases) AS lease
CROSS JOIN job ON job.queue = :queue AND job.id = lease.value->>0
              AND job.lease_token = lease.value->>1 AND job.lease_until > :now;

-- name: present
SELECT json_group_array(id) FROM job
WHERE queue = :queue AND id IN (SELECT value FROM json_each(:ids));

-- name: finish
UPDATE job SET state = :state, finished_at = :now, expires_at = :now + :age,
               attempts_made = attempts_made + 1,
               lease_token = NULL, lease_until = NULL, cancel_requested = 0,
               deferred_failure = NULL
WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: insert_results
-- Each row: seq, value.
INSERT OR REPLACE INTO result (seq, value)
SELECT value->>0, value->>1 FROM json_each(:rows);

-- name: insert_errors
-- Each row: seq, attempt, type, message, stack.
INSERT INTO error (seq, attempt, type, message, stack, started_at, ended_at)
SELECT job.seq, row.value->>1, row.value->>2, row.value->>3, row.value->>4, job.started_at, :now
FROM json_each(:rows) AS row CROSS JOIN job ON job.seq = row.value->>0;

-- name: forget_old_errors
-- Keeps the errors of a job's last attempts, as there may be ten thousand. Ordered by age: attempt
-- numbers start over when a job is run again on request.
DELETE FROM error WHERE rowid IN (
    SELECT rowid FROM (
        SELECT rowid, row_number() OVER (PARTITION BY seq ORDER BY rowid DESC) AS place
        FROM error WHERE seq IN (SELECT value->>0 FROM json_each(:rows)))
    WHERE place > :keep);

-- name: put_back
-- Each row: seq, delay, position. A job whose cancellation was requested does not wait for its
-- delay: the next worker fails it.
UPDATE job SET
    state = CASE WHEN back.delay > 0 AND cancel_requested = 0 THEN 'delayed'
                 WHEN priority > 0 THEN 'prioritized' ELSE 'waiting' END,
    due_at = iif(back.delay > 0 AND cancel_requested = 0, min(:now + back.delay, :latest), NULL),
    delay_ms = back.delay,
    position = back.position,
    attempts_made = attempts_made + :made,
    lease_token = NULL, lease_until = NULL,
    deferred_failure = iif(cancel_requested, :cancelled, deferred_failure)
FROM (SELECT value->>0 AS seq, value->>1 AS delay, value->>2 AS position
      FROM json_each(:rows)) AS back
WHERE job.seq = back.seq;

-- name: trim_by_count
DELETE FROM job WHERE seq IN (
    SELECT seq FROM job WHERE queue = :queue AND state = :state AND finished_at IS NOT NULL
    ORDER BY finished_at, seq LIMIT :excess);

-- name: trim_by_age
DELETE FROM job WHERE seq IN (
    SELECT seq FROM job WHERE queue = :queue AND state = :state AND finished_at <= :before
    ORDER BY finished_at, seq LIMIT 1000);

-- name: errors
-- The newest errors of a job, oldest first.
SELECT attempt, type, message, stack, started_at, ended_at FROM (
    SELECT rowid AS place, * FROM error WHERE seq = :seq ORDER BY rowid DESC LIMIT :keep)
ORDER BY place;
