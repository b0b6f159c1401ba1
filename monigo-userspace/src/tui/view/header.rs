//! The two lines at the top: what is traced, and how well.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, ends, text, time};
use crate::{
    export::format,
    symbols::Language,
    tui::{Phase, state::App},
};

/// Pids named in the header; more are counted.
const PIDS: usize = 3;

/// Draws it into two lines.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let mode = mode(app, theme);
    let room = usize::from(area.width).saturating_sub(text::spans_width(&mode) + 1);
    let lines = vec![
        ends(target(app, room, theme), mode, area.width),
        recording(app, area.width, theme),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn target(app: &App, columns: usize, theme: Theme) -> Vec<Span<'static>> {
    let name = Span::styled(" monigo", theme.dim());
    let Some(overview) = &app.overview else {
        return vec![name];
    };
    let language = match overview.language {
        Language::Go => "Go",
        Language::Rust => "Rust",
        Language::C => "C",
        Language::Cpp => "C++",
    };
    // The path whole and as many pids as fit; or no pids and as much of the path.
    let spans = |path: &str, pids: String| {
        let mut spans = vec![
            name.clone(),
            Span::raw("  "),
            Span::styled(path.to_owned(), theme.strong()),
            Span::raw(format!("  {language}")),
        ];
        if !pids.is_empty() {
            spans.push(Span::styled(format!("  {pids}"), theme.dim()));
        }
        spans
    };
    (0..=PIDS)
        .rev()
        .map(|most| spans(&overview.target, pids(&overview.pids, most)))
        .find(|spans| text::spans_width(spans) <= columns)
        .unwrap_or_else(|| {
            let rest = text::spans_width(&spans("", String::new()));
            let path = text::keep_end(&overview.target, columns.saturating_sub(rest));
            spans(&path, String::new())
        })
}

/// Up to `most` pids, and how many more there are.
fn pids(pids: &[u32], most: usize) -> String {
    let named: Vec<String> = pids.iter().take(most).map(u32::to_string).collect();
    let more = pids.len() - named.len();
    match (pids.len(), named.is_empty(), more) {
        (0, ..) => String::new(),
        (1, false, _) => format!("pid {}", named[0]),
        (1, true, _) => "1 pid".to_owned(),
        (count, true, _) => format!("{count} pids"),
        (_, false, 0) => format!("pids {}", named.join(" ")),
        (_, false, more) => format!("pids {} +{more}", named.join(" ")),
    }
}

fn mode(app: &App, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = vec![Span::raw(" ")];
    if let Some(overview) = &app.overview {
        let end = match app.pause {
            Some(pause) => pause.data_ns,
            None if app.ended() => overview.ended_ns.unwrap_or_else(|| app.data_ns()),
            None => app.now.unix_ns,
        };
        spans.push(Span::raw(time::clock(end - overview.started_ns)));
        spans.push(Span::raw("  "));
    }
    spans.push(Span::raw(app.span.label()));
    spans.push(Span::raw("  "));
    if let Some(pause) = app.pause {
        let since = time::of_day(pause.since_ns, &app.zone);
        spans.push(Span::styled(
            format!(" PAUSED since {since} "),
            theme.warning(),
        ));
    } else if app.ended() {
        spans.push(Span::styled("ENDED ", theme.strong()));
    } else if app.overview.is_none() {
        spans.push(Span::styled("starting ", theme.dim()));
    } else {
        if let Some(late) = app.late() {
            let text = format!(" {} behind ", format::duration_ns(late.as_nanos() as u64));
            spans.push(Span::styled(text, theme.warning()));
            spans.push(Span::raw(" "));
        }
        if app.status.waiting.is_some() {
            spans.push(Span::styled("WAITING ", theme.strong()));
        } else {
            spans.push(Span::styled("● LIVE ", theme.good()));
        }
    }
    spans
}

/// At what price how much is recorded: whole phrases, as many as fit beside the trouble.
fn recording(app: &App, columns: u16, theme: Theme) -> Line<'static> {
    let mut parts = Vec::new();
    if let Phase::Ended(reason) = &app.phase {
        parts.push(reason.clone());
    } else if let Some(waiting) = &app.status.waiting {
        parts.push(waiting.clone());
    }
    parts.extend(app.status.cost.clone());
    match app.status.sample_every {
        Some(0) => parts.push("records no single call".to_owned()),
        Some(1) => parts.push("records every call".to_owned()),
        Some(every) => {
            let every = format::count(u64::from(every));
            parts.push(format!("records 1 call in {every}"));
        }
        None => {}
    }
    let right = trouble(app, theme);
    let room = usize::from(columns).saturating_sub(text::spans_width(&right) + 3);
    let mut left = parts.join(" · ");
    while text::width(&left) > room && parts.len() > 1 {
        parts.pop();
        left = parts.join(" · ");
    }
    ends(
        vec![Span::styled(format!(" {left}"), theme.dim())],
        right,
        columns,
    )
}

fn trouble(app: &App, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    if app.problem.is_some() {
        spans.push(Span::styled("reading failed", theme.bad()));
        spans.push(Span::raw("  "));
    }
    let Some(overview) = &app.overview else {
        return spans;
    };
    let lost: u64 = overview.losses.iter().map(|loss| loss.count).sum();
    if lost > 0 {
        spans.push(Span::styled(
            format!(" {} lost ", format::count(lost)),
            theme.warning(),
        ));
        spans.push(Span::raw("  "));
    }
    let warnings = overview.warnings.len() + app.panics.len();
    if warnings > 0 {
        let plural = if warnings == 1 { "" } else { "s" };
        spans.push(Span::styled(
            format!(" {warnings} warning{plural} "),
            theme.warning(),
        ));
        spans.push(Span::raw("  "));
    }
    if !spans.is_empty() {
        spans.push(Span::styled("w", theme.key()));
        spans.push(Span::raw(" why "));
    }
    spans
}
