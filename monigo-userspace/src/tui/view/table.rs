//! The function table.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, note, text};
use crate::{
    export::format,
    query::FunctionRow,
    tui::state::{App, Column, Focus},
};

/// Columns that give way on narrow screens, first to go first. The sorted one stays.
const DROPPED: [Column; 6] = [
    Column::P90,
    Column::SelfTime,
    Column::Max,
    Column::P50,
    Column::Rate,
    Column::Share,
];
/// Room that names get before numbers do, in columns; more on wider screens.
const NAME: usize = 26;
/// Width of the bar beside a share, in columns.
const BAR: usize = 8;
/// Least width of a column of figures: that of most durations.
const FIGURE: usize = 7;
/// Rows with uncertain figures whose cells are measured.
const MEASURED: usize = 100;
/// Between columns.
const GAP: usize = 2;

/// Which columns fit, and how wide they are.
struct Plan {
    columns: Vec<(Column, usize)>,
    bar: usize,
    name: usize,
}

/// Draws headings and rows.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, theme: Theme) {
    let rows = usize::from(area.height.saturating_sub(1));
    app.measured.table_rows = rows;
    let visible = app.table.visible(&app.functions);
    let selected = visible
        .iter()
        .position(|&row| Some(app.functions[row].id) == app.table.selected)
        .unwrap_or(0);
    // Keep the selection in sight and the pane full.
    app.table.offset = app
        .table
        .offset
        .clamp((selected + 1).saturating_sub(rows), selected)
        .min(visible.len().saturating_sub(rows));

    let plan = plan(app, usize::from(area.width));
    let mut lines = vec![headings(app, &plan, visible.len(), theme)];
    for &row in visible.iter().skip(app.table.offset).take(rows) {
        lines.push(line(app, &app.functions[row], &plan, theme));
    }
    frame.render_widget(Paragraph::new(lines), area);
    if visible.is_empty() && area.height > 1 {
        let below = Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        };
        let text = if app.functions.is_empty() {
            "reading…".to_owned()
        } else {
            format!("no function matches “{}”", app.table.filter)
        };
        note(frame, below, &text, theme);
    }
}

fn cell(row: &FunctionRow, column: Column) -> String {
    let latency = &row.latency_ns;
    match column {
        Column::Name => row.name.clone(),
        Column::Calls => row.shown_calls_short(),
        Column::Rate => row.shown_rate(),
        Column::P50 => row.shown_ns(latency.p50),
        Column::P90 => row.shown_ns(latency.p90),
        Column::P99 => row.shown_ns(latency.p99),
        Column::Max => row.shown_ns(latency.max),
        Column::Total => row.shown_total(),
        Column::SelfTime => row.shown_self(),
        Column::Share => format::percent(row.share),
    }
}

/// The columns beside the name that say something, and how wide they are: as their largest cell needs, over
/// all rows so that scrolling moves nothing.
fn wanted(app: &App) -> Vec<(Column, usize)> {
    // Uncertain figures are longer than their size tells.
    let uncertain = |row: &&FunctionRow| row.calls_error > 0 || row.timed_share().is_some();
    let uncertain: Vec<&FunctionRow> = app
        .functions
        .iter()
        .filter(uncertain)
        .take(MEASURED)
        .collect();
    let floor = app.functions.iter().max_by_key(|row| row.probe.floor_ns);
    let widest = |column: Column| {
        let ordered = |a: &&FunctionRow, b: &&FunctionRow| column.compare(a, b);
        let largest = app.functions.iter().max_by(ordered);
        let called = app.functions.iter().filter(|row| row.timed > 0);
        let smallest = called.min_by(ordered);
        [largest, smallest, floor]
            .into_iter()
            .flatten()
            .chain(uncertain.iter().copied())
            .map(|row| text::width(&cell(row, column)))
            .max()
            .unwrap_or(0)
            // The heading and its arrow, and any duration.
            .max(column.label().len() + 1)
            .max(FIGURE)
    };
    let is_wanted = |column: &Column| {
        // Else it is the total.
        let self_time_differs = || {
            let mut rows = app.functions.iter();
            rows.any(FunctionRow::calls_traced_functions)
        };
        *column != Column::SelfTime || *column == app.table.sort || self_time_differs()
    };
    let columns = Column::ALL[1..].iter().copied().filter(is_wanted);
    columns.map(|column| (column, widest(column))).collect()
}

/// Which columns fit beside the name, and whether a bar does.
fn plan(app: &App, width: usize) -> Plan {
    let mut columns = wanted(app);
    let longest = app
        .functions
        .iter()
        .map(|row| text::width(&row.name))
        .max()
        .unwrap_or(0);
    let wished = NAME.max(width * 2 / 5);
    let needed = longest.clamp(Column::Name.label().len() + 8, wished);
    let taken = |columns: &[(Column, usize)]| -> usize {
        columns.iter().map(|(_, width)| width + GAP).sum::<usize>() + 2
    };
    for dropped in DROPPED {
        if taken(&columns) + needed <= width {
            break;
        }
        if dropped != app.table.sort {
            columns.retain(|(column, _)| *column != dropped);
        }
    }
    let mut rest = width.saturating_sub(taken(&columns));
    let has_share = columns.iter().any(|(column, _)| *column == Column::Share);
    let bar = if has_share && rest > longest.min(wished) + BAR {
        BAR
    } else {
        0
    };
    if bar > 0 {
        rest -= bar + 1;
    }
    Plan {
        columns,
        bar,
        name: rest,
    }
}

fn headings(app: &App, plan: &Plan, shown: usize, theme: Theme) -> Line<'static> {
    let style = theme.dim();
    let arrow = if app.table.descending { "▼" } else { "▲" };
    let heading = |column: Column| {
        if column == app.table.sort {
            format!("{}{arrow}", column.label())
        } else {
            column.label().to_owned()
        }
    };
    let style_of = |column: Column| {
        if column == app.table.sort {
            theme.strong()
        } else {
            style
        }
    };
    let all = app.functions.len();
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(heading(Column::Name), style_of(Column::Name)),
    ];
    if app.table.editing || !app.table.filter.is_empty() {
        spans.push(Span::styled("  /", theme.key()));
        spans.push(Span::raw(app.table.filter.clone()));
        if app.table.editing {
            spans.push(Span::styled(" ", theme.selected()));
        }
        spans.push(Span::styled(
            format!("  {} of {}", shown, format::count(all as u64)),
            style,
        ));
    } else if all > 1 {
        spans.push(Span::styled(
            format!("  {}", format::count(all as u64)),
            style,
        ));
    }
    let used = text::spans_width(&spans);
    spans.push(Span::raw(" ".repeat((plan.name + 1).saturating_sub(used))));
    for &(column, width) in &plan.columns {
        let text = text::right(&heading(column), width + GAP);
        spans.push(Span::styled(text, style_of(column)));
    }
    Line::from(spans)
}

fn line(app: &App, row: &FunctionRow, plan: &Plan, theme: Theme) -> Line<'static> {
    let is_selected = Some(row.id) == app.table.selected;
    let base = match (is_selected, app.focus) {
        (true, Focus::Table) => theme.selected(),
        (true, Focus::Detail) => theme.marked(),
        _ => Style::new(),
    };
    let mut spans = vec![Span::raw(if is_selected { "▸" } else { " " })];
    spans.extend(name(app, &row.name, plan.name, theme));
    for &(column, width) in &plan.columns {
        let quiet = row.calls == 0 || column == Column::Rate || column == Column::Share;
        let style = if quiet && !is_selected {
            theme.dim()
        } else {
            Style::new()
        };
        let text = text::right(&cell(row, column), width + GAP);
        spans.push(Span::styled(text, style));
    }
    if plan.bar > 0 {
        let bar = format!(" {}", text::left(&text::bar(row.share, plan.bar), plan.bar));
        let style = if is_selected {
            Style::new()
        } else {
            theme.bar()
        };
        spans.push(Span::styled(bar, style));
    }
    spans.push(Span::raw(" "));
    Line::from(spans).style(base)
}

/// The name in exactly `columns`, with the filter's match marked when it can be seen.
fn name(app: &App, name: &str, columns: usize, theme: Theme) -> Vec<Span<'static>> {
    let short = text::function_name(name, columns);
    let pad = " ".repeat(columns.saturating_sub(text::width(&short)));
    let found = app.table.match_in(&short).filter(|range| !range.is_empty());
    match found {
        Some(range) => vec![
            Span::raw(short[..range.start].to_owned()),
            Span::styled(short[range.clone()].to_owned(), theme.matched()),
            Span::raw(short[range.end..].to_owned()),
            Span::raw(pad),
        ],
        None => vec![Span::raw(short), Span::raw(pad)],
    }
}
