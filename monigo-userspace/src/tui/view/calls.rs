//! The slowest recorded calls.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, note, text, time};
use crate::{
    export::format,
    query::Call,
    tui::state::{App, DetailKey, Focus},
};

/// Width of the bar beside a duration, at most, in columns.
const BAR: usize = 30;

/// Draws the list.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, key: DetailKey, theme: Theme) {
    let Some(calls) = app.detail.calls(key).map(<[Call]>::to_vec) else {
        return note(frame, area, "reading…", theme);
    };
    if calls.is_empty() {
        return note(
            frame,
            area,
            "No call was recorded in full in this window.",
            theme,
        );
    }
    let rows = usize::from(area.height.saturating_sub(1));
    let cursor = app.detail.cursor.min(calls.len() - 1);
    app.measured.list_rows = rows;
    app.detail.offset = app
        .detail
        .offset
        .clamp((cursor + 1).saturating_sub(rows), cursor)
        .min(calls.len().saturating_sub(rows));

    let floor_ns = app.floor_ns(key.function);
    let goroutines = calls.iter().any(|call| call.goid.is_some());
    let longest = calls.iter().map(|call| call.duration_ns).max().unwrap_or(1);
    let fixed = 15 + 11 + 10 + 10 + if goroutines { 13 } else { 0 } + 6;
    let bar = usize::from(area.width).saturating_sub(fixed + 3).min(BAR);

    let mut heading = format!(
        "{}{}{}{}{}{}",
        text::left("  start", 15),
        text::right("duration", 11),
        " ".repeat(bar + 1),
        text::right("pid", 10),
        text::right("tid", 10),
        if goroutines {
            text::right("goroutine", 13)
        } else {
            String::new()
        },
    );
    heading.push_str(&text::right("cpu", 6));
    let mut lines = vec![Line::styled(heading, theme.dim())];
    for (index, call) in calls.iter().enumerate().skip(app.detail.offset).take(rows) {
        let selected = (index == cursor).then_some(app.focus);
        let style = match selected {
            Some(Focus::Detail) => theme.selected(),
            Some(Focus::Table) => theme.marked(),
            None => Style::new(),
        };
        let bar_style = if selected == Some(Focus::Detail) {
            Style::new()
        } else {
            theme.bar()
        };
        let share = call.duration_ns as f64 / longest.max(1) as f64;
        let mut ids = format!(
            "{}{}",
            text::right(&call.pid.to_string(), 10),
            text::right(&call.tid.to_string(), 10)
        );
        if goroutines {
            let goid = call.goid.map_or("-".to_owned(), |goid| goid.to_string());
            ids.push_str(&text::right(&goid, 13));
        }
        ids.push_str(&text::right(&call.cpu.to_string(), 6));
        lines.push(
            Line::from(vec![
                Span::raw(format!(
                    "{} {} ",
                    if selected.is_some() { "▸" } else { " " },
                    time::of_day_ms(call.start_ns, &app.zone)
                )),
                Span::raw(text::right(
                    &format::measured_ns(call.duration_ns, floor_ns),
                    11,
                )),
                Span::styled(
                    format!(" {}", text::left(&text::bar(share, bar), bar)),
                    bar_style,
                ),
                Span::raw(ids),
            ])
            .style(style),
        );
    }
    frame.render_widget(Paragraph::new(lines), area);
}
