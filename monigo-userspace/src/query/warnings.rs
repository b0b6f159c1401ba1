//! What monigo could not see, as sentences for the user.

use super::LossRow;
use crate::export::format::count;

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
        other => format!("{n} events were lost ({other})"),
    }
}

/// The recording stops without an end.
pub(super) const KILLED: &str =
    "the recording has no end: monigo was killed, and up to one flush interval is missing";

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
}
