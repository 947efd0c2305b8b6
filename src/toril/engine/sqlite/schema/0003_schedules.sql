-- Schedules: rules by which jobs are added repeatedly.

-- `job_id` is the schedule's pending job: the newest one, until it is fetched. Without it, no
-- further job will come.
CREATE TABLE schedule (
    queue      INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    cron       TEXT,
    every_ms   INTEGER CHECK (every_ms > 0),
    tz         TEXT    NOT NULL,
    start_at   INTEGER,
    end_at     INTEGER,
    max_jobs   INTEGER CHECK (max_jobs > 0),
    offset_ms  INTEGER,
    name       TEXT    NOT NULL,
    data       TEXT    NOT NULL,
    options    TEXT    NOT NULL,
    next_at    INTEGER NOT NULL,
    job_id     TEXT,
    made       INTEGER NOT NULL,  -- jobs since the schedule was last changed; max_jobs limits these
    iterations INTEGER NOT NULL,  -- jobs since the schedule was created
    PRIMARY KEY (queue, id),
    CHECK ((cron IS NULL) <> (every_ms IS NULL))
) STRICT, WITHOUT ROWID;
