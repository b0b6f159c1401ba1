//! What samples say: which of them belong to which calls, and what each is about.

use std::collections::BTreeMap;

use duckdb::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{CallSpan, Frame, QueryError, Weight, select::Durations, totals::Span};
use crate::store::Wait;

/// What a thread or goroutine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// It ran.
    Running,
    /// It waited for something.
    Waiting,
    /// It could have run, and waited for a CPU.
    Runnable,
}

/// Samples that have everything in common that questions ask for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SampleSum {
    /// Function of the innermost traced call.
    pub function: u32,
    pub stack: Option<u64>,
    pub off_cpu: bool,
    pub wait: Option<Wait>,
    /// Whether the recording tells waits apart: without one, a CPU was waited for.
    pub told: bool,
    pub reason: Option<String>,
    pub waker: Option<String>,
    pub waker_stack: Option<u64>,
    /// They belong to slow calls; false where the question makes no difference.
    pub slow: bool,
    /// Time that they stand for, ns.
    pub weight_ns: f64,
    /// The part of it in which a CPU was waited for, ns.
    pub runnable_ns: f64,
    pub samples: u64,
}

impl SampleSum {
    /// Splits the time by what was done in it. `frames` are those of the stack.
    pub fn parts<'a>(
        &self,
        frames: impl IntoIterator<Item = &'a Frame>,
    ) -> impl Iterator<Item = (Activity, Option<Wait>, f64)> {
        let waiting_ns = (self.weight_ns - self.runnable_ns).max(0.0);
        let runnable = (Activity::Runnable, None, self.weight_ns - waiting_ns);
        let parts = match (self.off_cpu, self.wait) {
            (false, _) => [Some((Activity::Running, None, self.weight_ns)), None],
            (true, Some(wait)) => [
                Some((Activity::Waiting, Some(wait), waiting_ns)),
                Some(runnable),
            ],
            (true, None) if self.told => [Some((Activity::Runnable, None, self.weight_ns)), None],
            // A recording of a monigo that did not tell waits apart.
            (true, None) => match wait_of(frames) {
                Some(wait) => [Some((Activity::Waiting, Some(wait), self.weight_ns)), None],
                None => [Some((Activity::Runnable, None, self.weight_ns)), None],
            },
        };
        parts.into_iter().flatten().filter(|part| part.2 > 0.0)
    }
}

/// What waiting and waiting for a CPU are called where stacks are shown.
pub(super) const fn leaf(activity: Activity, wait: Option<Wait>) -> Option<&'static str> {
    match (activity, wait) {
        (Activity::Running, _) => None,
        (Activity::Runnable, _) => Some("[waiting for a CPU]"),
        (Activity::Waiting, Some(Wait::Lock)) => Some("[waiting for a lock]"),
        (Activity::Waiting, Some(Wait::Io)) => Some("[waiting for I/O]"),
        (Activity::Waiting, Some(Wait::Sleep)) => Some("[sleeping]"),
        (Activity::Waiting, Some(Wait::Channel)) => Some("[waiting for a channel]"),
        (Activity::Waiting, Some(Wait::Network)) => Some("[waiting for the network]"),
        (Activity::Waiting, Some(Wait::Events)) => Some("[waiting for events]"),
        (Activity::Waiting, Some(Wait::Gc)) => Some("[waiting for the garbage collector]"),
        (Activity::Waiting, Some(Wait::Await)) => Some("[suspended at .await]"),
        (Activity::Waiting, Some(Wait::Child)) => Some("[waiting for a child process]"),
        (Activity::Waiting, Some(Wait::Other) | None) => Some("[waiting]"),
    }
}

/// Kernel functions, by the beginning of their names, and what a thread inside them waits for.
/// The first that is on the stack decides.
const WAITS: [(&str, Wait); 40] = [
    ("futex_", Wait::Lock),
    ("__futex_", Wait::Lock),
    ("do_futex", Wait::Lock),
    ("do_semtimedop", Wait::Lock),
    ("hrtimer_nanosleep", Wait::Sleep),
    ("do_nanosleep", Wait::Sleep),
    ("common_nsleep", Wait::Sleep),
    ("ep_poll", Wait::Events),
    ("do_epoll_", Wait::Events),
    ("do_poll", Wait::Events),
    ("do_sys_poll", Wait::Events),
    ("do_select", Wait::Events),
    ("core_sys_select", Wait::Events),
    ("do_sigtimedwait", Wait::Events),
    ("do_wait", Wait::Child),
    ("kernel_wait", Wait::Child),
    ("sk_wait_", Wait::Network),
    ("sk_stream_wait_", Wait::Network),
    ("inet_", Wait::Network),
    ("tcp_", Wait::Network),
    ("udp_", Wait::Network),
    ("unix_", Wait::Network),
    ("skb_wait_", Wait::Network),
    ("__skb_wait_", Wait::Network),
    ("sock_", Wait::Network),
    ("__sys_recv", Wait::Network),
    ("__sys_send", Wait::Network),
    ("__sys_accept", Wait::Network),
    ("__sys_connect", Wait::Network),
    ("io_schedule", Wait::Io),
    ("folio_wait_", Wait::Io),
    ("pipe_", Wait::Io),
    ("anon_pipe_", Wait::Io),
    ("n_tty_", Wait::Io),
    ("tty_", Wait::Io),
    ("eventfd_", Wait::Io),
    ("vfs_", Wait::Io),
    ("ksys_", Wait::Io),
    ("io_cqring_wait", Wait::Io),
    ("do_fsync", Wait::Io),
];

/// What a thread waits for, by the kernel frames of its stack, innermost first. `None` when it gave
/// way to others: nothing on the stack waits.
fn wait_of<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Option<Wait> {
    let mut preempted = false;
    let mut kernel = false;
    for frame in frames.into_iter().take_while(|frame| frame.kernel) {
        kernel = true;
        let name = frame.function.as_str();
        preempted |= name.starts_with("preempt_schedule")
            || name.starts_with("irqentry_exit")
            || name.starts_with("exit_to_user_mode")
            || name.contains("cond_resched")
            || name == "sched_yield"
            || name == "do_sched_yield";
        if preempted {
            return None;
        }
        let found = WAITS.iter().find(|(prefix, _)| name.starts_with(prefix));
        if let Some((_, wait)) = found {
            return Some(*wait);
        }
    }
    // A system call whose functions are not known is more likely a wait than the end of a time slice,
    // which shows by how the kernel was left.
    kernel.then_some(Wait::Other)
}

/// Which calls' samples to sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub span: Span,
    pub function: u32,
    pub slow: Durations,
    /// Calls to compare them with.
    pub fast: Option<Durations>,
}

/// The recorded calls in question, and each sample that belongs to one of them, once for each.
const BELONGING: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT pid, tid, goid, start_ns, duration_ns, weight,
               duration_ns >= $5 AND duration_ns < $6 AS slow
        FROM calls
        WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3 AND function_id = $4
              AND (duration_ns >= $5 AND duration_ns < $6 OR duration_ns >= $7 AND duration_ns < $8)
    ), belonging AS (
        SELECT s.rowid AS row, c.slow, c.weight
        FROM chosen c JOIN samples s
            ON s.session_id = $1 AND s.function_id = $4 AND s.pid = c.pid
               AND s.call_start_ns = c.start_ns
        UNION ALL
        SELECT s.rowid, c.slow, c.weight
        FROM chosen c
        JOIN sample_callers k
            ON k.session_id = $1 AND k.function_id = $4 AND k.call_start_ns = c.start_ns
        JOIN samples s
            ON s.session_id = $1 AND s.sample_id = k.sample_id AND s.pid = c.pid
        UNION ALL
        SELECT s.rowid, c.slow, c.weight
        FROM chosen c JOIN samples s
            ON s.session_id = $1 AND s.function_id = $4 AND s.call_start_ns IS NULL
               AND s.pid = c.pid
               AND coalesce(s.goid, -s.tid::BIGINT) = coalesce(c.goid, -c.tid::BIGINT)
               AND s.taken_ns >= c.start_ns AND s.taken_ns < c.start_ns + c.duration_ns
    )";

const SUMS: &str = "
    SELECT s.function_id, s.stack_id, s.kind, s.wait, s.reason, s.waker_name, s.waker_stack_id,
           slow, sum(weight * s.weight_ns::DOUBLE),
           sum(weight * coalesce(s.runnable_ns, 0)::DOUBLE), count(*)::BIGINT
    FROM belonging JOIN samples s ON s.rowid = belonging.row
    GROUP BY ALL";

/// Sums the samples of recorded calls. Each counts as many times as its call stands for; one that
/// belongs to a call and to one inside it counts for both.
pub(super) fn of_calls(
    connection: &Connection,
    chosen: Chosen,
) -> Result<Vec<SampleSum>, QueryError> {
    read(connection, &format!("{BELONGING} {SUMS}"), chosen)
}

/// As [`of_calls`], but each sample counts for one call only.
pub(super) fn of_calls_once(
    connection: &Connection,
    chosen: Chosen,
) -> Result<Vec<SampleSum>, QueryError> {
    let once = ", once AS (SELECT row, bool_or(slow) AS slow, max(weight) AS weight FROM belonging GROUP BY row)";
    let sums = SUMS.replace("belonging", "once");
    read(connection, &format!("{BELONGING}{once} {sums}"), chosen)
}

/// A query for the rows of `samples` that belong to recorded calls of a function, without parameters.
pub(super) fn rows_of_calls(calls: &CallSpan, function: u32) -> String {
    let (low, high) = calls.signed_durations();
    let (none_low, none_high) = Durations::NONE.signed();
    let values = [
        calls.session,
        calls.after_ns,
        calls.upto_ns,
        function.into(),
        low,
        high,
        none_low,
        none_high,
    ];
    let query = format!("{BELONGING} SELECT row FROM belonging");
    (1..).zip(values).fold(query, |query, (number, value)| {
        // In brackets, since a minus in front of a number is an operator.
        query.replace(&format!("${number}"), &format!("({value})"))
    })
}

fn read(
    connection: &Connection,
    query: &str,
    chosen: Chosen,
) -> Result<Vec<SampleSum>, QueryError> {
    let (slow_low, slow_high) = chosen.slow.signed();
    let (fast_low, fast_high) = chosen.fast.unwrap_or(Durations::NONE).signed();
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map(
        params![
            chosen.span.session,
            chosen.span.after_ns,
            chosen.span.upto_ns,
            chosen.function as i32,
            slow_low,
            slow_high,
            fast_low,
            fast_high,
        ],
        row,
    )?;
    told(
        connection,
        chosen.span.session,
        rows.collect::<Result<_, _>>()?,
    )
}

/// Notes whether the session tells waits apart.
pub(super) fn told(
    connection: &Connection,
    session: i64,
    mut sums: Vec<SampleSum>,
) -> Result<Vec<SampleSum>, QueryError> {
    if sums.iter().any(|sum| sum.off_cpu && sum.wait.is_none()) {
        let mut statement = connection.prepare_cached(
            "SELECT 1 FROM samples WHERE session_id = ? AND wait IS NOT NULL LIMIT 1",
        )?;
        let told = statement.exists([session])?;
        for sum in &mut sums {
            sum.told = told;
        }
    }
    Ok(sums)
}

/// Sums the samples in `span`, of all functions or of one: those that belong to its calls,
/// recorded or not.
pub(super) fn of_function(
    connection: &Connection,
    span: Span,
    function: Option<u32>,
    weight: Weight,
) -> Result<Vec<SampleSum>, QueryError> {
    let mut statement = connection.prepare_cached(
        "SELECT s.function_id, s.stack_id, s.kind, s.wait, s.reason, NULL, NULL, false,
                sum(s.weight_ns::DOUBLE), sum(coalesce(s.runnable_ns, 0)::DOUBLE), count(*)::BIGINT
         FROM samples s
         WHERE s.session_id = $1 AND s.at_ns > $2 AND s.at_ns <= $3 AND s.kind = coalesce($5::VARCHAR, s.kind)
               AND ($4::INTEGER IS NULL OR s.function_id = $4 OR s.sample_id IN (
                    SELECT sample_id FROM sample_callers
                    WHERE session_id = $1 AND at_ns > $2 AND at_ns <= $3 AND function_id = $4))
         GROUP BY ALL",
    )?;
    let kind = match weight {
        Weight::Cpu => Some("cpu"),
        Weight::OffCpu => Some("offcpu"),
        Weight::Wall | Weight::Calls | Weight::Time => None,
    };
    let rows = statement.query_map(
        params![
            span.session,
            span.after_ns,
            span.upto_ns,
            function.map(|id| id as i32),
            kind
        ],
        row,
    )?;
    told(connection, span.session, rows.collect::<Result<_, _>>()?)
}

pub(super) fn row(row: &duckdb::Row<'_>) -> Result<SampleSum, duckdb::Error> {
    let kind: String = row.get(2)?;
    let wait: Option<String> = row.get(3)?;
    Ok(SampleSum {
        function: row.get(0)?,
        stack: row.get(1)?,
        off_cpu: kind == "offcpu",
        wait: wait.map(|name| Wait::of_name(&name).unwrap_or(Wait::Other)),
        told: true,
        reason: row.get(4)?,
        waker: row.get(5)?,
        waker_stack: row.get(6)?,
        slow: row.get(7)?,
        weight_ns: row.get(8)?,
        runnable_ns: row.get(9)?,
        samples: row.get(10)?,
    })
}

/// Adds up what stacks weigh, whatever else differs.
pub(super) fn by_stack(sums: &[SampleSum], weight: Weight) -> Vec<(u64, f64)> {
    let mut stacks: BTreeMap<u64, f64> = BTreeMap::new();
    for sum in sums.iter().filter(|sum| counts(sum, weight)) {
        if let Some(stack) = sum.stack {
            *stacks.entry(stack).or_default() += sum.weight_ns;
        }
    }
    stacks.into_iter().collect()
}

/// Whether a sample says anything about `weight`.
pub(super) fn counts(sum: &SampleSum, weight: Weight) -> bool {
    match weight {
        Weight::Cpu => !sum.off_cpu,
        Weight::OffCpu => sum.off_cpu,
        Weight::Wall | Weight::Calls | Weight::Time => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(names: &[&str]) -> Vec<Frame> {
        let frame = |name: &&str| Frame {
            function: (*name).to_owned(),
            image: "[kernel]".to_owned(),
            address: 0,
            file: None,
            line: None,
            inlined: false,
            kernel: true,
        };
        names.iter().map(frame).collect()
    }

    #[test]
    fn waits_are_told_by_where_the_kernel_is() {
        for (names, wait) in [
            (
                &["schedule", "futex_wait_queue", "futex_wait", "do_futex"][..],
                Some(Wait::Lock),
            ),
            (
                &["schedule", "do_nanosleep", "hrtimer_nanosleep"],
                Some(Wait::Sleep),
            ),
            (
                &["schedule", "pipe_read", "vfs_read", "ksys_read"],
                Some(Wait::Io),
            ),
            (&["schedule", "anon_pipe_read", "vfs_read"], Some(Wait::Io)),
            (
                &[
                    "schedule_timeout",
                    "unix_stream_read_generic",
                    "sock_recvmsg",
                    "vfs_read",
                ],
                Some(Wait::Network),
            ),
            (
                &["schedule", "schedule_hrtimeout_range", "ep_poll"],
                Some(Wait::Events),
            ),
            (&["schedule", "do_wait", "kernel_wait4"], Some(Wait::Child)),
            (&["schedule", "something_new"], Some(Wait::Other)),
            (
                &["__schedule", "schedule", "irqentry_exit_to_user_mode"],
                None,
            ),
            (&["__schedule", "preempt_schedule_irq", "vfs_read"], None),
            (&[], None),
        ] {
            assert_eq!(wait_of(&kernel(names)), wait, "{names:?}");
        }
    }

    #[test]
    fn time_off_cpu_is_waiting_and_then_waiting_for_a_cpu() {
        let sum = |wait, runnable_ns, off_cpu| SampleSum {
            function: 0,
            stack: None,
            off_cpu,
            wait,
            told: true,
            reason: None,
            waker: None,
            waker_stack: None,
            slow: false,
            weight_ns: 10.0,
            runnable_ns,
            samples: 1,
        };
        let parts = |sum: SampleSum| sum.parts(&[]).collect::<Vec<_>>();
        assert_eq!(
            parts(sum(Some(Wait::Io), 4.0, true)),
            [
                (Activity::Waiting, Some(Wait::Io), 6.0),
                (Activity::Runnable, None, 4.0)
            ]
        );
        let runnable = [(Activity::Runnable, None, 10.0)];
        assert_eq!(parts(sum(None, 10.0, true)), runnable);
        assert_eq!(parts(sum(None, 0.0, true)), runnable);
        assert_eq!(
            parts(sum(None, 0.0, false)),
            [(Activity::Running, None, 10.0)]
        );
    }
}
