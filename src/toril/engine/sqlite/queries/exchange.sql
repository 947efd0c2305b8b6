-- Fetching jobs: promote due jobs, then lease the next ones.

-- name: next_due
SELECT min(due_at) FROM job WHERE queue = :queue AND state = 'delayed';

-- name: due
SELECT json_group_array(json_array(seq, id)) FROM (
    SELECT seq, id FROM job WHERE queue = :queue AND state = 'delayed' AND due_at <= :now
    ORDER BY due_at, position LIMIT 1000);

-- name: next
-- The caller sorts the rows. ORDER BY in the aggregate would sort the sorted subquery once more.
SELECT json_group_array(json_array(
    id, name, data, options, created_at, attempts_made, attempts_started + 1, stalls,
    priority, deferred_failure, seq, position))
FROM (SELECT job.*, body.name, body.data, body.options
      FROM job CROSS JOIN body ON body.seq = job.seq
      WHERE job.queue = :queue AND job.state IN ('waiting', 'prioritized')
      ORDER BY job.priority, job.position LIMIT :limit);

-- name: take
UPDATE job SET state = 'active', lease_token = :token, lease_until = :until, started_at = :now,
               attempts_started = attempts_started + 1
WHERE seq IN (SELECT value FROM json_each(:seqs));
