//! The bodies of the selected function, which its row has the sums of.

use ratatui::text::{Line, Span};

use super::{Theme, overlay::wrap, text};
use crate::{store::cost_name, tui::state::App};

/// Widest address: `0x` and 12 digits, and a space.
const ADDRESS: usize = 15;

/// Two lines for each: its name, and where it is.
pub fn lines(app: &App, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(row) = app.selected() else {
        return Vec::new();
    };
    let instances = &row.probe.instances;
    let sentence = format!(
        "{} bodies count as {}. Its figures are those of all of them; with --by-instance, each has a row.",
        instances.len(),
        row.name
    );
    let mut lines: Vec<Line<'static>> = wrap(&sentence, columns)
        .into_iter()
        .map(Line::raw)
        .collect();
    for instance in instances {
        let plural = if instance.sites == 1 { "" } else { "s" };
        let source = instance.file.as_ref();
        let source = source.map(|file| format!(" · {}", text::source(file, instance.line)));
        let facts = format!(
            "{} site{plural}, {}{}",
            instance.sites,
            cost_name(instance.cost_class),
            source.unwrap_or_default()
        );
        lines.push(Line::default());
        lines.push(Line::from(vec![
            Span::styled(text::left(&instance.address, ADDRESS), theme.dim()),
            Span::styled(
                text::function_name(&instance.name, columns.saturating_sub(ADDRESS)),
                theme.strong(),
            ),
        ]));
        lines.push(Line::from(vec![
            Span::raw(" ".repeat(ADDRESS)),
            Span::styled(
                text::left(&facts, columns.saturating_sub(ADDRESS)),
                theme.dim(),
            ),
        ]));
    }
    lines
}
