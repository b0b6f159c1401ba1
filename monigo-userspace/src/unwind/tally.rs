//! How many stacks ended early, and why.

use std::{collections::BTreeMap, fmt::Write as _};

use super::End;

/// Share of stacks that end early from which on the user is told.
const WORTH_TELLING: f64 = 0.01;
/// Images that are named.
const MOST_IMAGES: usize = 3;

/// Counts of stacks by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    stacks: u64,
    too_long: u64,
    ended: u64,
    not_copied: u64,
    undescribed: BTreeMap<String, u64>,
    register_lost: u64,
}

impl Tally {
    /// Counts one stack.
    pub fn add(&mut self, end: &End) {
        self.stacks += 1;
        match end {
            End::Complete => {}
            End::CopyTooSmall => self.too_long += 1,
            End::ProcessUnknown => self.ended += 1,
            End::NotCopied => self.not_copied += 1,
            End::RegisterLost(_) => self.register_lost += 1,
            End::Undescribed(image) => {
                *self.undescribed.entry(image.to_string()).or_default() += 1;
            }
        }
    }

    /// Stacks that ended early.
    pub fn early(&self) -> u64 {
        self.too_long
            + self.ended
            + self.not_copied
            + self.register_lost
            + self.undescribed.values().sum::<u64>()
    }

    /// What the user should know of it.
    pub fn sentence(&self) -> Option<String> {
        let early = self.early();
        if early == 0 || (early as f64) < self.stacks as f64 * WORTH_TELLING {
            return None;
        }
        let mut reasons = Vec::new();
        if self.too_long > 0 {
            reasons.push((self.too_long, "are longer than what is copied".to_owned()));
        }
        if self.ended > 0 {
            reasons.push((
                self.ended,
                "are of processes that ended before monigo could look at them".to_owned(),
            ));
        }
        if self.not_copied > 0 {
            reasons.push((
                self.not_copied,
                "were walked by frame pointers, since more came at once than can be copied"
                    .to_owned(),
            ));
        }
        if self.register_lost > 0 {
            reasons.push((
                self.register_lost,
                "above code without frame pointers that was interrupted where its registers are not known"
                    .to_owned(),
            ));
        }
        let mut images: Vec<(&String, &u64)> = self.undescribed.iter().collect();
        images.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (image, count) in images.iter().take(MOST_IMAGES) {
            reasons.push((**count, format!("at code of {image} without unwind tables")));
        }
        let rest: u64 = images
            .iter()
            .skip(MOST_IMAGES)
            .map(|(_, count)| **count)
            .sum();
        if rest > 0 {
            reasons.push((rest, "at such code elsewhere".to_owned()));
        }
        let mut text = format!("{early} of {} stacks end early (", self.stacks);
        for (index, (count, reason)) in reasons.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            let _ = write!(text, "{separator}{count} {reason}");
        }
        text.push(')');
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_not_worth_a_sentence() {
        let mut tally = Tally::default();
        assert_eq!(tally.sentence(), None);
        for _ in 0..1000 {
            tally.add(&End::Complete);
        }
        for _ in 0..10 {
            tally.add(&End::CopyTooSmall);
        }
        assert_eq!(tally.sentence(), None);
        for image in ["/a.so", "/b.so", "/b.so", "/c.so", "/d.so"] {
            tally.add(&End::Undescribed(image.into()));
        }
        assert_eq!(tally.early(), 15);
        assert_eq!(
            tally.sentence().as_deref(),
            Some(
                "15 of 1015 stacks end early (10 are longer than what is copied; 2 at code of /b.so \
                 without unwind tables; 1 at code of /a.so without unwind tables; 1 at code of \
                 /c.so without unwind tables; 1 at such code elsewhere)"
            )
        );
    }
}
