//! Where the time of a function went: a bar and its legend on one line.

use ratatui::text::{Line, Span};

use super::{Theme, text};
use crate::{
    export::format::percent,
    query::{TimeParts, Wait},
};

/// A part of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Running.
    OnCpu,
    /// Waiting for something.
    Blocked(Wait),
    /// Waiting for a CPU.
    Runnable,
    /// Not known.
    Unattributed,
}

impl Part {
    const fn label(self) -> &'static str {
        match self {
            Self::OnCpu => "on CPU",
            Self::Blocked(wait) => wait.name(),
            Self::Runnable => "runnable",
            Self::Unattributed => "unattributed",
        }
    }

    /// Also tells them apart where colours do not.
    const fn symbol(self) -> &'static str {
        match self {
            Self::OnCpu => "█",
            Self::Blocked(_) => "▄",
            Self::Runnable => "▒",
            Self::Unattributed => "░",
        }
    }
}

/// Parts that are not zero, in the order of the bar.
fn parts(of: &TimeParts) -> Vec<(Part, u64)> {
    let blocked = of
        .blocked
        .iter()
        .map(|(wait, ns)| (Part::Blocked(*wait), *ns));
    std::iter::once((Part::OnCpu, of.on_cpu))
        .chain(blocked)
        .chain([
            (Part::Runnable, of.runnable),
            (Part::Unattributed, of.unattributed),
        ])
        .filter(|(_, ns)| *ns > 0)
        .collect()
}

/// The bar, and as much of its legend as fits, heaviest part first.
pub fn line(of: &TimeParts, columns: u16, theme: Theme) -> Line<'static> {
    let whole = of.wall.max(1) as f64;
    let parts = parts(of);
    let room = usize::from(columns / 3).clamp(8, 40);
    let mut spans = vec![Span::raw(" ")];
    // Ends of segments are rounded, not lengths, so that they add up.
    let (mut sum, mut drawn) = (0, 0);
    for (part, ns) in &parts {
        sum += ns;
        let end = (sum as f64 / whole * room as f64).round() as usize;
        let length = end.min(room).saturating_sub(drawn);
        drawn += length;
        spans.push(Span::styled(
            part.symbol().repeat(length),
            theme.part(*part),
        ));
    }
    let mut legend = parts;
    legend.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    for (part, ns) in legend {
        let figure = format!(" {}", percent(ns as f64 / whole));
        let label = format!("  {}", part.label());
        let taken = text::spans_width(&spans) + text::width(&label) + text::width(&figure);
        if taken > usize::from(columns) {
            break;
        }
        spans.push(Span::styled(label, theme.part(part)));
        spans.push(Span::raw(figure));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_bar_is_full_and_the_legend_fits() {
        let of = TimeParts {
            wall: 100,
            on_cpu: 30,
            runnable: 1,
            blocked: BTreeMap::from([(Wait::Lock, 40), (Wait::Sleep, 20)]),
            unattributed: 9,
        };
        let theme = Theme::new(false, true);
        let text = line(&of, 120, theme).to_string();
        assert_eq!(
            text,
            " ████████████▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄░░░░  lock 40.0%  on CPU 30.0%  sleep 20.0%  unattributed 9.0%  runnable 1.0%"
        );
        for columns in [10, 30, 60, 80] {
            assert!(line(&of, columns, theme).width() <= usize::from(columns));
        }
    }
}
