-- Inspection. Each page is read from an index, starting where the previous page ended.

-- name: job
SELECT job.seq, job.id, body.name, body.data, body.options, job.state, job.priority,
       job.created_at, job.due_at, job.started_at, job.finished_at, job.attempts_made,
       job.attempts_started, job.stalls, job.lease_token, job.cancel_requested,
       (SELECT value FROM progress WHERE progress.seq = job.seq),
       (SELECT value FROM result WHERE result.seq = job.seq)
FROM json_each(:seqs) AS wanted
CROSS JOIN job ON job.seq = wanted.value
JOIN body ON body.seq = job.seq
ORDER BY wanted.key;

-- name: raw
SELECT job.seq, job.id, body.name, body.data, body.options, job.state, job.priority, job.position,
       job.created_at, job.due_at, job.started_at, job.finished_at, job.attempts_made,
       job.attempts_started, job.stalls, job.lease_token, job.lease_until, job.cancel_requested,
       (SELECT value FROM progress WHERE progress.seq = job.seq),
       (SELECT value FROM result WHERE result.seq = job.seq)
FROM job JOIN body ON body.seq = job.seq
WHERE job.queue = :queue AND job.id = :id;

-- name: seqs_of_ids
SELECT wanted.key, job.seq FROM json_each(:ids) AS wanted
CROSS JOIN job ON job.queue = :queue AND job.id = wanted.value;

-- name: errors_of
SELECT seq, attempt, type, message, stack, started_at, ended_at FROM error
WHERE seq IN (SELECT value FROM json_each(:seqs)) ORDER BY seq, rowid;

-- name: endings
SELECT job.id, job.seq, job.state, (SELECT value FROM result WHERE result.seq = job.seq)
FROM json_each(:ids) AS wanted
CROSS JOIN job ON job.queue = :queue AND job.id = wanted.value;

-- name: page_ready
SELECT seq, priority, position FROM job
WHERE queue = :queue AND state IN ('waiting', 'prioritized') AND state = :state
  AND (priority, position) > (:a, :b)
ORDER BY priority, position LIMIT :limit;

-- name: page_due
SELECT seq, due_at, position FROM job
WHERE queue = :queue AND state = 'delayed' AND (due_at, position) > (:a, :b)
ORDER BY due_at, position LIMIT :limit;

-- name: page_active
-- Sorted without an index: there are at most as many active jobs as slots in all workers.
SELECT seq, started_at, seq FROM job
WHERE queue = :queue AND state = 'active' AND (started_at, seq) > (:a, :b)
ORDER BY started_at, seq LIMIT :limit;

-- name: page_finished
SELECT seq, finished_at, seq FROM job
WHERE queue = :queue AND state = :state AND finished_at IS NOT NULL
  AND (finished_at, seq) < (:a, :b)
ORDER BY finished_at DESC, seq DESC LIMIT :limit;

-- name: page_all
-- Ordered by id. For ids that Toril generated, this is the order in which jobs were added.
SELECT seq, id, seq FROM job
WHERE queue = :queue AND id > :a AND state IN (SELECT value FROM json_each(:states))
ORDER BY id LIMIT :limit;

-- name: page_tagged
SELECT tag.seq, tag.seq, 0 FROM tag CROSS JOIN job ON job.seq = tag.seq
WHERE tag.queue = :queue AND tag.tag = :tag AND tag.seq > :a
  AND job.state IN (SELECT value FROM json_each(:states))
ORDER BY tag.seq LIMIT :limit;

-- name: named
SELECT seq FROM body WHERE seq IN (SELECT value FROM json_each(:seqs)) AND name = :name;

-- name: logs
SELECT line FROM log WHERE seq = :seq ORDER BY line_no LIMIT :limit OFFSET :start;
