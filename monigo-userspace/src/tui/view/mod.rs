//! Drawing. One file a pane; everything is drawn from [`App`] alone.

mod calls;
mod chart;
mod detail;
mod discovery;
mod flame;
mod footer;
mod header;
mod health;
mod histogram;
mod instances;
mod overlay;
mod parts;
mod stacks;
mod table;
mod text;
mod theme;
mod time;
mod why;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

pub use self::theme::Theme;
use super::state::{App, Focus};

/// Least size that everything is usable in.
const LEAST: (u16, u16) = (60, 15);
/// Screens this wide can show table and detail side by side.
const SIDE_BY_SIDE: u16 = 140;

/// Draws the whole screen, and notes sizes in `app.measured`.
pub fn draw(frame: &mut Frame<'_>, app: &mut App, theme: Theme) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(frame, area);
    } else {
        let [top, health, body, bottom] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(health::rows(app, area.height)),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(area);
        header::draw(frame, top, app, theme);
        health::draw(frame, health, app, theme);
        panes(frame, body, app, theme);
        footer::draw(frame, bottom, app, theme);
        overlay::draw(frame, body, app, theme);
    }
    theme.degrade(frame.buffer_mut());
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let lines = [
        "The terminal is too small.".to_owned(),
        format!(
            "It has {} × {} characters, monigo needs {} × {}.",
            area.width, area.height, LEAST.0, LEAST.1
        ),
        "Enlarge it, or press q to quit.".to_owned(),
    ];
    let top = area.height.saturating_sub(lines.len() as u16) / 2;
    let area = Rect {
        y: area.y + top,
        height: area.height - top,
        ..area
    };
    let text: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(
        Paragraph::new(text)
            .centered()
            .wrap(ratatui::widgets::Wrap { trim: true }),
        area,
    );
}

fn panes(frame: &mut Frame<'_>, area: Rect, app: &mut App, theme: Theme) {
    if app.zoom {
        match app.focus {
            Focus::Table => table::draw(frame, area, app, theme),
            Focus::Detail => detail::draw(frame, area, app, theme),
        }
        return;
    }
    // A few functions take a few rows: then the detail gets the full width below them. Only a
    // long table is worth half of a wide screen.
    let rows = app.functions.len().max(1) as u16 + 1;
    let stacked = (area.height * 2 / 5).max(5);
    if area.width >= SIDE_BY_SIDE && rows > stacked {
        let [left, line, right] = Layout::horizontal([
            Constraint::Percentage(50),
            Constraint::Length(3),
            Constraint::Fill(1),
        ])
        .areas(area);
        table::draw(frame, left, app, theme);
        let rule: Vec<Line<'_>> = (0..line.height)
            .map(|_| Line::styled(" │ ", theme.dim()))
            .collect();
        frame.render_widget(Paragraph::new(rule), line);
        detail::draw(frame, right, app, theme);
    } else {
        let [top, bottom] =
            Layout::vertical([Constraint::Length(rows.min(stacked)), Constraint::Min(0)])
                .areas(area);
        table::draw(frame, top, app, theme);
        detail::draw(frame, bottom, app, theme);
    }
}

/// One line with `left` and `right` at its ends; `left` is cut when both do not fit.
fn ends<'a>(mut left: Vec<Span<'a>>, right: Vec<Span<'a>>, columns: u16) -> Line<'a> {
    let columns = usize::from(columns);
    let right_width = text::spans_width(&right);
    let room = columns.saturating_sub(right_width + usize::from(right_width > 0));
    while text::spans_width(&left) > room {
        let Some(last) = left.pop() else { break };
        let rest = text::spans_width(&left);
        if rest < room {
            left.push(Span::styled(
                text::keep_start(&last.content, room - rest),
                last.style,
            ));
            break;
        }
    }
    let gap = columns.saturating_sub(text::spans_width(&left) + right_width);
    left.push(Span::raw(" ".repeat(gap)));
    left.extend(right);
    Line::from(left)
}

/// A sentence in the middle of an otherwise empty pane.
fn note(frame: &mut Frame<'_>, area: Rect, text: &str, theme: Theme) {
    let top = area.height.saturating_sub(1) / 3;
    let area = Rect {
        y: area.y + top,
        height: area.height.saturating_sub(top),
        ..area
    };
    frame.render_widget(
        Paragraph::new(text)
            .style(theme.dim())
            .centered()
            .wrap(ratatui::widgets::Wrap { trim: true }),
        area,
    );
}
