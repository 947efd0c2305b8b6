-- Renewing leases, rescuing jobs, and storing what handlers report.

-- name: extend
UPDATE job SET lease_until = :until WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: extend_token
-- Renews all leases of a fetch whose answer has not arrived yet. A job that was rescued has no token.
UPDATE job SET lease_until = :until
WHERE queue = :queue AND state = 'active' AND lease_token = :token;

-- name: expired
SELECT json_group_array(json_array(seq, id, stalls + 1)) FROM (
    SELECT seq, id, stalls FROM job
    WHERE queue = :queue AND state = 'active' AND lease_until <= :now
      AND id NOT IN (SELECT value FROM json_each(:ids))
      AND lease_token NOT IN (SELECT value FROM json_each(:tokens))
    ORDER BY lease_until LIMIT 1000);

-- name: rescue
-- Each row: seq, position, whether the job is poison. A job whose cancellation was requested does
-- not run again.
UPDATE job SET
    state = CASE WHEN priority > 0 THEN 'prioritized' ELSE 'waiting' END,
    position = back.position, stalls = stalls + 1, lease_token = NULL, lease_until = NULL,
    deferred_failure = CASE WHEN cancel_requested THEN :cancelled
                            WHEN back.poisoned THEN :stalled
                            ELSE deferred_failure END
FROM (SELECT value->>0 AS seq, value->>1 AS position, value->>2 AS poisoned
      FROM json_each(:rows)) AS back
WHERE job.seq = back.seq;

-- name: set_progress
-- Each row: seq, value.
INSERT OR REPLACE INTO progress (seq, value)
SELECT value->>0, value->>1 FROM json_each(:rows);

-- name: insert_logs
-- Each row: seq, line.
INSERT INTO log (seq, line) SELECT value->>0, value->>1 FROM json_each(:rows);

-- name: trim_logs
-- Removes all but the newest :keep lines of each job.
WITH last AS MATERIALIZED (
    SELECT job.value AS seq, (SELECT line_no FROM log WHERE log.seq = job.value
                              ORDER BY line_no DESC LIMIT 1 OFFSET :keep) AS line_no
    FROM json_each(:seqs) AS job)
DELETE FROM log WHERE line_no IN (
    SELECT log.line_no FROM last CROSS JOIN log
    ON log.seq = last.seq AND log.line_no <= last.line_no);
