-- Version 4: figures of the service and the host, and what became of old measurements.

ALTER TABLE sessions ADD COLUMN detailed_from_ns BIGINT;
ALTER TABLE sessions ADD COLUMN merged_before_ns BIGINT;
COMMENT ON COLUMN sessions.detailed_from_ns IS 'Single calls and samples before this time were deleted; counters and histograms were not. NULL for none';
COMMENT ON COLUMN sessions.merged_before_ns IS 'Flush intervals before this time were merged to coarser ones; NULL for none';

CREATE TABLE readings (
    session_id BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    name VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    lowest DOUBLE NOT NULL,
    highest DOUBLE NOT NULL,
    looks BIGINT NOT NULL
);
COMMENT ON TABLE readings IS 'Figures of the service and the host over time, one row per series and instant';
COMMENT ON COLUMN readings.at_ns IS 'When it was read; of merged readings the first';
COMMENT ON COLUMN readings.name IS 'Series, for example service_cpu_load';
COMMENT ON COLUMN readings.value IS 'In the unit of the series; of merged readings the mean';
COMMENT ON COLUMN readings.looks IS 'Readings that the row stands for: 1, more where old ones were merged';

CREATE VIEW v_readings AS
    SELECT session_id, make_timestamp_ns(at_ns) AS read_at, name, value, lowest, highest, looks
    FROM readings;
COMMENT ON VIEW v_readings IS 'Figures of the service and the host with readable times (UTC)';

-- Sums over 32 flush intervals, whose ids are 32 n to 32 n + 31. They say nothing that
-- histogram_deltas does not, and answer questions over long times faster.
CREATE TABLE blocks (
    session_id BIGINT NOT NULL,
    flush_id BIGINT NOT NULL,
    from_ns BIGINT NOT NULL,
    at_ns BIGINT NOT NULL
);
COMMENT ON TABLE blocks IS 'Intervals of 32 flushes that histogram_blocks has sums of: (from_ns, at_ns]';
COMMENT ON COLUMN blocks.flush_id IS 'The last flush in it';

CREATE TABLE histogram_blocks (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    flush_id BIGINT NOT NULL,
    from_ns BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    bucket SMALLINT NOT NULL,
    count BIGINT NOT NULL
);
COMMENT ON TABLE histogram_blocks IS 'histogram_deltas summed up over each of the blocks';
