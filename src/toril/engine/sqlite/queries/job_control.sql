-- Operations on jobs by request.

-- name: run_again
-- Each row: seq, position. A job without a priority that was added with `lifo` goes first again.
UPDATE job SET state = CASE WHEN priority > 0 THEN 'prioritized' ELSE 'waiting' END,
               position = iif(priority = 0 AND (SELECT body.options->>:lifo FROM body
                                                WHERE body.seq = job.seq),
                              -again.position, again.position),
               finished_at = NULL, expires_at = NULL, started_at = NULL,
               attempts_made = 0, attempts_started = 0, stalls = 0, deferred_failure = NULL,
               cancel_requested = 0
FROM (SELECT value->>0 AS seq, value->>1 AS position FROM json_each(:rows)) AS again
WHERE job.seq = again.seq;

-- name: forget_results
DELETE FROM result WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: forget_progress
DELETE FROM progress WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: cancel_waiting
UPDATE job SET state = 'failed', finished_at = :now, due_at = NULL,
    expires_at = :now + CAST(1000 * (SELECT body.options->>:age FROM body
                                     WHERE body.seq = job.seq) AS INTEGER)
WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: insert_cancellations
INSERT INTO error (seq, attempt, type, message, stack, started_at, ended_at)
SELECT seq, attempts_made + 1, :type, :message, :stack, NULL, :now FROM job
WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: cancel_active
UPDATE job SET cancel_requested = 1 WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: state_of
SELECT seq, state FROM job WHERE queue = :queue AND id = :id;

-- name: set_priority
UPDATE job SET priority = :priority, position = :position,
    state = CASE WHEN state = 'delayed' THEN 'delayed'
                 WHEN :priority > 0 THEN 'prioritized' ELSE 'waiting' END
WHERE seq = :seq;

-- name: set_due
UPDATE job SET
    state = CASE WHEN :due_at IS NOT NULL THEN 'delayed'
                 WHEN priority > 0 THEN 'prioritized' ELSE 'waiting' END,
    due_at = :due_at, delay_ms = :delay_ms, position = :position
WHERE seq = :seq;

-- name: set_data
UPDATE body SET data = :data WHERE seq = :seq;
