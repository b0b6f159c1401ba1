//! From samples of slow and fast calls to ranked causes.

#[cfg(test)]
mod tests;

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
    /// File and line of an `.await`.
    at: Option<String>,
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

/// File and line of the innermost frame of the target's own code.
fn line_of(frames: &[&Frame], code: &Code<'_>) -> Option<String> {
    let own = frames.iter().find(|frame| code.is_own(frame))?;
    let file = own.file.as_deref()?;
    let name = file.rsplit('/').next().unwrap_or(file);
    Some(format!("{name}:{}", own.line?))
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
                at: (wait == Some(Wait::Await))
                    .then(|| line_of(frames, &input.code))
                    .flatten(),
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
        at: key.at.as_deref(),
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
