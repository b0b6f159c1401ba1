//! From samples of slow and fast calls to ranked causes.

use std::{collections::HashMap, fmt};

use super::{
    Activity, CallGroup, Cause, Wait,
    own::{Code, short_name},
    sentence::{Parts, sentence},
};
use crate::{
    export::format,
    query::{Frame, samples::SampleSum},
};

/// Causes with a smaller share of the extra time are not named.
const LEAST_SHARE: f64 = 0.01;
/// Slow calls, or samples in them, below which shares are rough.
const FEW: u64 = 10;

/// What is compared: the calls, and the samples inside them with the frames of their stacks, innermost
/// first.
pub struct Input<'a> {
    pub code: Code<'a>,
    pub slow: CallGroup,
    pub fast: CallGroup,
    pub samples: Vec<(&'a SampleSum, Vec<&'a Frame>)>,
    /// Frames of the stacks of wakers, innermost first.
    pub wakers: HashMap<u64, Vec<&'a Frame>>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    pub slow: CallGroup,
    pub fast: CallGroup,
    pub extra_ns: u64,
    pub unattributed_ns: u64,
    pub causes: Vec<Cause>,
    pub notes: Vec<String>,
}

/// What makes two samples have the same cause.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    activity: Activity,
    wait: Option<Wait>,
    place: Place,
}

/// Where a sample was, in terms of the target's own code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub function: String,
    pub callee: Option<String>,
    pub caller: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.callee {
            Some(callee) => write!(f, "{callee} called from {}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

/// Time of one cause, ns per call.
#[derive(Default)]
struct Sum {
    slow_ns: f64,
    fast_ns: f64,
    samples: u64,
    reasons: HashMap<String, f64>,
    wakers: HashMap<(String, Option<u64>), f64>,
    stacks: HashMap<u64, f64>,
}

/// Finds where a stack is: the innermost frame of the target's own code at or inside the traced
/// function, what it called, and who called it. What was inlined into own code counts as called
/// where `waiting`, and as a part of it where it ran: else one loop would be many places.
pub fn place(frames: &[&Frame], code: &Code<'_>, waiting: bool) -> Place {
    let short = |frame: &Frame| short_name(&frame.function, code.language);
    let user: Vec<&Frame> = frames
        .iter()
        .copied()
        .filter(|frame| !frame.kernel)
        .collect();
    let traced = user.iter().position(|frame| code.is_function(frame));
    let inside = traced.map_or(user.as_slice(), |at| user.get(..=at).unwrap_or(&user));
    let Some(own) = inside.iter().position(|frame| code.is_own(frame)) else {
        return Place {
            function: short_name(code.name, code.language),
            callee: inside.last().map(|frame| short(frame)),
            caller: None,
        };
    };
    let called = |frame: &&&Frame| waiting || !frame.inlined;
    let inner = inside.iter().take(own).rfind(called);
    let outer = inside.iter().skip(own + 1).find(|frame| code.is_own(frame));
    Place {
        function: inside
            .get(own)
            .map_or_else(String::new, |frame| short(frame)),
        callee: inner.map(|frame| short(frame)),
        caller: outer.map(|frame| short(frame)),
    }
}

/// Ranks what slow calls spend more time on than fast ones.
pub fn explain(input: &Input<'_>) -> Explanation {
    let (mut slow, mut fast) = (input.slow, input.fast);
    let mut sums: HashMap<Key, Sum> = HashMap::new();
    let mut sampled = [0.0; 2];
    for (sample, frames) in &input.samples {
        let group = if sample.slow { &mut slow } else { &mut fast };
        group.samples += sample.samples;
        let calls = group.calls.max(1) as f64;
        for (activity, wait, ns) in sample.parts(frames.iter().copied()) {
            let key = Key {
                activity,
                wait,
                place: place(frames, &input.code, activity == Activity::Waiting),
            };
            let sum = sums.entry(key).or_default();
            let per_call = ns / calls;
            sampled[usize::from(sample.slow)] += per_call;
            if !sample.slow {
                sum.fast_ns += per_call;
                continue;
            }
            sum.slow_ns += per_call;
            sum.samples += sample.samples;
            if let Some(stack) = sample.stack {
                *sum.stacks.entry(stack).or_default() += per_call;
            }
            if activity != Activity::Waiting {
                continue;
            }
            if let Some(reason) = &sample.reason {
                *sum.reasons.entry(reason.clone()).or_default() += per_call;
            }
            if let Some(waker) = &sample.waker {
                let waker = (waker.clone(), sample.waker_stack);
                *sum.wakers.entry(waker).or_default() += per_call;
            }
        }
    }
    fast.sampled_ns = sampled[0] as u64;
    slow.sampled_ns = sampled[1] as u64;
    let extra = slow.mean_ns.saturating_sub(fast.mean_ns);
    let more: f64 = sums
        .values()
        .map(|sum| (sum.slow_ns - sum.fast_ns).max(0.0))
        .sum();
    // Sampling can overshoot; shares of more than everything would be nonsense.
    let whole = (extra as f64).max(more).max(1.0);
    let mut causes: Vec<Cause> = sums
        .into_iter()
        .map(|(key, sum)| cause(key, &sum, whole, input))
        .filter(|cause| cause.share >= LEAST_SHARE)
        .collect();
    causes.sort_by(|a, b| {
        b.share
            .total_cmp(&a.share)
            .then_with(|| a.sentence.cmp(&b.sentence))
    });
    let net = sampled[1] - sampled[0];
    let unattributed = (extra as f64 - net).max(0.0) as u64;
    Explanation {
        notes: notes(slow, fast, extra, unattributed),
        slow,
        fast,
        extra_ns: extra,
        unattributed_ns: unattributed,
        causes,
    }
}

fn cause(key: Key, sum: &Sum, whole: f64, input: &Input<'_>) -> Cause {
    let share = (sum.slow_ns - sum.fast_ns) / whole;
    let reason = heaviest(&sum.reasons).cloned();
    let (waker, waker_function) = waker(sum, input);
    let Place {
        function,
        callee,
        caller,
    } = key.place;
    let parts = Parts {
        share,
        activity: key.activity,
        wait: key.wait,
        reason: reason.as_deref(),
        traced: &short_name(input.code.name, input.code.language),
        function: &function,
        callee: callee.as_deref(),
        caller: caller.as_deref(),
        waker: waker.as_deref(),
        waker_function: waker_function.as_deref(),
    };
    Cause {
        sentence: sentence(&parts),
        share,
        slow_ns: sum.slow_ns as u64,
        fast_ns: sum.fast_ns as u64,
        activity: key.activity,
        wait: key.wait,
        reason,
        function,
        callee,
        caller,
        waker,
        waker_function,
        samples: sum.samples,
        stack: heaviest(&sum.stacks).copied(),
    }
}

/// Who ended most of the waits, and where most of them were ended.
fn waker(sum: &Sum, input: &Input<'_>) -> (Option<String>, Option<String>) {
    let whole: f64 = sum.wakers.values().sum();
    let mut threads: HashMap<String, f64> = HashMap::new();
    let mut functions: HashMap<String, f64> = HashMap::new();
    for ((name, stack), ns) in &sum.wakers {
        // An interrupt comes upon any thread.
        if !name.starts_with('[') {
            *threads.entry(name.clone()).or_default() += ns;
        }
        let frames = stack.and_then(|stack| input.wakers.get(&stack));
        let own = frames.and_then(|frames| frames.iter().find(|frame| input.code.is_own(frame)));
        if let Some(own) = own {
            let name = short_name(&own.function, input.code.language);
            *functions.entry(name).or_default() += ns;
        }
    }
    let most = |sums: HashMap<String, f64>| {
        let (key, ns) = sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        (ns > whole / 2.0).then_some(key)
    };
    (most(threads), most(functions))
}

/// The key with the largest value; of equal ones the smallest, so that answers do not change.
fn heaviest<K: Ord>(sums: &HashMap<K, f64>) -> Option<&K> {
    sums.iter()
        .max_by(|a, b| a.1.total_cmp(b.1).then_with(|| b.0.cmp(a.0)))
        .map(|(key, _)| key)
}

fn notes(slow: CallGroup, fast: CallGroup, extra_ns: u64, unattributed_ns: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if fast.recorded == 0 {
        notes.push(
            "no fast call was recorded, so all of the slow calls' time counts as extra".to_owned(),
        );
    }
    if slow.samples == 0 {
        notes.push(
            "nothing was sampled inside the slow calls; samples are taken with --cpu-hz above 0 and without --no-off-cpu, where the host allows it"
                .to_owned(),
        );
    } else if slow.recorded < FEW || slow.samples < FEW {
        notes.push(format!(
            "only {} and {} in them: the shares are rough",
            plural(slow.recorded, "slow call"),
            plural(slow.samples, "sample")
        ));
    }
    if fast.recorded > 0 && fast.samples == 0 && slow.samples > 0 {
        notes.push("nothing was sampled inside the fast calls, which may be too short".to_owned());
    }
    if slow.samples > 0 && unattributed_ns > 0 && extra_ns > 0 {
        let share = unattributed_ns as f64 / extra_ns as f64;
        if share >= 0.05 {
            notes.push(format!(
                "{} of the extra time is in no sample",
                format::percent(share)
            ));
        }
    }
    notes
}

fn plural(count: u64, word: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {word}{ending}", format::count(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::Language;

    const APP: &str = "/srv/shop";
    const LIBC: &str = "/usr/lib/libc.so.6";
    const CODE: Code<'_> = Code {
        language: Language::C,
        target: APP,
        name: "handle",
        image: APP,
    };

    fn frames(names: &[(&str, &str)]) -> Vec<Frame> {
        let frame = |(function, image): &(&str, &str)| Frame {
            function: (*function).to_owned(),
            image: (*image).to_owned(),
            address: 0,
            file: None,
            line: None,
            inlined: false,
            kernel: *image == "[kernel]",
        };
        names.iter().map(frame).collect()
    }

    fn placed(names: &[(&str, &str)]) -> (String, Option<String>, Option<String>) {
        let frames = frames(names);
        let place = place(&frames.iter().collect::<Vec<_>>(), &CODE, true);
        (place.function, place.callee, place.caller)
    }

    #[test]
    fn what_is_inlined_is_a_place_only_where_it_waits() {
        let mut frames = frames(&[
            ("Mutex::lock", APP),
            ("std::thing", LIBC),
            ("reserve", APP),
            ("handle", APP),
        ]);
        frames[0].image = LIBC.to_owned();
        frames[0].inlined = true;
        frames[1].inlined = true;
        let frames: Vec<&Frame> = frames.iter().collect();
        let callee = |waiting| place(&frames, &CODE, waiting).callee;
        assert_eq!(callee(true), some("std::thing"));
        assert_eq!(callee(false), None);
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "what it is compared with is optional"
    )]
    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_place_is_the_innermost_own_frame_inside_the_function() {
        let kernel = ("futex_wait", "[kernel]");
        let outer = [("handle", APP), ("main", APP)];
        let stack =
            |inner: &[(&'static str, &'static str)]| placed(&[&[kernel], inner, &outer].concat());
        assert_eq!(
            stack(&[
                ("__lll_lock_wait", LIBC),
                ("pthread_mutex_lock", LIBC),
                ("reserve", APP)
            ]),
            (
                "reserve".to_owned(),
                some("pthread_mutex_lock"),
                some("handle")
            )
        );
        assert_eq!(
            stack(&[("spin", APP)]),
            ("spin".to_owned(), None, some("handle"))
        );
        assert_eq!(stack(&[]), ("handle".to_owned(), None, None));
        assert_eq!(
            stack(&[("nanosleep", LIBC)]),
            ("handle".to_owned(), some("nanosleep"), None)
        );
        // The walk lost the function: what is inside of it is not known.
        assert_eq!(
            placed(&[("x", LIBC), ("y", LIBC)]),
            ("handle".to_owned(), some("y"), None)
        );
    }

    fn sum(slow: bool, off_cpu: bool, wait: Option<Wait>, weight_ns: f64) -> SampleSum {
        SampleSum {
            function: 0,
            stack: Some(1),
            off_cpu,
            wait,
            told: true,
            reason: None,
            waker: wait.map(|_| "worker-2".to_owned()),
            waker_stack: wait.map(|_| 9),
            slow,
            weight_ns,
            runnable_ns: 0.0,
            samples: 20,
        }
    }

    fn group(recorded: u64, calls: u64, mean_ns: u64) -> CallGroup {
        CallGroup {
            recorded,
            calls,
            mean_ns,
            ..CallGroup::default()
        }
    }

    #[test]
    fn causes_are_ranked_by_what_slow_calls_do_more() {
        let lock = frames(&[
            ("futex_wait", "[kernel]"),
            ("pthread_mutex_lock", LIBC),
            ("reserve", APP),
            ("handle", APP),
        ]);
        let spin = frames(&[("checksum", APP), ("handle", APP)]);
        let waker = frames(&[
            ("futex_wake", "[kernel]"),
            ("pthread_mutex_unlock", LIBC),
            ("restock", APP),
        ]);
        let (slow_lock, slow_spin, fast_spin) = (
            sum(true, true, Some(Wait::Lock), 20.0 * 8e6),
            sum(true, false, None, 20.0 * 3e6),
            sum(false, false, None, 1000.0 * 1e6),
        );
        let input = Input {
            code: CODE,
            slow: group(20, 20, 11_000_000),
            fast: group(50, 1000, 1_000_000),
            samples: vec![
                (&slow_lock, lock.iter().collect()),
                (&slow_spin, spin.iter().collect()),
                (&fast_spin, spin.iter().collect()),
            ],
            wakers: [(9, waker.iter().collect())].into(),
        };
        let found = explain(&input);
        assert_eq!((found.extra_ns, found.unattributed_ns), (10_000_000, 0));
        assert_eq!(
            (found.slow.sampled_ns, found.fast.sampled_ns),
            (11_000_000, 1_000_000)
        );
        let sentences: Vec<&str> = found
            .causes
            .iter()
            .map(|cause| cause.sentence.as_str())
            .collect();
        assert_eq!(
            sentences,
            [
                "80% of the extra time is waiting for a lock in `pthread_mutex_lock`, called from `reserve`; woken by thread `worker-2` in `restock`",
                "20% of the extra time is running in `checksum`, called from `handle`",
            ]
        );
        assert_eq!(found.notes, [] as [&str; 0]);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let spin = frames(&[("handle", APP)]);
        let slow = SampleSum {
            samples: 2,
            ..sum(true, false, None, 2.0 * 4e6)
        };
        let input = |samples| Input {
            code: CODE,
            slow: group(2, 2, 10_000_000),
            fast: group(5, 100, 1_000_000),
            samples,
            wakers: HashMap::new(),
        };
        let found = explain(&input(vec![(&slow, spin.iter().collect())]));
        assert_eq!(found.unattributed_ns, 5_000_000);
        assert_eq!(
            found.notes,
            [
                "only 2 slow calls and 2 samples in them: the shares are rough",
                "nothing was sampled inside the fast calls, which may be too short",
                "55.6% of the extra time is in no sample",
            ]
        );
        let nothing = explain(&input(Vec::new()));
        assert!(nothing.causes.is_empty());
        assert!(nothing.notes[0].starts_with("nothing was sampled inside the slow calls"));
    }

    #[test]
    fn shares_never_exceed_the_whole() {
        let spin = frames(&[("handle", APP)]);
        let slow = sum(true, false, None, 30e6);
        let input = Input {
            code: CODE,
            slow: group(1, 1, 10_000_000),
            fast: group(0, 0, 0),
            samples: vec![(&slow, spin.iter().collect())],
            wakers: HashMap::new(),
        };
        let found = explain(&input);
        assert!((found.causes[0].share - 1.0).abs() < 1e-9);
        assert_eq!(found.unattributed_ns, 0);
        assert!(found.notes[0].starts_with("no fast call was recorded"));
    }
}
