//! What a user should know about the functions that patterns matched: a sentence each for a few,
//! sums for many.

use std::collections::BTreeMap;

use crate::plan::Unplannable;

/// Remarks of one kind up to this number are spelled out.
const SPELLED_OUT: usize = 5;

/// Remarks on the functions of one image.
#[derive(Debug, Default)]
pub struct Remarks {
    refused: Vec<(String, Unplannable)>,
    partly: Vec<String>,
    inlined: Vec<String>,
    endless: Vec<String>,
    polls: Vec<String>,
}

impl Remarks {
    /// A function cannot be probed.
    pub fn refused(&mut self, name: &str, reason: Unplannable) {
        self.refused.push((name.to_owned(), reason));
    }

    /// One of several instances of a function cannot be probed.
    pub fn partly_refused(&mut self, name: &str, instance: &str, reason: &Unplannable) {
        self.partly.push(format!(
            "one instance of {name} is not traced, so its calls are missing: {instance} ({reason})"
        ));
    }

    /// A function was copied into `callers` others as well.
    pub fn inlined(&mut self, name: &str, callers: usize) {
        let places = match callers {
            1 => "1 caller".to_owned(),
            _ => format!("{callers} callers"),
        };
        self.inlined.push(format!(
            "{name} is also inlined into {places}: those calls are not seen; trace the callers, or build it with inlining off"
        ));
    }

    /// A function never returns.
    pub fn endless(&mut self, name: &str) {
        self.endless.push(format!(
            "{name} has no return instruction: its calls are counted as unwound or in flight, never as completed"
        ));
    }

    /// Of an async function only polls are measured.
    pub fn only_polls(&mut self, name: &str, reason: &impl std::fmt::Display) {
        self.polls.push(format!(
            "{name}: only polls are measured, not the time from the first poll to completion: {reason}"
        ));
    }

    /// Of some instances of an async function only polls are measured.
    pub fn partly_polls(&mut self, name: &str, reason: &impl std::fmt::Display) {
        self.polls.push(format!(
            "{name}: of some instances only polls are measured, not the time from the first poll to completion: {reason}"
        ));
    }

    /// The first function that cannot be probed, and why.
    pub fn first_refusal(&self) -> Option<(String, String)> {
        let (name, reason) = self.refused.first()?;
        Some((name.clone(), reason.to_string()))
    }

    /// The sentences; `matched` functions of `image` were looked at.
    pub fn sentences(self, matched: usize, image: &str) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.refused.len() > SPELLED_OUT {
            sentences.push(sum_of_refusals(&self.refused, matched, image));
        } else {
            let each = self.refused.iter();
            sentences.extend(each.map(|(name, reason)| format!("{name} is not traced: {reason}")));
        }
        let sums = [
            (
                self.partly,
                "functions have instances that are not traced, so calls of those are missing",
            ),
            (
                self.inlined,
                "of the functions are also inlined into others: those calls are not seen; trace the callers, or build with inlining off",
            ),
            (
                self.endless,
                "of the functions have no return instruction: their calls are counted as unwound or in flight, never as completed",
            ),
        ];
        let sums = sums.into_iter().chain([(
            self.polls,
            "async functions have only their polls measured, not the time from the first poll to completion, which takes DWARF that says where futures keep their state (`debug = 2`)",
        )]);
        for (each, sum) in sums {
            if each.len() > SPELLED_OUT {
                sentences.push(format!("{} {sum}", each.len()));
            } else {
                sentences.extend(each);
            }
        }
        sentences
    }
}

/// The most frequent reasons first.
fn sum_of_refusals(refused: &[(String, Unplannable)], matched: usize, image: &str) -> String {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (_, reason) in refused {
        *reasons.entry(reason.summary()).or_default() += 1;
    }
    let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    // One reason more takes no more room than a sum.
    let listed = if reasons.len() == SPELLED_OUT + 1 {
        reasons.len()
    } else {
        SPELLED_OUT
    };
    let mut parts: Vec<String> = reasons
        .iter()
        .take(listed)
        .map(|(reason, count)| format!("{count}: {reason}"))
        .collect();
    let rest: usize = reasons.iter().skip(listed).map(|(_, count)| count).sum();
    if rest > 0 {
        parts.push(format!("{rest}: other reasons"));
    }
    format!(
        "{} of {matched} functions are not traced ({}); `monigo list {image}` says why for each",
        refused.len(),
        parts.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Refusal;

    #[test]
    fn few_are_spelled_out_and_many_are_summed_up() {
        let mut few = Remarks::default();
        few.refused("f", Refusal::GoStackCheck.into());
        few.inlined("g", 1);
        let text = few.sentences(3, "/bin/x");
        assert!(text[0].starts_with("f is not traced: its Go stack check"));
        assert!(text[1].starts_with("g is also inlined into 1 caller"));
        assert_eq!(text.len(), 2);

        let mut many = Remarks::default();
        for address in 0..200 {
            many.refused("f", Refusal::Undecodable { address }.into());
            many.endless("h");
        }
        for _ in 0..3 {
            many.refused("g", Refusal::GoStackCheck.into());
        }
        assert_eq!(many.first_refusal().unwrap().0, "f");
        assert_eq!(
            many.sentences(15_402, "/bin/x"),
            [
                "203 of 15402 functions are not traced (200: data among the instructions; 3: unknown form of Go's stack check); `monigo list /bin/x` says why for each",
                "200 of the functions have no return instruction: their calls are counted as unwound or in flight, never as completed",
            ]
        );
    }
}
