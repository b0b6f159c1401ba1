-- Version 7: how long calls and waits really were, for the timeline of a call.

ALTER TABLE calls ADD COLUMN probes_ns BIGINT;
ALTER TABLE samples ADD COLUMN away_ns BIGINT;
COMMENT ON COLUMN calls.probes_ns IS 'What probes took in it, which is no part of duration_ns: both together are the time from entry to return; NULL in recordings of a monigo before version 7 of the schema';
COMMENT ON COLUMN samples.away_ns IS 'Off CPU: how long it was, where weight_ns also stands for others; 0 of a sample while it ran, NULL in recordings of a monigo before version 7 of the schema';
