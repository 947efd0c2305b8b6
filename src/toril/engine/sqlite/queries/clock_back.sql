-- Making up for a clock that was set back.

-- name: leases
-- Of running jobs, those whose leases end last.
SELECT json_group_array(json_array(seq, lease_token, lease_until)) FROM (
    SELECT seq, lease_token, lease_until FROM job
    WHERE queue = :queue AND state = 'active' AND lease_until > :now
    ORDER BY lease_until DESC LIMIT :limit);

-- name: shorten_leases
-- Each row: seq, lease_until.
UPDATE job SET lease_until = shorter.until
FROM (SELECT value->>0 AS seq, value->>1 AS until FROM json_each(:rows)) AS shorter
WHERE job.seq = shorter.seq;

-- name: last_rescue
SELECT rescued_at FROM queue WHERE id = :queue;

-- name: first_delayed
SELECT due_at, delay_ms FROM job WHERE queue = :queue AND state = 'delayed'
ORDER BY due_at, position LIMIT 1;

-- name: delayed
-- Some of the delayed jobs, the last to be due first.
SELECT json_group_array(json_array(seq, due_at, position, delay_ms)) FROM (
    SELECT seq, due_at, position, delay_ms FROM job
    WHERE queue = :queue AND state = 'delayed' AND (due_at, position) < (:due_at, :position)
      AND due_at > :now
    ORDER BY due_at DESC, position DESC LIMIT :limit);

-- name: shorten_delays
-- Each row: seq, due_at.
UPDATE job SET due_at = sooner.due_at
FROM (SELECT value->>0 AS seq, value->>1 AS due_at FROM json_each(:rows)) AS sooner
WHERE job.seq = sooner.seq AND job.state = 'delayed' AND job.due_at > sooner.due_at;
