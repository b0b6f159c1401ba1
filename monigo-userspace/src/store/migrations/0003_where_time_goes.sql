-- Version 3: which call a sample belongs to, what it waited for, and who woke it.

ALTER TABLE samples ADD COLUMN sample_id BIGINT;
ALTER TABLE samples ADD COLUMN call_start_ns BIGINT;
ALTER TABLE samples ADD COLUMN runnable_ns BIGINT;
ALTER TABLE samples ADD COLUMN wait VARCHAR;
ALTER TABLE samples ADD COLUMN reason VARCHAR;
ALTER TABLE samples ADD COLUMN waker_tid INTEGER;
ALTER TABLE samples ADD COLUMN waker_name VARCHAR;
ALTER TABLE samples ADD COLUMN waker_stack_id BIGINT;
COMMENT ON COLUMN samples.sample_id IS 'Counts up from 1 within the session; NULL in recordings of a monigo before version 3 of the schema, as in the columns that follow';
COMMENT ON COLUMN samples.call_start_ns IS 'Start of the innermost open call: calls.start_ns of the same function_id and pid, if the call was recorded';
COMMENT ON COLUMN samples.runnable_ns IS 'Off CPU: the part of weight_ns in which it could have run and waited for a CPU';
COMMENT ON COLUMN samples.wait IS 'Off CPU: what it waited for: lock, io, sleep, channel, network, events, gc, child or other; NULL when it only waited for a CPU';
COMMENT ON COLUMN samples.reason IS 'Wait reason that the runtime of the language gives (Go), NULL when there is none';
COMMENT ON COLUMN samples.waker_tid IS 'Thread that woke it; NULL when not known';
COMMENT ON COLUMN samples.waker_name IS 'Name of that thread';
COMMENT ON COLUMN samples.waker_stack_id IS 'Stack of the waker when it woke the thread; NULL when not taken';

CREATE TABLE sample_callers (
    session_id BIGINT NOT NULL,
    at_ns BIGINT NOT NULL,
    sample_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    call_start_ns BIGINT NOT NULL
);
COMMENT ON TABLE sample_callers IS 'Traced calls around the innermost one that a sample belongs to; only where traced functions nest';
COMMENT ON COLUMN sample_callers.at_ns IS 'Flush that wrote the sample';

CREATE OR REPLACE VIEW v_samples AS
    SELECT session_id, make_timestamp_ns(s.taken_ns) AS taken_at, s.kind, f.name,
           s.weight_ns / 1e6 AS weight_ms, s.runnable_ns / 1e6 AS runnable_ms, s.wait, s.reason,
           s.waker_name, s.pid, s.tid, s.goid, folded
    FROM samples s
    JOIN functions f USING (session_id, function_id)
    LEFT JOIN (
        SELECT session_id, stack_id, string_agg(function, ';' ORDER BY depth DESC) AS folded
        FROM stack_frames JOIN frames USING (session_id, frame_id) GROUP BY ALL
    ) USING (session_id, stack_id);
COMMENT ON VIEW v_samples IS 'Samples with names, readable times (UTC) and stacks, outermost frame first';
