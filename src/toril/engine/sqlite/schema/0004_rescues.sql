-- When somebody last took jobs from dead workers: others need not look again at once.
ALTER TABLE queue ADD COLUMN rescued_at INTEGER NOT NULL DEFAULT 0;
