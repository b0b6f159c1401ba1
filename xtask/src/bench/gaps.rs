//! Times in which a busy target did not get on, and which of them are ticks of the host and of the kernel.
//!
//! These interrupt whatever runs many times more often than a tool does, and what they take changes from second to
//! second by more than a tool takes. But they come in regular intervals: each lies at the same places of every 20 ms,
//! from the first to the last. What a tool does comes at other times, or at all of them in turn.

/// Ticks of all usual rates (100, 250, 300 and 1000 a second) lie at the same places of each of these.
const FOLD_NS: u64 = 20_000_000;
/// Width of a place.
const PLACE_NS: u64 = 20_000;
const PLACES: usize = (FOLD_NS / PLACE_NS) as usize;
/// No tick is shorter.
const SHORTEST_NS: u64 = 2000;
/// A tick is met at a place and its neighbours in this share of the folds, at the least, and so in each part of a span.
/// Five thousand looks a second come by there in each fold as well, but only for a third of a second.
const MET: f64 = 0.3;
/// Parts of a span.
const PARTS: usize = 4;
/// Places before and after a tick where it may lie as well, or be met by what began before it.
const MARGIN: usize = 3;

/// A time in which a target did not get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it began, by any clock that goes on evenly.
    pub start_ns: u64,
    /// How long it was.
    pub ns: u64,
}

impl Gap {
    /// Reads one as the target prints it.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, length) = text.split_once(':')?;
        Some(Self {
            start_ns: start.parse().ok()?,
            ns: length.parse().ok()?,
        })
    }

    const fn place(self) -> usize {
        (self.start_ns % FOLD_NS / PLACE_NS) as usize
    }
}

/// The share of `span_ns` that was lost between ticks, of gaps in their order; `None` if ticks are nearly all there is.
pub fn lost(gaps: &[Gap], span_ns: f64) -> Option<f64> {
    let quiet = quiet(gaps, span_ns);
    let places = quiet.iter().filter(|quiet| **quiet).count();
    let lost: u64 = gaps
        .iter()
        .filter(|gap| quiet[gap.place()])
        .map(|gap| gap.ns)
        .sum();
    let share = places as f64 / PLACES as f64;
    (share > 0.1).then(|| lost as f64 / (span_ns * share))
}

/// The places that no tick is near.
fn quiet(gaps: &[Gap], span_ns: f64) -> [bool; PLACES] {
    let mut met = [[0_u32; PLACES]; PARTS];
    let first_ns = gaps.first().map_or(0, |gap| gap.start_ns);
    for gap in gaps.iter().filter(|gap| gap.ns >= SHORTEST_NS) {
        let passed = gap.start_ns.saturating_sub(first_ns) as f64 / span_ns;
        let part = (passed * PARTS as f64) as usize;
        met[part.min(PARTS - 1)][gap.place()] += 1;
    }
    let around = |place: usize, far: usize| {
        (PLACES + place - far..=PLACES + place + far).map(|place| place % PLACES)
    };
    let folds = span_ns / FOLD_NS as f64 / PARTS as f64;
    let mut quiet = [true; PLACES];
    for place in 0..PLACES {
        let is_tick = met.iter().all(|met| {
            let times: u32 = around(place, 1).map(|place| met[place]).sum();
            f64::from(times) >= MET * folds
        });
        if is_tick {
            around(place, MARGIN).for_each(|place| quiet[place] = false);
        }
    }
    quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: f64 = 1e9;

    /// Something of `ns` that comes `hz` times a second, at first after `first` ns.
    fn every(hz: u64, first: u64, ns: u64) -> impl Iterator<Item = Gap> {
        let period = 1_000_000_000 / hz;
        (0..hz).map(move |round| Gap {
            start_ns: first + round * period,
            ns,
        })
    }

    fn in_order(gaps: impl Iterator<Item = Gap>) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = gaps.collect();
        gaps.sort_by_key(|gap| gap.start_ns);
        gaps
    }

    fn ticks() -> impl Iterator<Item = Gap> {
        every(1000, 977_000, 25_000).chain(every(250, 358_000, 30_000))
    }

    #[test]
    fn looks_of_any_rate_are_found_among_ticks() {
        for (hz, ns) in [(99, 35_000), (999, 15_000), (4999, 8000)] {
            // Each interrupts twice.
            let again = every(hz, 123_456 + 25_000, 3000);
            let looks = every(hz, 123_456, ns).chain(again);
            let gaps = in_order(ticks().chain(looks));
            let lost = lost(&gaps, SECOND).expect("time between ticks");
            let real = (hz * (ns + 3000)) as f64 / SECOND;
            // At 99, a look more or less at a place that is left out is as much.
            assert!((lost / real - 1.0).abs() < 0.04, "{hz}: {lost} of {real}");
        }
    }

    #[test]
    fn ticks_are_left_out() {
        let gaps = in_order(ticks());
        assert_eq!(lost(&gaps, SECOND), Some(0.0));
        // Ticks everywhere.
        let gaps = in_order((0..100).flat_map(|tick| every(1000, tick * 10_000, 9000)));
        assert_eq!(lost(&gaps, SECOND), None);
    }

    #[test]
    fn what_comes_once_is_no_tick() {
        let gap = Gap::parse("5000000:40000").expect("a gap");
        assert_eq!(lost(&[gap], SECOND), Some(40_000.0 / SECOND));
        assert_eq!(lost(&[], SECOND), Some(0.0));
        assert_eq!(Gap::parse("5000000"), None);
    }
}
