//! The keys that matter now.

use ratatui::{Frame, layout::Rect, text::Line, text::Span, widgets::Paragraph};

use super::{Theme, text};
use crate::{
    query::FunctionRow,
    tui::state::{App, Focus, Overlay, Tab},
};

/// Draws one line: as many keys as fit, the most useful first.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let last: [(&str, &str); 2] = [("?", "help"), ("q", "quit")];
    let spans_of = |key: &str, what: &str| {
        [
            Span::styled(format!(" {key}"), theme.key()),
            Span::raw(format!(" {what} ")),
        ]
    };
    let tail: Vec<Span<'_>> = last
        .iter()
        .flat_map(|(key, what)| spans_of(key, what))
        .collect();
    let room = usize::from(area.width).saturating_sub(text::spans_width(&tail));
    let mut spans = Vec::new();
    for (key, what) in keys(app) {
        let next = spans_of(key, what);
        if text::spans_width(&spans) + text::spans_width(&next) > room {
            break;
        }
        spans.extend(next);
    }
    if !(app.overlay.is_some() || app.table.editing) {
        spans.extend(tail);
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn keys(app: &App) -> Vec<(&'static str, &'static str)> {
    if app.table.editing {
        return vec![("Enter", "keep filter"), ("Esc", "clear"), ("↑↓", "select")];
    }
    if let Some(overlay) = &app.overlay {
        let mut keys = vec![("Esc", "close")];
        if matches!(overlay, Overlay::Discovery) {
            if !app.discovery.functions().is_empty() {
                keys.extend([("↑↓", "select"), ("Enter", "trace it")]);
            }
            if app.discovery.available && !app.discovery.state.running {
                keys.push(("d", "look again"));
            }
            return keys;
        }
        if app.measured.overlay_lines > app.measured.overlay_rows {
            keys.push(("↑↓", "scroll"));
        }
        if matches!(overlay, Overlay::Stack { .. }) {
            keys.push(("p", pause(app)));
        }
        return keys;
    }
    let mut keys = match app.focus {
        Focus::Table => vec![("Enter", "detail"), ("Tab", "tabs")],
        Focus::Detail => match app.detail.tab {
            Tab::Latency | Tab::Time => vec![("Esc", "back"), ("Tab", "tabs")],
            Tab::Stacks => vec![
                ("Esc", "back"),
                ("↑↓", "stack"),
                ("PgUp PgDn", "frames"),
                ("Enter", "whole stack"),
                ("Tab", "tabs"),
            ],
            Tab::Calls => vec![
                ("Esc", "back"),
                ("↑↓", "call"),
                ("Enter", "its stack"),
                ("s", "its story"),
                ("Tab", "tabs"),
            ],
            Tab::Why => vec![
                ("Esc", "back"),
                ("↑↓", "cause"),
                ("Enter", "its stack"),
                ("Tab", "tabs"),
            ],
            Tab::Flame if app.detail.flame.editing => {
                return vec![("Enter", "keep search"), ("Esc", "clear")];
            }
            Tab::Flame => vec![
                ("Esc", "back"),
                ("↑↓←→", "frame"),
                ("Enter", "zoom in"),
                ("s", "search"),
                ("f", "flip"),
                (
                    "c",
                    if app.detail.flame.callers {
                        "no callers"
                    } else {
                        "callers"
                    },
                ),
                ("Tab", "tabs"),
            ],
        },
    };
    if matches!(app.detail.tab, Tab::Stacks | Tab::Flame) {
        keys.push(("m", "time/calls/CPU"));
    }
    if app.focus == Focus::Table {
        keys.extend([("/", "filter"), ("< >", "sort")]);
    }
    if app.selected().is_some_and(FunctionRow::has_instances) {
        keys.push(("i", "instances"));
    }
    if app.discovery.available {
        keys.push(("d", "discover"));
    }
    keys.extend([("t", "window"), ("p", pause(app))]);
    if app.focus == Focus::Table {
        keys.push(("r", "reverse"));
    }
    if app.detail.tab == Tab::Latency {
        keys.push(("L", "log bars"));
    }
    keys.push(("z", "zoom"));
    keys
}

fn pause(app: &App) -> &'static str {
    if app.pause.is_some() {
        "resume"
    } else {
        "pause"
    }
}
