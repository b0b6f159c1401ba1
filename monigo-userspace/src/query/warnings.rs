//! What monigo could not see, as sentences for the user.

use super::LossRow;
use crate::export::format::{count, duration_ns};

/// Most notices shown at a time.
pub(super) const MOST_NOTICES: u32 = 10;

/// One sentence that monigo said while recording, however often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub sentence: String,
    pub times: u64,
    /// Unix time in ns.
    pub first_ns: i64,
    pub last_ns: i64,
}

/// What monigo said while recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notices {
    /// At most [`MOST_NOTICES`], the newest last.
    pub newest: Vec<Notice>,
    /// Different sentences in all.
    pub distinct: u64,
}

/// Notices with the time since the start, which needs no time zone.
pub(super) fn notices(notices: &Notices, started_ns: i64) -> Vec<String> {
    let after = |at_ns: i64| {
        let passed = u64::try_from(at_ns.saturating_sub(started_ns)).unwrap_or(0);
        duration_ns(passed)
    };
    let mut sentences = Vec::new();
    let hidden = notices.distinct.saturating_sub(notices.newest.len() as u64);
    if hidden > 0 {
        sentences.push(format!(
            "{} earlier notice{} in the table `notices` of the recording",
            count(hidden),
            if hidden == 1 { " is" } else { "s are" }
        ));
    }
    sentences.extend(notices.newest.iter().map(|notice| {
        let again = match notice.times {
            0 | 1 => String::new(),
            2 => format!(" and again after {}", after(notice.last_ns)),
            times => format!(
                " and {} more times until {}",
                count(times - 1),
                after(notice.last_ns)
            ),
        };
        // The view ends the sentence.
        let sentence = notice.sentence.trim_end_matches('.');
        format!("after {}{again}: {sentence}", after(notice.first_ns))
    }));
    sentences
}

/// Whether calls lost to this cause were meant to be recorded in full, and are not.
pub(crate) fn is_dropped_event(cause: &str) -> bool {
    !matches!(
        cause,
        "owners_full"
            | "deep_full"
            | "stack_failed"
            | "goroutine_unreadable"
            | "off_cpu_full"
            | "return_depth"
            | "histograms_full"
            | "futures_full"
            | "samples_undecided"
    )
}

/// A sentence about the losses of one cause.
pub(super) fn loss(loss: &LossRow) -> String {
    let n = count(loss.count);
    match loss.cause.as_str() {
        "ring_full" => format!(
            "{n} sampled calls and samples were dropped because the buffer was full; counts and percentiles are not affected, slowest calls and stacks are. A larger --sample-rate records fewer calls"
        ),
        "owners_full" => format!(
            "{n} calls were not counted: more threads or goroutines were inside traced functions than monigo keeps. Trace fewer functions at once"
        ),
        "deep_full" => format!(
            "{n} calls were not counted: the traced functions were nested deeper than monigo keeps. Trace a function further out"
        ),
        "stack_failed" => format!(
            "{n} recorded calls and samples have no user stack because it could not be read; counts and latency are not affected"
        ),
        "goroutine_unreadable" => {
            format!("{n} calls were not counted because their goroutine's state could not be read")
        }
        "off_cpu_full" => format!(
            "{n} times off CPU were not recorded: more threads were waiting inside traced functions than monigo keeps; counts and latency are not affected"
        ),
        "return_depth" => format!(
            "{n} calls were not counted: they were nested too deeply for return probes, which monigo then replaced by exit sites; use --exit-probe ret from the start"
        ),
        "histograms_full" => format!(
            "{n} calls are missing from percentiles: more functions were called than there are histograms; counts, totals, shortest and longest are exact. Trace fewer functions at once"
        ),
        "futures_full" => format!(
            "{n} executions of async functions were not measured: more were open than monigo keeps, or their state could not be read; polls are not affected"
        ),
        "samples_undecided" => format!(
            "{n} samples were dropped before it was known whether their calls are slow: more calls were open than monigo keeps samples for; counts and latency are not affected"
        ),
        other => format!("{n} events were lost ({other})"),
    }
}

/// The recording stops without an end.
pub(super) const KILLED: &str =
    "the recording has no end: monigo was killed, and up to one flush interval is missing";

/// Single calls and samples of a part of the session were deleted.
pub(super) fn details_pruned(before: &str) -> String {
    format!(
        "single calls and samples from before {before} were deleted to save space: stacks, slowest calls and flame graphs lack them; counts and latency are complete"
    )
}

/// Part of the session was deleted.
pub(super) fn pruned(before: &str) -> String {
    format!(
        "measurements from before {before} were deleted by --retention; all figures begin there"
    )
}

#[cfg(test)]
mod tests {
    use monigo_common::event::Loss;

    use super::*;

    #[test]
    fn every_kernel_cause_has_a_sentence() {
        for cause in Loss::ALL {
            let sentence = loss(&LossRow {
                cause: cause.name().to_owned(),
                count: 1200,
            });
            assert!(sentence.starts_with("1,200 "), "{sentence}");
            assert!(!sentence.contains("events were lost"), "{sentence}");
        }
        assert!(is_dropped_event(Loss::RingFull.name()));
        assert!(!is_dropped_event(Loss::StackFailed.name()));
    }

    #[test]
    fn notices_say_when_and_how_often() {
        const SECOND: i64 = 1_000_000_000;
        let notice = |sentence: &str, times, first_ns, last_ns| Notice {
            sentence: sentence.to_owned(),
            times,
            first_ns,
            last_ns,
        };
        let said = Notices {
            newest: vec![
                notice("a", 1, 3 * SECOND, 3 * SECOND),
                notice("b.", 2, 2 * SECOND, 5 * SECOND),
                notice("c", 1500, SECOND, 185 * SECOND),
            ],
            distinct: 4,
        };
        let sentences = notices(&said, 0);
        assert_eq!(
            sentences,
            [
                "1 earlier notice is in the table `notices` of the recording",
                "after 3.00 s: a",
                "after 2.00 s and again after 5.00 s: b",
                "after 1.00 s and 1,499 more times until 3m 05s: c",
            ]
        );
    }
}
