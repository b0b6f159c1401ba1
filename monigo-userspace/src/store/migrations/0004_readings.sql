-- Version 4: figures of the service and the host.

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
