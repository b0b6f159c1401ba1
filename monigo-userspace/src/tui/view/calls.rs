//! The slowest recorded calls.

use jiff::tz::TimeZone;
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

/// Widths of the columns.
const START: usize = 15;
const DURATION: usize = 11;
const ID: usize = 10;
const GOROUTINE: usize = 13;
const CPU: usize = 6;
/// Of the bar beside a duration, at most.
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

    let list = List::new(&calls, area.width.into(), app, key, theme);
    let shown = calls.iter().enumerate().skip(app.detail.offset).take(rows);
    let lines = shown.map(|(index, call)| list.line(call, (index == cursor).then_some(app.focus)));
    let lines: Vec<Line<'_>> = std::iter::once(list.heading()).chain(lines).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// What all lines have in common.
struct List<'a> {
    /// Calls belong to goroutines.
    goroutines: bool,
    /// Columns for the bar.
    bar: usize,
    longest_ns: u64,
    /// Durations below cannot be told from none.
    floor_ns: u32,
    zone: &'a TimeZone,
    theme: Theme,
}

impl<'a> List<'a> {
    fn new(calls: &[Call], columns: usize, app: &'a App, key: DetailKey, theme: Theme) -> Self {
        let goroutines = calls.iter().any(|call| call.goid.is_some());
        let of_goroutine = if goroutines { GOROUTINE } else { 0 };
        let fixed = START + DURATION + 2 * ID + of_goroutine + CPU;
        Self {
            goroutines,
            bar: columns.saturating_sub(fixed + 3).min(BAR),
            longest_ns: calls.iter().map(|call| call.duration_ns).max().unwrap_or(1),
            floor_ns: app.floor_ns(key.function),
            zone: &app.zone,
            theme,
        }
    }

    fn heading(&self) -> Line<'static> {
        let text = format!(
            "{}{}{}{}",
            text::left("  start", START),
            text::right("duration", DURATION),
            " ".repeat(self.bar + 1),
            self.ids(["pid", "tid", "goroutine", "cpu"]),
        );
        Line::styled(text, self.theme.dim())
    }

    /// A call; with where the focus is, if it is the selected one.
    fn line(&self, call: &Call, selected: Option<Focus>) -> Line<'static> {
        let (style, bar_style) = match selected {
            Some(Focus::Detail) => (self.theme.selected(), Style::new()),
            Some(Focus::Table) => (self.theme.marked(), self.theme.bar()),
            None => (Style::new(), self.theme.bar()),
        };
        let mark = if selected.is_some() { "▸" } else { " " };
        let start = time::of_day_ms(call.start_ns, self.zone);
        let duration = format::measured_ns(call.duration_ns, self.floor_ns);
        let share = call.duration_ns as f64 / self.longest_ns.max(1) as f64;
        let bar = text::left(&text::bar(share, self.bar), self.bar);
        let goroutine = call.goid.map_or("-".to_owned(), |goid| goid.to_string());
        let [pid, tid, cpu] = [call.pid, call.tid, call.cpu].map(|id| id.to_string());
        Line::from(vec![
            Span::raw(format!("{mark} {start} ")),
            Span::raw(text::right(&duration, DURATION)),
            Span::styled(format!(" {bar}"), bar_style),
            Span::raw(self.ids([&pid, &tid, &goroutine, &cpu])),
        ])
        .style(style)
    }

    /// The columns behind the bar.
    fn ids(&self, [pid, tid, goroutine, cpu]: [&str; 4]) -> String {
        let mut ids = text::right(pid, ID) + &text::right(tid, ID);
        if self.goroutines {
            ids.push_str(&text::right(goroutine, GOROUTINE));
        }
        ids.push_str(&text::right(cpu, CPU));
        ids
    }
}
