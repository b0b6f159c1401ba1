//! Flame graphs as SVG, by inferno.

use std::fmt::Write as _;

use inferno::flamegraph::{
    self, Options, TextTruncateDirection,
    color::{BasicPalette, MultiPalette, Palette},
};

use super::{OutputError, folded, format};
use crate::{
    query::{FlameNode, Overview, Selection, Weight},
    symbols::Language,
};

/// What a flame graph says about itself.
#[derive(Clone, Debug)]
pub struct FlameCaption<'a> {
    /// The recording.
    pub overview: &'a Overview,
    /// What is shown: a function's name, or how many there are.
    pub subject: &'a str,
    /// Completed calls of what is shown.
    pub calls: u64,
    /// Of which calls, and what a frame's width means.
    pub selection: &'a Selection,
}

impl FlameCaption<'_> {
    fn subtitle(&self) -> String {
        let weight = self.selection.shown_weight();
        let width = match weight {
            Weight::Wall => "wall-clock time inside the calls",
            Weight::Calls => "number of calls",
            Weight::Cpu => "time running inside the calls, sampled",
            Weight::OffCpu => "time waiting inside the calls (off CPU), sampled",
            Weight::Time => "time inside the calls, running or waiting, sampled",
        };
        let recorded = self.overview.recorded;
        let of_calls = !weight.is_sampled() && !self.selection.is_ranged();
        let sample = if of_calls && recorded < self.calls {
            format!(
                ", estimated from {} recorded of {} calls",
                format::count(recorded),
                format::count(self.calls)
            )
        } else {
            String::new()
        };
        format!(
            "{}, {}{}; width is {width}{sample}",
            self.overview.target,
            format::duration_ns(self.overview.duration_ns()),
            calls_like(self.selection),
        )
    }
}

/// Which calls by their durations, to be put behind something else.
pub(super) fn calls_like(selection: &Selection) -> String {
    let mut text = String::new();
    let duration = format::duration_ns;
    if let Some(ns) = selection.slower_than_ns {
        let _ = write!(text, ", calls of {} or longer", duration(ns));
    }
    if let Some(percentile) = selection.percentile {
        let _ = write!(text, ", calls from the {percentile}th percentile on");
    }
    if let Some(ns) = selection.faster_than_ns {
        let _ = write!(text, ", calls shorter than {}", duration(ns));
    }
    text
}

/// Draws a flame graph. Text is escaped by inferno; colors depend only on names, so that two
/// graphs of the same program can be compared.
pub fn flame_svg(root: &FlameNode, caption: &FlameCaption<'_>) -> Result<String, OutputError> {
    let lines = folded(root);
    let weight = caption.selection.shown_weight();
    if lines.is_empty() {
        return Err(OutputError::nothing(weight));
    }
    let mut options = Options::default();
    options.title = format!("monigo: {}", caption.subject);
    options.subtitle = Some(caption.subtitle());
    weight.unit().clone_into(&mut options.count_name);
    options.colors = match caption.overview.language {
        Language::Rust => Palette::Multi(MultiPalette::Rust),
        _ => Palette::Basic(BasicPalette::Hot),
    };
    options.deterministic = true;
    // The end of a name says more than the path that it begins with.
    options.text_truncate_direction = TextTruncateDirection::Left;
    draw(&mut options, &sorted(&lines))
}

/// Lines frame by frame: by character, `f.g` would come between `f` and what that calls, and part it.
fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_by(|a, b| frames_of(a).cmp(frames_of(b)));
    lines
}

fn frames_of(line: &str) -> impl Iterator<Item = &str> {
    let stack = line.rsplit_once(' ').map_or(line, |(stack, _)| stack);
    stack.split(';')
}

/// Draws lines from the left to the right as they come; neighbours are merged as far as they begin alike.
pub(super) fn draw(options: &mut Options<'_>, lines: &[&str]) -> Result<String, OutputError> {
    // Otherwise inferno wants them sorted by character. For flame charts, it takes the last line first.
    options.flame_chart = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(options, lines.iter().rev().copied(), &mut svg)
        .map_err(|error| OutputError::Draw(error.to_string()))?;
    String::from_utf8(svg).map_err(|error| OutputError::Draw(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_one_frame_whatever_its_neighbours_are_called() {
        let lines = "main.main.func1;y 3\nmain.main;x 2\nmain.main 5\n";
        let svg = draw(&mut Options::default(), &sorted(lines)).expect("draws");
        for title in ["<title>main.main (7 ", "<title>main.main.func1 (3 "] {
            assert_eq!(svg.matches(title).count(), 1, "{title}: {svg}");
        }
    }
}
