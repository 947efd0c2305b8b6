-- Limits by key, and token buckets.

ALTER TABLE queue ADD COLUMN rate_burst INTEGER CHECK (rate_burst > 0);

-- The limits by key, and the field that holds the key.
ALTER TABLE queue ADD COLUMN key_field TEXT;
ALTER TABLE queue ADD COLUMN key_max INTEGER CHECK (key_max > 0);
ALTER TABLE queue ADD COLUMN key_per INTEGER CHECK (key_per > 0);
ALTER TABLE queue ADD COLUMN key_burst INTEGER CHECK (key_burst > 0);
ALTER TABLE queue ADD COLUMN key_concurrency INTEGER CHECK (key_concurrency > 0);

-- The job's key, in queues with limits by key; empty if the job has no key.
ALTER TABLE job ADD COLUMN lane TEXT;

CREATE INDEX job_in_lane ON job (queue, lane, priority, position)
    WHERE lane IS NOT NULL AND state IN ('waiting', 'prioritized');
CREATE INDEX job_running_of_lane ON job (queue, lane) WHERE lane IS NOT NULL AND state = 'active';

-- A lane has a turn while its jobs may be fetched. It has none while its rate limit holds it back
-- (it rests), while as many of its jobs run as may, and while it has no jobs.
CREATE TABLE lane (
    queue         INTEGER NOT NULL,
    key           TEXT    NOT NULL,
    turn          INTEGER,
    resting_until INTEGER CHECK (resting_until IS NULL OR turn IS NULL),
    window_count  INTEGER NOT NULL DEFAULT 0,
    window_until  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_ring ON lane (queue, turn) WHERE turn IS NOT NULL;
CREATE INDEX lane_resting ON lane (queue, resting_until) WHERE resting_until IS NOT NULL;

-- A job that becomes ready gives its lane a turn. So does one that ends, as another may now run.
CREATE TRIGGER lane_joins AFTER UPDATE OF state, lane ON job
WHEN NEW.lane IS NOT NULL AND (NEW.state = 'waiting' OR NEW.state = 'prioritized'
                               OR (OLD.state = 'active' AND NEW.state <> 'active')) BEGIN
    UPDATE ticket SET n = n + 1;
    INSERT INTO lane (queue, key, turn) VALUES (NEW.queue, NEW.lane, (SELECT n FROM ticket))
    ON CONFLICT DO UPDATE SET turn = excluded.turn WHERE turn IS NULL AND resting_until IS NULL;
END;

CREATE TRIGGER lane_joins_again AFTER DELETE ON job
WHEN OLD.lane IS NOT NULL AND OLD.state = 'active' BEGIN
    UPDATE ticket SET n = n + 1;
    INSERT INTO lane (queue, key, turn) VALUES (OLD.queue, OLD.lane, (SELECT n FROM ticket))
    ON CONFLICT DO UPDATE SET turn = excluded.turn WHERE turn IS NULL AND resting_until IS NULL;
END;
