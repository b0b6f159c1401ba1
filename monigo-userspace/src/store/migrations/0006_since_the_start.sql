-- Version 6: what became of measurements that were deleted, and more about the session.

ALTER TABLE sessions ADD COLUMN runtime_version VARCHAR;
ALTER TABLE sessions ADD COLUMN retention VARCHAR;
ALTER TABLE sessions ADD COLUMN deleted_calls BIGINT DEFAULT 0;
COMMENT ON COLUMN sessions.runtime_version IS 'Version of the runtime of the language (Go), NULL when there is none or it is not known';
COMMENT ON COLUMN sessions.retention IS 'How long measurements were to be kept when the session began, for example 7d; NULL in recordings of an older monigo';
COMMENT ON COLUMN sessions.deleted_calls IS 'Rows of calls that were deleted since the start';

ALTER TABLE flushes ADD COLUMN beside_ns BIGINT DEFAULT 0;
COMMENT ON COLUMN flushes.beside_ns IS 'Time that records of calls and probes on the runtime of the language took from the target, about, beside the probes of calls';

-- Sums of deleted rows: with them, totals since the start stay what they were.
CREATE TABLE deleted_deltas (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    entered BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    unwound BIGINT NOT NULL,
    unmatched BIGINT NOT NULL,
    total_ns BIGINT NOT NULL,
    min_ns BIGINT,
    max_ns BIGINT,
    self_ns BIGINT,
    timed BIGINT NOT NULL,
    variance BIGINT NOT NULL
);
COMMENT ON TABLE deleted_deltas IS 'function_deltas that were deleted, summed up by function; rows of which nothing is known about durations, estimates, and the like are apart';
COMMENT ON COLUMN deleted_deltas.entered IS 'Calls begun that had ended; those that were open are in function_deltas, with flush_id 0';

CREATE TABLE deleted_histograms (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    bucket SMALLINT NOT NULL,
    count BIGINT NOT NULL
);
COMMENT ON TABLE deleted_histograms IS 'histogram_deltas that were deleted, summed up by function';

CREATE TABLE deleted_losses (
    session_id BIGINT NOT NULL,
    cause VARCHAR NOT NULL,
    count BIGINT NOT NULL
);
COMMENT ON TABLE deleted_losses IS 'losses that were deleted, summed up by cause';
