-- When a rescue last ran, so that other workers can skip theirs for a while.
ALTER TABLE queue ADD COLUMN rescued_at INTEGER NOT NULL DEFAULT 0;
