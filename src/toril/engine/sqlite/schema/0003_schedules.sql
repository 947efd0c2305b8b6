-- Schedules: jobs that come again and again.

-- What makes jobs again and again. `job_id` is the job that carries it on: the newest, until it is
-- taken. Without one no further job comes.
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
    made       INTEGER NOT NULL,  -- jobs since it was last changed: its limit counts these
    iterations INTEGER NOT NULL,  -- jobs since it was made
    PRIMARY KEY (queue, id),
    CHECK ((cron IS NULL) <> (every_ms IS NULL))
) STRICT, WITHOUT ROWID;
