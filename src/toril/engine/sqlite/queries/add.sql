-- Adding jobs. A batch is passed as one JSON array and inserted as one set, so each statement
-- takes a single step, during which other threads of the process can run.

-- name: last_sequence
SELECT sequence FROM producer WHERE queue = :queue AND id = :producer;

-- name: remember_sequence
INSERT INTO producer (queue, id, sequence, seen_at)
VALUES (:queue, :producer, :sequence, :now)
ON CONFLICT DO UPDATE SET sequence = excluded.sequence, seen_at = excluded.seen_at;

-- name: insert_jobs
-- Each row: id, state, priority, direction (-1 puts it ahead of all others), due_at, delay_ms,
-- dedup.
INSERT INTO job (seq, queue, id, state, priority, position, created_at, due_at, delay_ms, dedup)
SELECT :base + key + 1, :queue, value->>0, value->>1, value->>2,
       (value->>3) * (:base + key + 1), :now, value->>4, value->>5, value->>6
FROM json_each(:jobs)
WHERE TRUE  -- lets the parser tell ON CONFLICT from a join
ON CONFLICT (queue, id) DO NOTHING;

-- name: insert_jobs_alike
-- Like `insert_jobs`, for jobs that differ only in their ids, as most batches do.
INSERT INTO job (seq, queue, id, state, priority, position, created_at, due_at, delay_ms, dedup)
SELECT :base + key + 1, :queue, value, :state, :priority, :direction * (:base + key + 1), :now,
       :due_at, :delay_ms, :dedup
FROM json_each(:ids)
WHERE TRUE
ON CONFLICT (queue, id) DO NOTHING;

-- name: inserted
SELECT json_group_array(seq - :base - 1) FROM job WHERE seq > :base AND seq <= :base + :count;

-- name: insert_bodies
-- Each row: name, data, options.
INSERT INTO body (seq, name, data, options)
SELECT :base + key + 1, value->>0, value->>1, value->>2
FROM json_each(:bodies)
WHERE EXISTS (SELECT 1 FROM job WHERE job.seq = :base + key + 1);

-- name: insert_bodies_alike
-- Like `insert_bodies`, for bodies that differ only in their data.
INSERT INTO body (seq, name, data, options)
SELECT :base + key + 1, :name, value, :options
FROM json_each(:data)
WHERE EXISTS (SELECT 1 FROM job WHERE job.seq = :base + key + 1);

-- name: insert_tags
-- Each row: index in the batch, tag.
INSERT INTO tag (queue, tag, seq)
SELECT :queue, value->>1, :base + (value->>0) + 1
FROM json_each(:tags)
WHERE EXISTS (SELECT 1 FROM job WHERE job.seq = :base + (value->>0) + 1);

-- name: exists
SELECT 1 FROM job WHERE queue = :queue AND id = :id;

-- name: key_owner
-- The job may be gone, and another may have its id.
SELECT d.job_id, j.seq, j.state, d.expires_at, d.ttl_ms
FROM dedup d LEFT JOIN job j ON j.queue = d.queue AND j.id = d.job_id AND j.dedup = d.key
WHERE d.queue = :queue AND d.key = :key AND (d.expires_at IS NULL OR d.expires_at > :now);

-- name: hold_key
INSERT INTO dedup (queue, key, job_id, expires_at, ttl_ms)
VALUES (:queue, :key, :id, :now + :ttl_ms, :ttl_ms)
ON CONFLICT DO UPDATE SET job_id = excluded.job_id, expires_at = excluded.expires_at,
                          ttl_ms = excluded.ttl_ms;

-- name: extend_key
UPDATE dedup SET expires_at = :now + :ttl_ms, ttl_ms = :ttl_ms
WHERE queue = :queue AND key = :key;
