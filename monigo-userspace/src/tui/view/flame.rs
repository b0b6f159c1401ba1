//! The flame graph: one row a depth, one cell a frame.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, ends, note, text};
use crate::{
    export::format,
    query::{FunctionRow, Weight},
    tui::state::{App, DetailKey, FlameFrame, FlamePane, Focus, Unit, is_inside},
};

/// A frame on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    index: usize,
    from: usize,
    to: usize,
}

/// Draws readout and graph.
pub fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &mut App,
    key: DetailKey,
    row: &FunctionRow,
    theme: Theme,
) {
    if app.detail.flame(key).is_none() {
        return note(frame, area, "reading…", theme);
    }
    let unit = app.detail.unit;
    let focused = app.focus == Focus::Detail;
    let pane = &mut app.detail.flame;
    let frames = pane.frames().unwrap_or_default();
    if frames.is_empty() {
        return note(frame, area, nothing(unit), theme);
    }
    let rows = usize::from(area.height.saturating_sub(1));
    let depths = frames
        .iter()
        .map(|frame| frame.depth + 1)
        .max()
        .unwrap_or(1);
    let (at, depth) = (pane.at(), frames[pane.at()].depth);
    pane.offset = pane
        .offset
        .clamp((depth + 1).saturating_sub(rows), depth)
        .min(depths.saturating_sub(rows));
    app.measured.list_rows = rows;
    let columns = usize::from(area.width);
    let frames = pane.frames().unwrap_or_default();
    let mut lines = vec![readout(
        pane,
        &frames[at],
        frames[0].value,
        unit,
        area.width,
        theme,
    )];
    let shown = pane.offset..(pane.offset + rows).min(depths);
    let mut graph: Vec<Line<'_>> = shown
        .map(|depth| {
            let cells = cells(frames, pane.zoomed(), depth, columns);
            let selected = focused.then_some(at);
            line(pane, frames, &cells, &row.name, selected, theme)
        })
        .collect();
    if pane.upwards {
        graph.reverse();
        // The root stands on the bottom.
        lines.resize_with(1 + rows.saturating_sub(graph.len()), Line::default);
    }
    lines.extend(graph);
    frame.render_widget(Paragraph::new(lines), area);
}

const fn nothing(unit: Unit) -> &'static str {
    match unit {
        Unit::Time | Unit::Calls => "No stack was recorded in this window.",
        Unit::Cpu => "Nothing was seen running inside the function in this window.",
        Unit::OffCpu => "Nothing was seen waiting inside the function in this window.",
    }
}

/// What is under the cursor; at the right what is typed or found.
fn readout(
    pane: &FlamePane,
    frame: &FlameFrame,
    total: u64,
    unit: Unit,
    columns: u16,
    theme: Theme,
) -> Line<'static> {
    let value = |value: u64| match unit.weight() {
        Weight::Calls => format!("{} calls", format::count(value)),
        _ => format::duration_ns(value),
    };
    let share = |part: u64, of: u64| format::percent(part as f64 / of.max(1) as f64);
    let what = match unit {
        Unit::Time => "time",
        Unit::Calls => "calls",
        Unit::Cpu => "on CPU",
        Unit::OffCpu => "off CPU",
    };
    let own = if frame.own > 0 && frame.own < frame.value {
        format!(", own {}", share(frame.own, total))
    } else {
        String::new()
    };
    let figures = format!(
        "  {}, {} of {what}{own}",
        value(frame.value),
        share(frame.value, total)
    );
    let found = if pane.editing {
        format!("search: {}_ ", pane.search)
    } else if pane.search.is_empty() {
        String::new()
    } else {
        let (count, covered) = pane.matched();
        let frames = if count == 1 { "frame" } else { "frames" };
        format!(
            "{}: {count} {frames}, {} ",
            pane.search,
            format::percent(covered)
        )
    };
    let room = usize::from(columns).saturating_sub(text::width(&figures) + text::width(&found) + 1);
    ends(
        vec![
            Span::styled(
                format!(" {}", text::function_name(&frame.name, room)),
                theme.strong(),
            ),
            Span::raw(figures),
        ],
        vec![Span::styled(found, theme.matched())],
        columns,
    )
}

/// Where the frames of one depth are. Frames narrower than half a column are left out.
fn cells(frames: &[FlameFrame], zoomed: usize, depth: usize, columns: usize) -> Vec<Cell> {
    let Some(view) = frames.get(zoomed) else {
        return Vec::new();
    };
    let scale = columns as f64 / (view.end - view.start).max(f64::MIN_POSITIVE);
    let column =
        |share: f64| (((share - view.start) * scale).round().max(0.0) as usize).min(columns);
    let here = |index: &usize| frames[*index].depth == depth;
    (0..frames.len())
        .filter(here)
        .filter_map(|index| {
            let frame = &frames[index];
            let (from, to) = if is_inside(frames, zoomed, index) {
                (0, columns)
            } else if is_inside(frames, index, zoomed) {
                (column(frame.start), column(frame.end))
            } else {
                return None;
            };
            (from < to).then_some(Cell { index, from, to })
        })
        .collect()
}

fn line(
    pane: &FlamePane,
    frames: &[FlameFrame],
    cells: &[Cell],
    traced: &str,
    selected: Option<usize>,
    theme: Theme,
) -> Line<'static> {
    let mut spans = Vec::new();
    let mut at = 0;
    for &Cell { index, from, to } in cells {
        // Cells that touch by rounding keep to their own columns.
        let from = from.max(at);
        if from >= to {
            continue;
        }
        spans.push(Span::raw(" ".repeat(from - at)));
        let frame = &frames[index];
        let mut style = if pane.matches(frame) {
            theme.flame_match()
        } else if frame.parent.is_none() {
            theme.flame_root()
        } else if frame.is_kernel() {
            theme.flame_kernel()
        } else {
            theme.flame(shade(&frame.name))
        };
        if frame.name == traced {
            style = style.add_modifier(Modifier::BOLD);
        }
        if selected == Some(index) {
            style = theme.selected().add_modifier(Modifier::BOLD);
        }
        cell(&mut spans, &frame.name, to - from, style, theme);
        at = to;
    }
    Line::from(spans)
}

/// A cell and the gap behind it. Without colours a bar marks where it begins.
fn cell(spans: &mut Vec<Span<'static>>, name: &str, columns: usize, style: Style, theme: Theme) {
    let gap = usize::from(columns > 2);
    let mark = if theme.has_color() || columns < 2 {
        ""
    } else {
        "│"
    };
    let room = columns - gap - text::width(mark);
    let short = if room < 3 {
        String::new()
    } else {
        text::function_name(name, room)
    };
    spans.push(Span::styled(
        format!("{mark}{}", text::left(&short, room)),
        style,
    ));
    spans.push(Span::raw(" ".repeat(gap)));
}

/// Which of the shades a frame has: the same for the same package or namespace.
fn shade(name: &str) -> usize {
    let plain = name.split(['<', '(']).next().unwrap_or(name);
    let module = plain
        .rfind("::")
        .or_else(|| plain.rfind('.'))
        .map_or(plain, |at| &plain[..at]);
    // FNV-1a.
    let hash = module.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(parent: Option<usize>, depth: usize, start: f64, end: f64) -> FlameFrame {
        FlameFrame {
            name: "f".to_owned(),
            detail: String::new(),
            value: 1,
            own: 1,
            parent,
            depth,
            start,
            end,
        }
    }

    #[test]
    fn cells_are_where_their_share_is() {
        let frames = [
            frame(None, 0, 0.0, 1.0),
            frame(Some(0), 1, 0.0, 0.301),
            frame(Some(0), 1, 0.301, 0.302),
            frame(Some(0), 1, 0.302, 0.9),
            frame(Some(3), 2, 0.302, 0.6),
        ];
        let at = |zoomed, depth| {
            let cells = cells(&frames, zoomed, depth, 100);
            cells
                .iter()
                .map(|cell| (cell.index, cell.from, cell.to))
                .collect::<Vec<_>>()
        };
        assert_eq!(at(0, 0), [(0, 0, 100)]);
        assert_eq!(at(0, 1), [(1, 0, 30), (3, 30, 90)]);
        // Zoomed: the way to it fills the width, the rest is gone.
        assert_eq!(at(3, 0), [(0, 0, 100)]);
        assert_eq!(at(3, 1), [(3, 0, 100)]);
        assert_eq!(at(3, 2), [(4, 0, 50)]);
    }

    #[test]
    fn frames_of_a_package_share_a_shade() {
        assert_eq!(
            shade("shop::orders::total"),
            shade("shop::orders::sum<u32>")
        );
        assert_eq!(shade("main.(*Service).Run"), shade("main.start"));
        assert_ne!(shade("main.start"), shade("runtime.goexit"));
    }
}
