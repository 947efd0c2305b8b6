-- Schedule rows.

-- name: find
SELECT id, cron, every_ms, tz, start_at, end_at, max_jobs, offset_ms, name, data, options,
       next_at, job_id, made, iterations
FROM schedule WHERE queue = :queue AND id = :id;

-- name: all
SELECT id, cron, every_ms, tz, start_at, end_at, max_jobs, offset_ms, name, data, options,
       next_at, job_id, made, iterations
FROM schedule WHERE queue = :queue ORDER BY next_at, id;

-- name: put
INSERT OR REPLACE INTO schedule (
    queue, id, cron, every_ms, tz, start_at, end_at, max_jobs, offset_ms, name, data, options,
    next_at, job_id, made, iterations)
VALUES (
    :queue, :id, :cron, :every_ms, :tz, :start_at, :end_at, :max_jobs, :offset_ms, :name, :data,
    :options, :next_at, :job_id, 1, :iterations);

-- name: advance
UPDATE schedule SET next_at = :next_at, job_id = :job_id, made = made + 1,
                    iterations = iterations + 1
WHERE queue = :queue AND id = :id;

-- name: end
UPDATE schedule SET job_id = NULL WHERE queue = :queue AND id = :id;

-- name: remove
DELETE FROM schedule WHERE queue = :queue AND id = :id;

-- name: pending_jobs
-- Which of these jobs are pending jobs of schedules.
SELECT json_group_array(job_id) FROM schedule
WHERE queue = :queue AND job_id IN (SELECT value FROM json_each(:ids));

-- name: known
-- Which of these schedules exist.
SELECT json_group_array(id) FROM schedule
WHERE queue = :queue AND id IN (SELECT value FROM json_each(:ids));

-- name: job_seq
SELECT seq FROM job WHERE queue = :queue AND id = :id;
