//! What slow calls did that fast ones did not.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, note, overlay::wrap, text};
use crate::{
    export::format::{count, duration_ns, percent},
    query::{Cause, Tail},
    tui::state::{App, DetailKey, Focus},
};

/// Width of the bar beside a share, in columns.
const BAR: usize = 10;
/// Width of the mark, the bar and the spaces around it, in columns.
const HEAD: usize = BAR + 4;

/// Draws the causes, heaviest first, and what they are based on.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, key: DetailKey, theme: Theme) {
    let Some(tail) = app.detail.tail(key).cloned() else {
        return note(frame, area, "reading…", theme);
    };
    if tail.slow.recorded == 0 || tail.fast.recorded == 0 {
        let sentence = tail.notes.first().map_or(
            "Too few calls were recorded to compare slow ones with fast ones.",
            String::as_str,
        );
        return note(frame, area, sentence, theme);
    }
    let columns = usize::from(area.width);
    let mut lines = basis(&tail, columns, theme);
    let notes: Vec<Line<'_>> = tail
        .notes
        .iter()
        .flat_map(|sentence| wrap(sentence, columns.saturating_sub(2)))
        .map(|part| Line::styled(format!(" {part}"), theme.dim()))
        .collect();
    let height = usize::from(area.height);
    let room = height.saturating_sub(lines.len() + notes.len() + usize::from(!notes.is_empty()));
    let cursor = app.detail.cursor.min(tail.causes.len().saturating_sub(1));
    let causes: Vec<Vec<Line<'_>>> = tail
        .causes
        .iter()
        .enumerate()
        .map(|(index, cause)| {
            let selected = (index == cursor).then_some(app.focus);
            one(cause, selected, columns, theme)
        })
        .collect();
    app.measured.list_rows = causes.len().min(room);
    app.detail.offset = first(&causes, app.detail.offset.min(cursor), cursor, room);
    let shown = causes.into_iter().skip(app.detail.offset).flatten();
    lines.extend(shown.take(room));
    if !notes.is_empty() {
        lines.push(Line::default());
        lines.extend(notes);
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The first cause to show so that the one under the cursor is whole on screen.
fn first(causes: &[Vec<Line<'_>>], wanted: usize, cursor: usize, room: usize) -> usize {
    (wanted..=cursor)
        .find(|&from| {
            let shown = causes.get(from..=cursor).unwrap_or_default();
            shown.iter().map(Vec::len).sum::<usize>() <= room
        })
        .unwrap_or(cursor)
}

/// How much slower the slow calls are, and how many there are of each.
fn basis(tail: &Tail, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let slow = format!(
        " slow: {} or longer, {} recorded, {} on average",
        duration_ns(tail.slower_than_ns),
        count(tail.slow.recorded),
        duration_ns(tail.slow.mean_ns)
    );
    let fast = format!(
        " fast: below {}, {} recorded, {} on average",
        duration_ns(tail.faster_than_ns),
        count(tail.fast.recorded),
        duration_ns(tail.fast.mean_ns)
    );
    let extra = tail.extra_ns.max(1) as f64;
    let rest = if tail.unattributed_ns > 0 {
        format!(
            "; {} of it no sample explains",
            percent(tail.unattributed_ns as f64 / extra)
        )
    } else {
        String::new()
    };
    let more = format!(
        " a slow call takes {} more{rest}",
        duration_ns(tail.extra_ns)
    );
    let cut = |line: String| text::keep_start(&line, columns);
    vec![
        Line::styled(cut(slow), theme.dim()),
        Line::styled(cut(fast), theme.dim()),
        Line::styled(cut(more), theme.strong()),
    ]
}

/// A cause: its share as a bar, its sentence, and the time in slow and in fast calls.
fn one(cause: &Cause, selected: Option<Focus>, columns: usize, theme: Theme) -> Vec<Line<'static>> {
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
    let mark = if selected.is_some() { "▸" } else { " " };
    let sentence = format!(
        "{} ({} instead of {} per call)",
        cause.sentence,
        duration_ns(cause.slow_ns),
        duration_ns(cause.fast_ns)
    );
    let room = columns.saturating_sub(HEAD + 1).max(20);
    wrap(&sentence, room)
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let (mark, bar) = if index == 0 {
                (mark, text::left(&text::bar(cause.share, BAR), BAR))
            } else {
                (" ", " ".repeat(BAR))
            };
            Line::from(vec![
                Span::raw(format!("{mark} ")),
                Span::styled(bar, bar_style),
                Span::raw(format!("  {}", text::left(&part, room))),
            ])
            .style(style)
        })
        .collect()
}
