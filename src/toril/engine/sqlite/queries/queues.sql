-- Selects the jobs of a queue to remove, a chunk at a time.

-- name: ready_seqs
-- Leaves out the pending jobs of schedules, as do delayed_seqs and old_seqs.
SELECT json_group_array(json_array(seq, id)) FROM (
    SELECT seq, id FROM job WHERE queue = :queue AND state IN ('waiting', 'prioritized')
      AND id NOT IN (SELECT job_id FROM schedule WHERE queue = :queue AND job_id IS NOT NULL)
    ORDER BY priority, position LIMIT :limit);

-- name: delayed_seqs
SELECT json_group_array(json_array(seq, id)) FROM (
    SELECT seq, id FROM job WHERE queue = :queue AND state = 'delayed'
      AND id NOT IN (SELECT job_id FROM schedule WHERE queue = :queue AND job_id IS NOT NULL)
    ORDER BY due_at LIMIT :limit);

-- name: finished_seqs
SELECT json_group_array(json_array(seq, id)) FROM (
    SELECT seq, id FROM job WHERE queue = :queue AND state = :state AND finished_at <= :before
    ORDER BY finished_at, seq LIMIT :limit);

-- name: old_seqs
-- For states of unfinished jobs: the age counts from when the job was added.
SELECT json_group_array(json_array(seq, id)) FROM (
    SELECT seq, id FROM job WHERE queue = :queue AND state = :state AND created_at <= :before
      AND id NOT IN (SELECT job_id FROM schedule WHERE queue = :queue AND job_id IS NOT NULL)
    ORDER BY seq LIMIT :limit);

-- name: expired_records
SELECT json_group_array(seq) FROM (
    SELECT seq FROM job WHERE queue = :queue AND expires_at <= :now
    ORDER BY expires_at LIMIT :limit);

-- name: idle_producers
DELETE FROM producer WHERE queue = :queue AND (seen_at < :before OR seen_at > :after);

-- name: any_seqs
SELECT json_group_array(json_array(seq, id)) FROM (
    SELECT seq, id FROM job WHERE queue = :queue LIMIT :limit);
