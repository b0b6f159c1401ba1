-- Version 2: what probes cost, self time, calls that were estimated or timed in part, notices.
-- ADD COLUMN takes no NOT NULL; monigo fills the columns that say nothing about NULL.

ALTER TABLE functions ADD COLUMN cost_ns BIGINT;
ALTER TABLE functions ADD COLUMN floor_ns BIGINT;
ALTER TABLE functions ADD COLUMN count_ns BIGINT;
COMMENT ON COLUMN functions.cost_ns IS 'Time that the probes of one call take from the target; NULL when not measured';
COMMENT ON COLUMN functions.floor_ns IS 'Durations below this cannot be told from none; NULL when not measured';
COMMENT ON COLUMN functions.count_ns IS 'Time that the probes of a call take which is counted and not timed; NULL when not measured';

ALTER TABLE function_deltas ADD COLUMN self_ns BIGINT;
ALTER TABLE function_deltas ADD COLUMN timed BIGINT;
ALTER TABLE function_deltas ADD COLUMN variance BIGINT DEFAULT 0;
-- Up to version 1 every completed call was counted and timed.
UPDATE function_deltas SET timed = calls;
COMMENT ON TABLE function_deltas IS 'Counters: what happened to a function in the flush interval that ended at at_ns; exact unless variance or timed say otherwise';
COMMENT ON COLUMN function_deltas.total_ns IS 'Summed duration of the completed calls, scaled up to calls when fewer were timed';
COMMENT ON COLUMN function_deltas.self_ns IS 'total_ns without time in traced callees; NULL when recorded by a monigo that did not measure it';
COMMENT ON COLUMN function_deltas.timed IS 'Completed calls whose duration was measured; fewer than calls when ends were watched for a part of the interval';
COMMENT ON COLUMN function_deltas.variance IS '0 when calls was counted; else calls was estimated from a part of the interval, with this variance';
COMMENT ON TABLE histogram_deltas IS 'Latency histogram: completed calls per non-empty bucket and flush interval; exact unless function_deltas.timed is below calls, then scaled up';

CREATE TABLE notices (
    session_id BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    sentence VARCHAR NOT NULL
);
COMMENT ON TABLE notices IS 'What monigo said while recording about changes in how it watches functions';
COMMENT ON COLUMN notices.at_ns IS 'Flush that wrote the notice';

-- Intervals that tell nothing about durations are given those of the others.
CREATE OR REPLACE VIEW v_functions AS
    SELECT f.session_id, f.function_id, f.name,
           coalesce(d.calls, 0) AS calls, coalesce(d.unwound, 0) AS unwound,
           coalesce(d.in_flight, 0) AS in_flight, coalesce(d.unmatched, 0) AS unmatched,
           coalesce(d.total_ns, 0) AS total_ns,
           CASE WHEN d.calls > 0 THEN (d.total_ns // d.calls)::BIGINT END AS mean_ns,
           d.min_ns,
           least(greatest(l.p50_ns, d.min_ns), d.max_ns) AS p50_ns,
           least(greatest(l.p90_ns, d.min_ns), d.max_ns) AS p90_ns,
           least(greatest(l.p99_ns, d.min_ns), d.max_ns) AS p99_ns,
           least(greatest(l.p999_ns, d.min_ns), d.max_ns) AS p999_ns,
           d.max_ns, f.image, f.file, f.line,
           d.self_ns, coalesce(d.timed, 0) AS timed, coalesce(d.calls_error, 0) AS calls_error,
           f.cost_ns, f.floor_ns
    FROM functions f
    LEFT JOIN (
        SELECT session_id, function_id, calls, unwound, in_flight, unmatched, min_ns, max_ns,
               timed, calls_error,
               CASE WHEN covered = calls THEN total_ns
                    WHEN covered > 0 THEN round(total_ns::DOUBLE * calls / covered)::BIGINT END AS total_ns,
               CASE WHEN covered = calls THEN self_ns
                    WHEN covered > 0 THEN round(self_ns::DOUBLE * calls / covered)::BIGINT END AS self_ns
        FROM (
            SELECT session_id, function_id, sum(calls)::BIGINT AS calls, sum(unwound)::BIGINT AS unwound,
                   greatest(sum(entered) - sum(calls) - sum(unwound), 0)::BIGINT AS in_flight,
                   sum(unmatched)::BIGINT AS unmatched, sum(total_ns)::BIGINT AS total_ns,
                   sum(self_ns)::BIGINT AS self_ns, sum(timed)::BIGINT AS timed,
                   coalesce(sum(calls) FILTER (timed > 0 OR total_ns > 0), 0)::BIGINT AS covered,
                   ceil(1.96 * sqrt(sum(variance)))::BIGINT AS calls_error,
                   min(min_ns) AS min_ns, max(max_ns) AS max_ns
            FROM function_deltas GROUP BY ALL
        )
    ) d USING (session_id, function_id)
    LEFT JOIN v_latency l USING (session_id, function_id);
COMMENT ON VIEW v_functions IS 'Totals and latency of each function over its session; calls is within calls_error with 95 % confidence';

CREATE OR REPLACE VIEW v_rates AS
    SELECT session_id, make_timestamp_ns(fl.at_ns) AS at, f.name, d.calls, d.unwound,
           d.calls / ((fl.at_ns - fl.from_ns) / 1e9) AS calls_per_s,
           CASE WHEN d.timed > 0 OR d.total_ns > 0 THEN d.total_ns / d.calls / 1e6 END AS mean_ms,
           CASE WHEN d.timed > 0 OR d.total_ns > 0 THEN d.self_ns / d.calls / 1e6 END AS mean_self_ms,
           d.timed, ceil(1.96 * sqrt(d.variance))::BIGINT AS calls_error
    FROM function_deltas d
    JOIN functions f USING (session_id, function_id)
    JOIN flushes fl USING (session_id, flush_id);
COMMENT ON VIEW v_rates IS 'Rate of each function in each flush interval in which it was called; calls is within calls_error with 95 % confidence';

CREATE VIEW v_notices AS
    SELECT session_id, make_timestamp_ns(at_ns) AS said_at, sentence FROM notices;
COMMENT ON VIEW v_notices IS 'Notices with readable times (UTC)';
