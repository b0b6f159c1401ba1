//! Everything of an image that can be probed.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, thread};

use crate::{
    plan::{FunctionPlan, ImagePlanner, Unplannable},
    probe::PlannedFunction,
    store::ExitProbe,
    symbols::{
        Image,
        pattern::{self, Group},
    },
};

use super::runtime::is_runtime;

/// The functions of some images that can be probed, and why the others cannot.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// In the order of their ids. Names serve as patterns.
    pub functions: Vec<PlannedFunction>,
    /// Functions of language runtimes that were left out.
    pub runtime: usize,
    /// Functions that cannot be probed, by reason.
    pub refused: BTreeMap<String, usize>,
}

impl Catalogue {
    /// Adds the functions of `image`, with `prefix` before their names; those of the language's
    /// runtime only on demand.
    pub fn add(&mut self, image: &Image, prefix: &str, runtime: bool) {
        let Ok(matches) = pattern::find(image, "*") else {
            return;
        };
        let language = image.language();
        let (groups, left_out): (Vec<_>, Vec<_>) = matches
            .groups
            .into_iter()
            .partition(|group| runtime || !is_runtime(&group.name, language));
        self.runtime += left_out.len();
        for function in &matches.skipped {
            if let Some(reason) = function.kind.refusal()
                && (runtime || !is_runtime(function.name(), language))
            {
                *self.refused.entry(reason_class(&reason)).or_default() += 1;
            }
        }
        let path = Arc::from(image.open_path());
        for (group, plans) in groups.iter().zip(plan_all(image, &groups)) {
            match plans {
                Ok(plans) => self.functions.push(PlannedFunction {
                    name: format!("{prefix}{}", group.name),
                    image: Arc::clone(&path),
                    plans,
                    go: image.go().is_some(),
                    exit: ExitProbe::Ret,
                    futures: Vec::new(),
                    executions: false,
                }),
                Err(reason) => {
                    let reason = reason_class(&reason.to_string());
                    *self.refused.entry(reason).or_default() += 1;
                }
            }
        }
    }
}

/// Plans groups on all CPUs; a group without any plan has the reason of its first instance.
fn plan_all(image: &Image, groups: &[Group<'_>]) -> Vec<Result<Vec<FunctionPlan>, Unplannable>> {
    let planner = ImagePlanner::new(image);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = groups.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let workers: Vec<_> = groups
            .chunks(share)
            .map(|part| {
                let planner = &planner;
                scope.spawn(move || part.iter().map(|g| plan(planner, g)).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .zip(groups.chunks(share))
            .flat_map(|(worker, part)| {
                worker.join().unwrap_or_else(|_| {
                    let failed = Unplannable::NoCode("planning it failed".to_owned());
                    vec![Err(failed); part.len()]
                })
            })
            .collect()
    })
}

fn plan(planner: &ImagePlanner<'_>, group: &Group<'_>) -> Result<Vec<FunctionPlan>, Unplannable> {
    let mut plans = Vec::new();
    let mut refused = None;
    for function in &group.functions {
        match planner.plan(function) {
            Ok(plan) => plans.push(plan),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    match refused {
        Some(reason) if plans.is_empty() => Err(reason),
        _ => Ok(plans),
    }
}

/// A reason without what differs from function to function: addresses, numbers, names.
fn reason_class(reason: &str) -> String {
    let reason = reason.split(';').next().unwrap_or(reason);
    let reason = reason.split(" (").next().unwrap_or(reason);
    let mut words = Vec::new();
    for word in reason.split_whitespace() {
        // "at 0x1234" goes altogether, "to 0x1234" needs something in its place.
        if !word.starts_with("0x") {
            words.push(word);
        } else if words.last() == Some(&"at") {
            words.pop();
            if word.ends_with(':') {
                words.push("-");
            }
        } else {
            words.push("elsewhere");
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::reason_class;
    use crate::plan::Refusal;

    #[test]
    fn reasons_are_classed_without_places() {
        let ambiguous = |address| Refusal::AmbiguousJump { address }.to_string();
        assert_eq!(
            reason_class(&ambiguous(0x1234)),
            "the indirect jump may be a jump table or a call of another function"
        );
        assert_eq!(
            reason_class(&ambiguous(0x1234)),
            reason_class(&ambiguous(0x9999))
        );
        let jumps = Refusal::OnlyJumps { target: 0x10 }.to_string();
        assert_eq!(reason_class(&jumps), "it only jumps on to elsewhere");
        let large = Refusal::TooLarge { bytes: 3 << 20 }.to_string();
        assert_eq!(reason_class(&large), "it is too large to analyse");
    }
}
