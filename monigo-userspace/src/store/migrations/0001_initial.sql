-- Version 1. Times are BIGINT Unix time in ns (exact, and plain arithmetic works on them);
-- the v_ views show them as TIMESTAMP_NS in UTC. Counts and durations are BIGINT.
-- There are no primary keys: their indexes would slow appends and live in memory.

CREATE TABLE sessions (
    session_id BIGINT NOT NULL,
    started_ns BIGINT NOT NULL,
    ended_ns BIGINT,
    monigo_version VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    kernel VARCHAR NOT NULL,
    command_line VARCHAR NOT NULL,
    flush_ns BIGINT NOT NULL,
    target_path VARCHAR NOT NULL,
    build_id VARCHAR,
    language VARCHAR NOT NULL,
    pruned_before_ns BIGINT
);
COMMENT ON TABLE sessions IS 'One row per run of monigo attach or monigo run, with its target';
COMMENT ON COLUMN sessions.ended_ns IS 'NULL while recording, or when monigo was killed';
COMMENT ON COLUMN sessions.flush_ns IS 'Time between flushes as asked for';
COMMENT ON COLUMN sessions.build_id IS 'GNU build id of the target in hex, if it has one';
COMMENT ON COLUMN sessions.language IS 'go, rust, c or c++';
COMMENT ON COLUMN sessions.pruned_before_ns IS 'Measurements before this time were deleted by --retention';

CREATE TABLE functions (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    linkage_name VARCHAR NOT NULL,
    image VARCHAR NOT NULL,
    file VARCHAR,
    line INTEGER,
    entry_address UBIGINT NOT NULL,
    exit_probe VARCHAR NOT NULL,
    sites INTEGER NOT NULL,
    cost_class VARCHAR NOT NULL
);
COMMENT ON TABLE functions IS 'Traced functions of each session';
COMMENT ON COLUMN functions.function_id IS 'Counts up from 0 within the session';
COMMENT ON COLUMN functions.entry_address IS 'ELF virtual address of the entry probe';
COMMENT ON COLUMN functions.exit_probe IS 'ret or uretprobe';
COMMENT ON COLUMN functions.sites IS 'Probe sites, entry included';
COMMENT ON COLUMN functions.cost_class IS 'Dearest site: nop5, emulated or single-step';

CREATE TABLE session_warnings (
    session_id BIGINT NOT NULL,
    sentence VARCHAR NOT NULL
);
COMMENT ON TABLE session_warnings IS 'What monigo said it could not see when the session began';

CREATE TABLE flushes (
    session_id BIGINT NOT NULL,
    flush_id BIGINT NOT NULL,
    from_ns BIGINT NOT NULL,
    at_ns BIGINT NOT NULL
);
COMMENT ON TABLE flushes IS 'The intervals that measurements were written for: (from_ns, at_ns]';
COMMENT ON COLUMN flushes.flush_id IS 'Counts up from 1 within the session';

CREATE TABLE function_deltas (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    flush_id BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    entered BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    unwound BIGINT NOT NULL,
    unmatched BIGINT NOT NULL,
    total_ns BIGINT NOT NULL,
    min_ns BIGINT,
    max_ns BIGINT
);
COMMENT ON TABLE function_deltas IS 'Exact counters: what happened to a function in the flush interval that ended at at_ns';
COMMENT ON COLUMN function_deltas.entered IS 'Calls begun';
COMMENT ON COLUMN function_deltas.calls IS 'Calls completed';
COMMENT ON COLUMN function_deltas.unwound IS 'Calls ended by a panic, an exception, longjmp, or the end of their thread';
COMMENT ON COLUMN function_deltas.unmatched IS 'Ends of calls whose beginning was not seen';
COMMENT ON COLUMN function_deltas.total_ns IS 'Summed duration of the completed calls';
COMMENT ON COLUMN function_deltas.min_ns IS 'Shortest call of the session so far; NULL when no call completed in the interval';
COMMENT ON COLUMN function_deltas.max_ns IS 'Longest call of the session so far; NULL when no call completed in the interval';

CREATE TABLE histogram_deltas (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    flush_id BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    bucket SMALLINT NOT NULL,
    count BIGINT NOT NULL
);
COMMENT ON TABLE histogram_deltas IS 'Exact latency histogram: completed calls per non-empty bucket and flush interval';
COMMENT ON COLUMN histogram_deltas.bucket IS 'Log-linear bucket, at most 1/32 wide; see bucket_low_ns(bucket) and bucket_mid_ns(bucket)';

CREATE TABLE calls (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    at_ns BIGINT NOT NULL,
    start_ns BIGINT NOT NULL,
    duration_ns BIGINT NOT NULL,
    pid INTEGER NOT NULL,
    tid INTEGER NOT NULL,
    goid BIGINT,
    cpu INTEGER NOT NULL,
    weight BIGINT NOT NULL,
    stack_id BIGINT
);
COMMENT ON TABLE calls IS 'Calls recorded in full: a sample, and the slow ones; count with sum(weight)';
COMMENT ON COLUMN calls.at_ns IS 'Flush that wrote the call';
COMMENT ON COLUMN calls.goid IS 'Goroutine id; NULL when not Go or not known';
COMMENT ON COLUMN calls.weight IS 'How many completed calls this one stands for';
COMMENT ON COLUMN calls.stack_id IS 'Stack at the end of the call; NULL when none was taken';

CREATE TABLE samples (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    at_ns BIGINT NOT NULL,
    taken_ns BIGINT NOT NULL,
    weight_ns BIGINT NOT NULL,
    pid INTEGER NOT NULL,
    tid INTEGER NOT NULL,
    goid BIGINT,
    stack_id BIGINT
);
COMMENT ON TABLE samples IS 'What ran, and what threads waited for, inside traced functions: a sample; sum(weight_ns) estimates the time';
COMMENT ON COLUMN samples.function_id IS 'Function of the innermost open call';
COMMENT ON COLUMN samples.kind IS 'cpu: looked at in regular intervals while running; offcpu: from leaving the CPU until running again';
COMMENT ON COLUMN samples.at_ns IS 'Flush that wrote the sample';
COMMENT ON COLUMN samples.taken_ns IS 'When it was taken, or when the time off CPU began';
COMMENT ON COLUMN samples.weight_ns IS 'Time that the sample stands for; 1 ms off CPU can stand for several shorter intervals';
COMMENT ON COLUMN samples.goid IS 'Goroutine id; NULL when not Go or not known';
COMMENT ON COLUMN samples.stack_id IS 'Kernel frames, if it was in the kernel, then user frames; NULL when the stack could not be kept';

CREATE TABLE frames (
    session_id BIGINT NOT NULL,
    frame_id BIGINT NOT NULL,
    function VARCHAR NOT NULL,
    image VARCHAR NOT NULL,
    address UBIGINT NOT NULL,
    file VARCHAR,
    line INTEGER,
    inlined BOOLEAN NOT NULL,
    kernel BOOLEAN NOT NULL
);
COMMENT ON TABLE frames IS 'Symbolized code locations, each stored once a session';
COMMENT ON COLUMN frames.address IS 'ELF virtual address';
COMMENT ON COLUMN frames.inlined IS 'Inlined into the next outer frame';

CREATE TABLE stacks (
    session_id BIGINT NOT NULL,
    stack_id BIGINT NOT NULL,
    truncated BOOLEAN NOT NULL
);
COMMENT ON TABLE stacks IS 'Distinct stacks, each stored once a session';
COMMENT ON COLUMN stacks.truncated IS 'The walk ended before the outermost frame';

CREATE TABLE stack_frames (
    session_id BIGINT NOT NULL,
    stack_id BIGINT NOT NULL,
    depth INTEGER NOT NULL,
    frame_id BIGINT NOT NULL
);
COMMENT ON TABLE stack_frames IS 'Frames of each stack';
COMMENT ON COLUMN stack_frames.depth IS '0 is the innermost frame: of a call the traced function';

CREATE TABLE processes (
    session_id BIGINT NOT NULL,
    pid INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    seen_ns BIGINT NOT NULL
);
COMMENT ON TABLE processes IS 'Processes whose calls were counted';
COMMENT ON COLUMN processes.seen_ns IS 'When monigo first saw it';

CREATE TABLE losses (
    session_id BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    cause VARCHAR NOT NULL,
    count BIGINT NOT NULL
);
COMMENT ON TABLE losses IS 'What could not be recorded, by cause, in the flush interval that ended at at_ns';

CREATE MACRO bucket_low_ns(b) AS
    CASE WHEN b < 32 THEN b::BIGINT
         ELSE (32 + (b::BIGINT & 31)) << ((b::BIGINT >> 5) - 1) END;
CREATE MACRO bucket_mid_ns(b) AS
    CASE WHEN b < 64 THEN bucket_low_ns(b)
         ELSE bucket_low_ns(b) + (1::BIGINT << ((b::BIGINT >> 5) - 2)) END;

CREATE VIEW v_sessions AS
    SELECT session_id, make_timestamp_ns(started_ns) AS started_at,
           make_timestamp_ns(ended_ns) AS ended_at,
           (coalesce(ended_ns, (SELECT max(at_ns) FROM flushes f WHERE f.session_id = s.session_id), started_ns)
               - started_ns) / 1e9 AS duration_s,
           target_path, language, host, kernel, monigo_version, command_line
    FROM sessions s;
COMMENT ON VIEW v_sessions IS 'Sessions with readable times (UTC)';

CREATE VIEW v_latency AS
    WITH buckets AS (
        SELECT session_id, function_id, bucket, sum(count) AS n
        FROM histogram_deltas GROUP BY ALL
    ), ranked AS (
        SELECT *, sum(n) OVER (PARTITION BY session_id, function_id ORDER BY bucket) AS upto,
               sum(n) OVER (PARTITION BY session_id, function_id) AS total
        FROM buckets
    )
    SELECT session_id, function_id,
           min(bucket_mid_ns(bucket)) FILTER (upto >= 0.5 * total) AS p50_ns,
           min(bucket_mid_ns(bucket)) FILTER (upto >= 0.9 * total) AS p90_ns,
           min(bucket_mid_ns(bucket)) FILTER (upto >= 0.99 * total) AS p99_ns,
           min(bucket_mid_ns(bucket)) FILTER (upto >= 0.999 * total) AS p999_ns
    FROM ranked GROUP BY ALL;
COMMENT ON VIEW v_latency IS 'Percentiles of each function over its session, within 3 %';

CREATE MACRO latency_percentile(p) AS TABLE
    WITH buckets AS (
        SELECT session_id, function_id, bucket, sum(count) AS n
        FROM histogram_deltas GROUP BY ALL
    ), ranked AS (
        SELECT *, sum(n) OVER (PARTITION BY session_id, function_id ORDER BY bucket) AS upto,
               sum(n) OVER (PARTITION BY session_id, function_id) AS total
        FROM buckets
    )
    SELECT session_id, name AS function, min(bucket_mid_ns(bucket)) AS latency_ns
    FROM ranked JOIN functions USING (session_id, function_id)
    WHERE upto >= p / 100 * total
    GROUP BY ALL;

CREATE VIEW v_functions AS
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
           d.max_ns, f.image, f.file, f.line
    FROM functions f
    LEFT JOIN (
        SELECT session_id, function_id, sum(calls)::BIGINT AS calls, sum(unwound)::BIGINT AS unwound,
               greatest(sum(entered) - sum(calls) - sum(unwound), 0)::BIGINT AS in_flight,
               sum(unmatched)::BIGINT AS unmatched, sum(total_ns)::BIGINT AS total_ns,
               min(min_ns) AS min_ns, max(max_ns) AS max_ns
        FROM function_deltas GROUP BY ALL
    ) d USING (session_id, function_id)
    LEFT JOIN v_latency l USING (session_id, function_id);
COMMENT ON VIEW v_functions IS 'Totals and latency of each function over its session';

CREATE VIEW v_rates AS
    SELECT session_id, make_timestamp_ns(fl.at_ns) AS at, f.name, d.calls, d.unwound,
           d.calls / ((fl.at_ns - fl.from_ns) / 1e9) AS calls_per_s,
           CASE WHEN d.calls > 0 THEN d.total_ns / d.calls / 1e6 END AS mean_ms
    FROM function_deltas d
    JOIN functions f USING (session_id, function_id)
    JOIN flushes fl USING (session_id, flush_id);
COMMENT ON VIEW v_rates IS 'Rate of each function in each flush interval in which it was called';

CREATE VIEW v_calls AS
    SELECT session_id, make_timestamp_ns(c.start_ns) AS started_at, f.name,
           c.duration_ns / 1e6 AS duration_ms, c.pid, c.tid, c.goid, c.cpu, c.weight, c.stack_id
    FROM calls c JOIN functions f USING (session_id, function_id);
COMMENT ON VIEW v_calls IS 'Recorded calls with names and readable times (UTC)';

CREATE VIEW v_samples AS
    SELECT session_id, make_timestamp_ns(s.taken_ns) AS taken_at, s.kind, f.name,
           s.weight_ns / 1e6 AS weight_ms, s.pid, s.tid, s.goid, folded
    FROM samples s
    JOIN functions f USING (session_id, function_id)
    LEFT JOIN (
        SELECT session_id, stack_id, string_agg(function, ';' ORDER BY depth DESC) AS folded
        FROM stack_frames JOIN frames USING (session_id, frame_id) GROUP BY ALL
    ) USING (session_id, stack_id);
COMMENT ON VIEW v_samples IS 'Samples with names, readable times (UTC) and stacks, outermost frame first';

CREATE VIEW v_stacks AS
    SELECT session_id, stack_id, weighed.calls, weighed.wall_ms, folded
    FROM (
        SELECT session_id, stack_id, sum(weight)::BIGINT AS calls,
               sum(weight * duration_ns::DOUBLE) / 1e6 AS wall_ms
        FROM calls WHERE stack_id IS NOT NULL GROUP BY ALL
    ) weighed
    JOIN (
        SELECT session_id, stack_id, string_agg(function, ';' ORDER BY depth DESC) AS folded
        FROM stack_frames JOIN frames USING (session_id, frame_id) GROUP BY ALL
    ) USING (session_id, stack_id);
COMMENT ON VIEW v_stacks IS 'Distinct stacks, outermost frame first, with estimated calls and wall-clock time';
