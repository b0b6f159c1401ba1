//! The heaviest stacks: a list, and below it the frames of the one under the cursor.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, note, text};
use crate::{
    export::format,
    query::{Frame as StackFrame, FunctionRow, StackRow},
    tui::state::{App, DetailKey, Focus, Unit},
};

/// Width of the bar beside a stack's share, in columns.
const BAR: usize = 8;

/// Width of a frame's number with the space after it, in columns.
const NUMBER: usize = 5;
/// Between a frame's name and its place, in columns.
const GAP: usize = 2;

/// Draws list and frames.
pub fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &mut App,
    key: DetailKey,
    row: &FunctionRow,
    theme: Theme,
) {
    let Some(stacks) = app.detail.stacks(key).map(<[StackRow]>::to_vec) else {
        return note(frame, area, "reading…", theme);
    };
    if stacks.is_empty() {
        return note(frame, area, "No stack was recorded in this window.", theme);
    }
    let cursor = app.detail.cursor.min(stacks.len() - 1);
    let list_height = (stacks.len() as u16 + 1).min((area.height * 2 / 5).max(3));
    let [list, below] =
        Layout::vertical([Constraint::Length(list_height), Constraint::Min(0)]).areas(area);

    let rows = usize::from(list.height.saturating_sub(1));
    app.measured.list_rows = rows;
    app.detail.offset = app
        .detail
        .offset
        .clamp((cursor + 1).saturating_sub(rows), cursor)
        .min(stacks.len().saturating_sub(rows));
    let mut lines = vec![heading(app.detail.unit, theme)];
    let total: u64 = stacks.iter().map(|stack| stack.weight).sum();
    for (index, stack) in stacks.iter().enumerate().skip(app.detail.offset).take(rows) {
        let selected = (index == cursor).then_some(app.focus);
        lines.push(line(stack, total, row, selected, list.width, theme));
    }
    frame.render_widget(Paragraph::new(lines), list);

    let stack = &stacks[cursor];
    let rows = usize::from(below.height.saturating_sub(1));
    let all = frames(&stack.frames, stack.truncated, below.width, theme);
    app.measured.frame_rows = rows;
    app.detail.frame_scroll = app.detail.frame_scroll.min(all.len().saturating_sub(rows));
    let from = app.detail.frame_scroll;
    let to = (from + rows).min(all.len());
    let mut lines = vec![rule(
        cursor,
        stacks.len(),
        from..to,
        all.len(),
        below.width,
        theme,
    )];
    lines.extend(all.into_iter().skip(from).take(rows));
    frame.render_widget(Paragraph::new(lines), below);
}

fn heading(unit: Unit, theme: Theme) -> Line<'static> {
    let (time, calls) = match unit {
        Unit::Calls => (theme.dim(), theme.strong()),
        Unit::Time | Unit::Cpu | Unit::OffCpu => (theme.strong(), theme.dim()),
    };
    let (time_label, calls_label) = match unit {
        Unit::Time => ("time▼", "calls"),
        Unit::Calls => ("time", "calls▼"),
        Unit::Cpu => ("on CPU▼", ""),
        Unit::OffCpu => ("off CPU▼", ""),
    };
    Line::from(vec![
        Span::styled(text::right("share", 7), theme.dim()),
        Span::raw(" ".repeat(BAR + 1)),
        Span::styled(text::right(time_label, 9), time),
        Span::styled(text::right(calls_label, 11), calls),
        Span::styled(
            text::right(if calls_label.is_empty() { "" } else { "mean" }, 10),
            theme.dim(),
        ),
        Span::styled("  line ← callers", theme.dim()),
    ])
}

fn line(
    stack: &StackRow,
    total: u64,
    row: &FunctionRow,
    selected: Option<Focus>,
    columns: u16,
    theme: Theme,
) -> Line<'static> {
    let share = stack.weight as f64 / total.max(1) as f64;
    let style = match selected {
        Some(Focus::Detail) => theme.selected(),
        Some(Focus::Table) => theme.marked(),
        None => Style::new(),
    };
    let bar = text::left(&text::bar(share, BAR), BAR);
    let bar_style = if selected == Some(Focus::Detail) {
        Style::new()
    } else {
        theme.bar()
    };
    let floor_ns = row.probe.floor_ns;
    // Both are estimates from the sample; the mean ties them together.
    let (time, calls, mean) = if stack.calls > 0 {
        (
            format::summed_ns(
                stack.mean_ns.saturating_mul(stack.calls),
                stack.calls,
                floor_ns,
            ),
            format::count(stack.calls),
            format::measured_ns(stack.mean_ns, floor_ns),
        )
    } else {
        // Samples: time is their weight, and they are not calls.
        (
            format::duration_ns(stack.weight),
            String::new(),
            String::new(),
        )
    };
    let head = format!(
        "{}{}",
        if selected.is_some() { "▸" } else { " " },
        text::right(&format::percent(share), 6),
    );
    let figures = format!(
        "{}{}{}",
        text::right(&time, 9),
        text::right(&calls, 11),
        text::right(&mean, 10),
    );
    let used = text::width(&head) + 1 + BAR + text::width(&figures);
    let room = usize::from(columns).saturating_sub(used + 2);
    let callers = callers(&stack.frames, &row.name);
    Line::from(vec![
        Span::raw(head),
        Span::styled(format!(" {bar}"), bar_style),
        Span::raw(figures),
        Span::raw(format!(
            "  {}",
            text::left(&text::keep_start(&callers, room), room)
        )),
    ])
    .style(style)
}

/// `:69 ← handle ← serve`: the line the calls ended at, which tells stacks of the same callers
/// apart, and who called, nearest first.
fn callers(frames: &[StackFrame], function: &str) -> String {
    let own = frames.iter().position(|frame| frame.function == function);
    let line = own.and_then(|at| frames[at].line);
    let outer = &frames[own.map_or(0, |at| at + 1)..];
    let mut names: Vec<String> = line.map(|line| format!(":{line}")).into_iter().collect();
    names.extend(outer.iter().map(|frame| text::short_name(&frame.function)));
    if outer.is_empty() {
        names.push("no caller seen".to_owned());
    }
    names.join(" ← ")
}

fn rule(
    cursor: usize,
    count: usize,
    shown: std::ops::Range<usize>,
    frames: usize,
    columns: u16,
    theme: Theme,
) -> Line<'static> {
    let part = if shown.len() < frames {
        format!(
            "── frames {} to {} of {frames} ",
            shown.start + 1,
            shown.end
        )
    } else {
        String::new()
    };
    let mut text = format!("── stack {} of {count} {part}", cursor + 1);
    let rest = usize::from(columns).saturating_sub(text::width(&text));
    text.push_str(&"─".repeat(rest));
    Line::styled(text, theme.dim())
}

/// One line a frame, innermost first: number, name, and where it is.
pub fn frames(
    frames: &[StackFrame],
    truncated: bool,
    columns: u16,
    theme: Theme,
) -> Vec<Line<'static>> {
    let columns = usize::from(columns);
    let places: Vec<String> = frames
        .iter()
        .map(|frame| text::keep_end(&place(frame), columns / 2))
        .collect();
    let widest_place = places.iter().map(|it| text::width(it)).max().unwrap_or(0);
    let widest_name = frames
        .iter()
        .map(|frame| text::width(&frame.function) + tag(frame).len())
        .max()
        .unwrap_or(0);
    // Places stand in a column right after the names.
    let room = columns.saturating_sub(NUMBER + GAP + widest_place);
    let room = room.min(widest_name);
    let mut lines: Vec<Line<'static>> = frames
        .iter()
        .zip(places)
        .enumerate()
        .map(|(index, (frame, place))| {
            let tag = tag(frame);
            let name = text::function_name(&frame.function, room.saturating_sub(tag.len()));
            let gap = room.saturating_sub(text::width(&name) + tag.len()) + GAP;
            Line::from(vec![
                Span::styled(
                    format!("{} ", text::right(&index.to_string(), NUMBER - 1)),
                    theme.dim(),
                ),
                Span::raw(name),
                Span::styled(tag, theme.dim()),
                Span::raw(" ".repeat(gap)),
                Span::styled(place, theme.dim()),
            ])
        })
        .collect();
    if truncated {
        lines.push(Line::styled(
            "     … the walk ended here; outer callers are unknown",
            theme.dim(),
        ));
    }
    lines
}

fn tag(frame: &StackFrame) -> &'static str {
    match (frame.kernel, frame.inlined) {
        (true, _) => " kernel",
        (_, true) => " inlined",
        _ => "",
    }
}

/// `file:line`, or else image and address.
fn place(frame: &StackFrame) -> String {
    if let Some(file) = &frame.file {
        return text::source(file, frame.line);
    }
    let image = frame.image.rsplit('/').next().unwrap_or_default();
    format!("{image} {:#x}", frame.address)
}
