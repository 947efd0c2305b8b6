-- Schema version 1. Times are milliseconds since 1970; booleans are 0 and 1.
--
-- Columns that change with every step of a job are in one narrow table, `job`. What is written
-- only once (its payload, its result) is in other tables, so that a step rewrites sixty bytes
-- instead of the payload.

CREATE TABLE queue (
    id           INTEGER PRIMARY KEY,
    prefix       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    paused       INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    concurrency  INTEGER CHECK (concurrency > 0),
    rate_max     INTEGER CHECK (rate_max > 0),
    rate_per     INTEGER CHECK (rate_per > 0),
    window_count INTEGER NOT NULL DEFAULT 0,
    window_until INTEGER NOT NULL DEFAULT 0,
    UNIQUE (prefix, name),
    CHECK ((rate_max IS NULL) = (rate_per IS NULL))
) STRICT;

-- The last number handed out. Job rows, positions and the turns of lanes share one sequence.
CREATE TABLE ticket (n INTEGER NOT NULL) STRICT;
INSERT INTO ticket VALUES (0);

CREATE TABLE job (
    seq              INTEGER PRIMARY KEY,
    queue            INTEGER NOT NULL,
    id               TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    position         INTEGER NOT NULL,  -- order within a priority; negative goes first
    created_at       INTEGER NOT NULL,
    due_at           INTEGER,
    started_at       INTEGER,
    finished_at      INTEGER,
    attempts_made    INTEGER NOT NULL DEFAULT 0,
    attempts_started INTEGER NOT NULL DEFAULT 0,
    stalls           INTEGER NOT NULL DEFAULT 0,
    lease_token      TEXT,
    lease_until      INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    deferred_failure TEXT,
    dedup            TEXT,
    UNIQUE (queue, id),
    -- What must hold in each state. A single CASE, because it is checked with every step of a job.
    CHECK (CASE state
        WHEN 'active' THEN lease_token IS NOT NULL AND lease_until IS NOT NULL
                       AND due_at IS NULL AND finished_at IS NULL
        WHEN 'completed' THEN finished_at IS NOT NULL AND due_at IS NULL
                          AND lease_token IS NULL AND lease_until IS NULL
        WHEN 'waiting' THEN priority = 0 AND due_at IS NULL AND finished_at IS NULL
                        AND lease_token IS NULL AND lease_until IS NULL
        WHEN 'prioritized' THEN priority > 0 AND due_at IS NULL AND finished_at IS NULL
                            AND lease_token IS NULL AND lease_until IS NULL
        WHEN 'delayed' THEN due_at IS NOT NULL AND finished_at IS NULL
                        AND lease_token IS NULL AND lease_until IS NULL
        WHEN 'failed' THEN finished_at IS NOT NULL AND due_at IS NULL
                       AND lease_token IS NULL AND lease_until IS NULL
        WHEN 'waiting-children' THEN due_at IS NULL AND finished_at IS NULL
                                 AND lease_token IS NULL AND lease_until IS NULL
        ELSE FALSE
    END)
) STRICT;

-- One partial index per kind of scan, so that each job is in only one of them at a time.
CREATE INDEX job_ready ON job (queue, priority, position)
    WHERE state IN ('waiting', 'prioritized');
CREATE INDEX job_due ON job (queue, due_at, position) WHERE state = 'delayed';
CREATE INDEX job_active ON job (queue, lease_until) WHERE state = 'active';
CREATE INDEX job_finished ON job (queue, state, finished_at)
    WHERE finished_at IS NOT NULL;

CREATE TABLE body (
    seq     INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    data    TEXT NOT NULL,
    options TEXT NOT NULL
) STRICT;

CREATE TABLE result (seq INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE progress (seq INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE error (
    seq        INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    type       TEXT    NOT NULL,
    message    TEXT    NOT NULL,
    stack      TEXT    NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX error_of_job ON error (seq);

CREATE TABLE log (line_no INTEGER PRIMARY KEY, seq INTEGER NOT NULL, line TEXT NOT NULL) STRICT;
CREATE INDEX log_of_job ON log (seq);

CREATE TABLE tag (
    queue INTEGER NOT NULL,
    tag   TEXT    NOT NULL,
    seq   INTEGER NOT NULL,
    PRIMARY KEY (queue, tag, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_of_job ON tag (seq);

-- The job that holds each deduplication key. Without expires_at, until the job has finished.
CREATE TABLE dedup (
    queue      INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    job_id     TEXT    NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

-- The last batch of each producer, to recognise a batch that is sent again.
CREATE TABLE producer (
    queue    INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;

-- Event records: one row per kind of event and call.
CREATE TABLE event (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    queue  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    jobs   TEXT    NOT NULL,  -- job ids as a JSON array
    data   TEXT,              -- data for each job, a JSON array of the same length
    n      INTEGER NOT NULL   -- the number of jobs
) STRICT;
CREATE INDEX event_of_queue ON event (queue, cursor);

-- Counters per minute; `what` is the counter's name.
CREATE TABLE metric (
    queue  INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    what   TEXT    NOT NULL,
    n      INTEGER NOT NULL,
    PRIMARY KEY (queue, minute, what)
) STRICT, WITHOUT ROWID;

-- The number of jobs in each state, because counting them takes longer the more there are.
CREATE TABLE tally (
    queue INTEGER NOT NULL,
    state TEXT    NOT NULL,
    n     INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (queue, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER queue_made AFTER INSERT ON queue BEGIN
    INSERT INTO tally VALUES
        (NEW.id, 'waiting', 0), (NEW.id, 'prioritized', 0), (NEW.id, 'delayed', 0),
        (NEW.id, 'waiting-children', 0), (NEW.id, 'active', 0), (NEW.id, 'completed', 0),
        (NEW.id, 'failed', 0);
END;

-- Enforces the transitions in toril.model.state, where nothing can bypass them. Everything is in
-- the WHEN, and compares with = because IN would build a set for every row.
CREATE TRIGGER job_misled AFTER UPDATE OF state ON job
WHEN OLD.state <> NEW.state AND NOT CASE OLD.state
    WHEN 'active' THEN TRUE
    WHEN 'waiting' THEN NEW.state = 'active' OR NEW.state = 'prioritized'
                     OR NEW.state = 'delayed' OR NEW.state = 'failed'
    WHEN 'prioritized' THEN NEW.state = 'active' OR NEW.state = 'waiting'
                         OR NEW.state = 'delayed' OR NEW.state = 'failed'
    WHEN 'delayed' THEN NEW.state = 'waiting' OR NEW.state = 'prioritized'
                     OR NEW.state = 'failed'
    WHEN 'waiting-children' THEN NEW.state = 'waiting' OR NEW.state = 'prioritized'
                              OR NEW.state = 'delayed' OR NEW.state = 'failed'
    WHEN 'completed' THEN NEW.state = 'waiting' OR NEW.state = 'prioritized'
    WHEN 'failed' THEN NEW.state = 'waiting' OR NEW.state = 'prioritized'
END BEGIN
    SELECT RAISE(ABORT, 'a job cannot go this way');
END;

-- Adding, fetching and completing jobs updates the tally once per batch. All other changes of
-- state are counted here.
CREATE TRIGGER job_moved AFTER UPDATE OF state ON job
WHEN OLD.state <> NEW.state AND NEW.state <> 'active' AND NEW.state <> 'completed' BEGIN
    UPDATE tally SET n = n - 1 WHERE queue = OLD.queue AND state = OLD.state;
    UPDATE tally SET n = n + 1 WHERE queue = NEW.queue AND state = NEW.state;
END;

CREATE TRIGGER job_removed AFTER DELETE ON job BEGIN
    UPDATE tally SET n = n - 1 WHERE queue = OLD.queue AND state = OLD.state;
    DELETE FROM body WHERE seq = OLD.seq;
    DELETE FROM result WHERE seq = OLD.seq;
    DELETE FROM progress WHERE seq = OLD.seq;
    DELETE FROM error WHERE seq = OLD.seq;
    DELETE FROM log WHERE seq = OLD.seq;
    DELETE FROM tag WHERE seq = OLD.seq;
END;

CREATE TRIGGER job_removed_with_key AFTER DELETE ON job WHEN OLD.dedup IS NOT NULL BEGIN
    -- A key with an expiry outlives its job.
    DELETE FROM dedup WHERE queue = OLD.queue AND key = OLD.dedup AND job_id = OLD.id
                        AND expires_at IS NULL;
END;
