//! Why slow calls are slow, for people.

use std::fmt::Write as _;

use super::format::{count, duration_ns, percent};
use crate::query::{CallGroup, Tail};

/// The difference between slow and fast calls as text, with at most `top` causes.
pub fn tail_text(tail: &Tail, top: usize) -> String {
    let mut text = format!("{}\n\n", tail.name);
    let _ = writeln!(
        text,
        "  slow calls: {}",
        group(
            tail.slow,
            &format!("{} or longer", duration_ns(tail.slower_than_ns))
        )
    );
    let _ = writeln!(
        text,
        "  fast calls: {}",
        group(
            tail.fast,
            &format!("below {}", duration_ns(tail.faster_than_ns))
        )
    );
    let _ = writeln!(
        text,
        "  a slow call takes {} more; where it goes:\n",
        duration_ns(tail.extra_ns)
    );
    for (rank, cause) in (1..).zip(tail.causes.iter().take(top)) {
        let _ = writeln!(
            text,
            "  {rank}. {} ({} instead of {} per call)",
            cause.sentence,
            duration_ns(cause.slow_ns),
            duration_ns(cause.fast_ns)
        );
    }
    if tail.causes.is_empty() {
        text.push_str("  no sample says\n");
    } else if tail.causes.len() > top {
        let rest: f64 = tail.causes.iter().skip(top).map(|cause| cause.share).sum();
        let _ = writeln!(
            text,
            "  and {} more, {} together",
            tail.causes.len() - top,
            percent(rest)
        );
    }
    text.push('\n');
    for note in &tail.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn group(group: CallGroup, range: &str) -> String {
    let calls = if group.recorded == group.calls {
        count(group.calls)
    } else {
        format!(
            "{} recorded, standing for {}",
            count(group.recorded),
            count(group.calls)
        )
    };
    format!(
        "{range}: {calls}; {} on average, {} of it in {} samples",
        duration_ns(group.mean_ns),
        duration_ns(group.sampled_ns),
        count(group.samples)
    )
}
