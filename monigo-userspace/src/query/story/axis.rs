//! The time of a call, in which everything of its story lies.

use monigo_common::event::OFF_CPU_CERTAIN_NS;

use crate::query::Call;

/// The wall-clock time of a call, from entry to return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    start_ns: i64,
    span_ns: u64,
}

/// Where an interval lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
pub(super) struct Fitted {
    /// Its beginning, ns since the call's start.
    pub from_ns: u64,
    /// Its length inside the call, ns.
    pub length_ns: u64,
    /// How much of it would lie outside, ns. A thread returns from no call while it waits: the end of
    /// the interval was not seen then.
    pub outside_ns: u64,
}

impl Axis {
    pub fn of(call: &Call) -> Self {
        Self {
            start_ns: call.start_ns,
            span_ns: call.span_ns(),
        }
    }

    /// Puts an interval that begins at `at_ns`, Unix time, into the call.
    pub fn fit(&self, at_ns: i64, length_ns: u64) -> Fitted {
        let end_ns = at_ns.saturating_add_unsigned(length_ns);
        let since = |at_ns: i64| {
            let ns = u64::try_from(at_ns.saturating_sub(self.start_ns)).unwrap_or(0);
            ns.min(self.span_ns)
        };
        let (from_ns, to_ns) = (since(at_ns), since(end_ns));
        let inside_ns = to_ns - from_ns;
        Fitted {
            from_ns,
            length_ns: inside_ns,
            outside_ns: length_ns.saturating_sub(inside_ns),
        }
    }
}

/// Whether a sample stands for others, and how long it was off CPU; 0 where that is not known. A short
/// interval is drawn by lot and then weighs more than it took, so its weight is no length.
pub(super) fn length(off_cpu: bool, weight_ns: u64, away_ns: Option<u64>) -> (bool, u64) {
    match (off_cpu, away_ns) {
        (false, _) => (false, 0),
        (true, Some(away_ns)) => (away_ns < weight_ns, away_ns),
        // A recording of a monigo that did not store lengths.
        (true, None) if weight_ns == OFF_CPU_CERTAIN_NS => (true, 0),
        (true, None) => (false, weight_ns),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AXIS: Axis = Axis {
        start_ns: 1_000,
        span_ns: 500,
    };

    #[test]
    fn what_lies_inside_stays_as_it_is() {
        let inside = Fitted {
            from_ns: 100,
            length_ns: 400,
            outside_ns: 0,
        };
        assert_eq!(AXIS.fit(1_100, 400), inside);
    }

    #[test]
    fn what_goes_beyond_ends_with_the_call() {
        let cut = Fitted {
            from_ns: 100,
            length_ns: 400,
            outside_ns: 600,
        };
        assert_eq!(AXIS.fit(1_100, 1_000), cut);
    }

    #[test]
    fn a_weight_is_no_length() {
        // 40 µs, drawn by lot in a call of 60 µs: it weighs a millisecond.
        assert_eq!(
            length(true, OFF_CPU_CERTAIN_NS, Some(40_000)),
            (true, 40_000)
        );
        assert_eq!(length(true, 7_000_000, Some(7_000_000)), (false, 7_000_000));
        assert_eq!(length(true, OFF_CPU_CERTAIN_NS, None), (true, 0));
        assert_eq!(length(true, 7_000_000, None), (false, 7_000_000));
        assert_eq!(length(false, 10_000_000, Some(0)), (false, 0));
    }

    proptest! {
        #[test]
        fn everything_lies_within_the_call(
            start_ns: i64, span_ns: u64, at_ns: i64, length_ns: u64,
        ) {
            let fitted = Axis { start_ns, span_ns }.fit(at_ns, length_ns);
            prop_assert!(fitted.from_ns.checked_add(fitted.length_ns).is_some_and(|end| end <= span_ns));
            prop_assert!(fitted.length_ns <= length_ns);
        }
    }
}
