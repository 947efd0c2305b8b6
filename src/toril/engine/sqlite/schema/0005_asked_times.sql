-- For how long something was asked for, next to when it ends: if the clock is set back, nothing
-- waits for longer than that.

-- How long a delayed job waits. Empty if it waits for a point in time.
ALTER TABLE job ADD COLUMN delay_ms INTEGER;

ALTER TABLE dedup ADD COLUMN ttl_ms INTEGER;

-- When a finished job is past the age up to which it is kept.
ALTER TABLE job ADD COLUMN expires_at INTEGER;
CREATE INDEX job_expiring ON job (queue, expires_at) WHERE expires_at IS NOT NULL;
