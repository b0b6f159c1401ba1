//! The selected function: its figures, and one of the tabs.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, calls, chart, ends, flame, histogram, note, parts, stacks, text, why};
use crate::{
    export::format,
    plan::CostClass,
    query::{ExitProbe, FunctionRow},
    tui::state::{App, DetailKey, Focus, Tab},
};

/// From this width on, latency and time are shown beside each other.
const TOGETHER_WIDTH: u16 = 110;
/// From this height on, they are shown above each other.
const TOGETHER_HEIGHT: u16 = 24;

/// From this height on, where the time went has a line.
const LEAST_HEIGHT_WITH_PARTS: u16 = 9;

/// Draws the pane.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, theme: Theme) {
    // A short pane keeps its room for the tab.
    let parts = u16::from(app.breakdown().is_some() && area.height >= LEAST_HEIGHT_WITH_PARTS);
    let [rule, facts, time, body] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(parts),
        Constraint::Min(0),
    ])
    .areas(area);
    let beside = body.width >= TOGETHER_WIDTH;
    let together = beside || body.height >= TOGETHER_HEIGHT;
    if together && !app.measured.charts_together {
        app.measured.charts_together = true;
        app.want_detail();
    }
    app.measured.charts_together = together;

    let Some(row) = app.selected().cloned() else {
        frame.render_widget(
            Paragraph::new(Line::styled("─".repeat(area.width.into()), theme.dim())),
            rule,
        );
        return;
    };
    frame.render_widget(
        Paragraph::new(title(app, &row, rule.width, together, theme)),
        rule,
    );
    frame.render_widget(
        Paragraph::new(vec![
            counts(&row, facts.width, theme),
            latencies(&row, facts.width, theme),
        ]),
        facts,
    );
    if let Some(breakdown) = app.breakdown() {
        let line = parts::line(&breakdown.total, time.width, theme);
        frame.render_widget(Paragraph::new(line), time);
    }
    if row.calls == 0 && app.is_silent() {
        note(frame, body, &silence(app), theme);
        return;
    }
    let key = DetailKey {
        function: row.id,
        span: app.span,
        unit: app.detail.unit,
        root: app.detail.root(),
    };
    match app.detail.tab {
        Tab::Latency | Tab::Time if together => {
            let [first, second] = if beside {
                Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
                    .spacing(2)
                    .areas(body)
            } else {
                Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(body)
            };
            histogram::draw(frame, first, app, key, &row, theme);
            chart::draw(frame, second, app, key, theme);
        }
        Tab::Latency => histogram::draw(frame, body, app, key, &row, theme),
        Tab::Time => chart::draw(frame, body, app, key, theme),
        Tab::Stacks => stacks::draw(frame, body, app, key, &row, theme),
        Tab::Calls => calls::draw(frame, body, app, key, theme),
        Tab::Flame => flame::draw(frame, body, app, key, &row, theme),
        Tab::Why => why::draw(frame, body, app, key, theme),
    }
}

/// Why nothing is seen yet.
fn silence(app: &App) -> String {
    if let Some(waiting) = &app.status.waiting {
        return format!("No calls yet: attached, {waiting}.");
    }
    if app.ended() {
        return "No calls were seen.".to_owned();
    }
    "No calls yet: attached, waiting for the first one.".to_owned()
}

fn title(
    app: &App,
    row: &FunctionRow,
    columns: u16,
    together: bool,
    theme: Theme,
) -> Line<'static> {
    let focused = app.focus == Focus::Detail;
    let rule = theme.dim();
    let mut tabs = Vec::new();
    for (index, tab) in Tab::ALL.into_iter().enumerate() {
        let chart = |tab| matches!(tab, Tab::Latency | Tab::Time);
        let open = tab == app.detail.tab || together && chart(tab) && chart(app.detail.tab);
        let style = match (open, focused) {
            (true, true) => theme.selected(),
            (true, false) => theme.strong(),
            _ => theme.dim(),
        };
        // Brackets tell the open tab where styles do not.
        let (before, after) = if open { ("[", "]") } else { (" ", " ") };
        tabs.push(Span::styled(
            format!("{before}{} {}{after}", index + 1, tab.label()),
            style,
        ));
    }
    tabs.push(Span::styled("─", rule));
    let room = usize::from(columns).saturating_sub(text::spans_width(&tabs) + 6);
    let name = text::function_name(&row.name, room);
    let filler = room.saturating_sub(text::width(&name)) + 2;
    let mut spans = vec![
        Span::styled("── ", rule),
        Span::styled(name, theme.strong()),
        Span::styled(format!(" {}", "─".repeat(filler)), rule),
    ];
    spans.extend(tabs);
    Line::from(spans)
}

/// How many calls of which kind; at the right where the function is and how it is probed.
fn counts(row: &FunctionRow, columns: u16, theme: Theme) -> Line<'static> {
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(row.shown_calls(), theme.strong()),
        Span::styled(" calls", theme.dim()),
    ];
    if let Some(share) = row.timed_share() {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(format::percent(share), theme.strong()));
        spans.push(Span::styled(" timed", theme.dim()));
    }
    let mut add = |count: u64, what: &'static str, style| {
        if count > 0 {
            spans.push(Span::raw("  "));
            spans.push(Span::styled(format::count(count), style));
            spans.push(Span::styled(format!(" {what}"), theme.dim()));
        }
    };
    add(row.in_flight, "in flight", theme.strong());
    add(row.unwound, "unwound", theme.bad());
    add(row.unmatched, "begun earlier", theme.strong());
    let exit = match row.probe.exit {
        ExitProbe::Ret => "ret",
        ExitProbe::Uretprobe => "uretprobe",
    };
    let cost = match row.probe.cost_class {
        CostClass::Nop5 => "nop5",
        CostClass::Emulated => "emulated",
        CostClass::SingleStep => "single-step",
    };
    let sites = row.probe.sites;
    let plural = if sites == 1 { "" } else { "s" };
    let instances = match row.probe.instances.len() {
        0 => String::new(),
        count => format!("{count} instances, "),
    };
    let how = format!("{exit}, {instances}{sites} site{plural}, {cost}");
    let price = price(row);
    let source = row.file.as_ref().map(|file| text::source(file, row.line));
    // As much as fits.
    let parts = [source.as_deref(), Some(&how), price.as_deref()];
    let room = usize::from(columns).saturating_sub(text::spans_width(&spans) + 2);
    let right = [&parts[..], &parts[1..], &parts[1..2], &parts[2..]]
        .into_iter()
        .map(|parts| {
            let known: Vec<&str> = parts.iter().copied().flatten().collect();
            format!("{} ", known.join(" · "))
        })
        .find(|text| text::width(text) <= room)
        .unwrap_or_default();
    ends(spans, vec![Span::styled(right, theme.dim())], columns)
}

/// What the probes of a call cost, and from which duration on it can be told from none.
fn price(row: &FunctionRow) -> Option<String> {
    let probe = &row.probe;
    (probe.cost_ns > 0).then(|| {
        format!(
            "{} a call, floor {}",
            format::duration_ns(probe.cost_ns.into()),
            format::duration_ns(probe.floor_ns.into())
        )
    })
}

/// Latency figures: as many as fit. p99, which the table always shows, is left out first.
fn latencies(row: &FunctionRow, columns: u16, theme: Theme) -> Line<'static> {
    if row.calls == 0 {
        return Line::default();
    }
    if row.timed == 0 {
        return Line::styled(
            " counted only: no call was timed in this window",
            theme.dim(),
        );
    }
    let it = &row.latency_ns;
    // In order on screen, with the rank at which each gives way.
    let mut figures = vec![
        ("min", row.shown_ns(it.min), 3),
        ("mean", row.shown_ns(it.mean), 2),
        ("p50", row.shown_ns(it.p50), 5),
        ("p90", row.shown_ns(it.p90), 6),
        ("p99", row.shown_ns(it.p99), 1),
        ("p99.9", row.shown_ns(it.p999), 4),
        ("max", row.shown_ns(it.max), 7),
    ];
    if row.calls_traced_functions() {
        figures.push(("self", row.shown_self(), 0));
    }
    let figure_width =
        |(label, shown, _): &(&str, String, u8)| 3 + label.len() + text::width(shown);
    while figures.iter().map(figure_width).sum::<usize>() > usize::from(columns) {
        let Some(first) = figures.iter().map(|(_, _, rank)| *rank).min() else {
            break;
        };
        figures.retain(|(_, _, rank)| *rank != first);
    }
    let mut spans = Vec::new();
    for (label, shown, _) in figures {
        spans.push(Span::styled(format!(" {label} "), theme.dim()));
        spans.push(Span::raw(format!("{shown} ")));
    }
    Line::from(spans)
}
