-- Version 5: what a target is called.

ALTER TABLE sessions ADD COLUMN label VARCHAR;
COMMENT ON COLUMN sessions.label IS 'What the configuration calls the target; NULL where it has no name but its path';
