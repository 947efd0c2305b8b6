-- Statements on jobs that several modules share.

-- name: find
-- The jobs with these ids in one of these states, in the order of the ids.
SELECT json_group_array(json_array(job.seq, job.id) ORDER BY wanted.key)
FROM json_each(:ids) AS wanted
CROSS JOIN job ON job.queue = :queue AND job.id = wanted.value
WHERE job.state IN (SELECT value FROM json_each(:states));

-- name: free_keys
-- Removing a job on request also frees its deduplication key.
DELETE FROM dedup WHERE queue = :queue AND (key, job_id) IN (
    SELECT dedup, id FROM job WHERE seq IN (SELECT value FROM json_each(:seqs)));

-- name: release_keys
DELETE FROM dedup WHERE queue = :queue AND expires_at IS NULL AND (key, job_id) IN (
    SELECT dedup, id FROM job WHERE seq IN (SELECT value FROM json_each(:seqs)));

-- name: remove
DELETE FROM job WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: promote
-- Each row: seq, position.
UPDATE job SET state = CASE WHEN priority > 0 THEN 'prioritized' ELSE 'waiting' END,
               due_at = NULL, position = ready.position
FROM (SELECT value->>0 AS seq, value->>1 AS position FROM json_each(:rows)) AS ready
WHERE job.seq = ready.seq;
