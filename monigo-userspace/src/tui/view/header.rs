//! The two lines at the top: what is traced, and how well.

use ratatui::{Frame, layout::Rect, text::Span, widgets::Paragraph};

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
    let lines = vec![
        ends(target(app, area.width, theme), mode(app, theme), area.width),
        ends(recording(app, theme), trouble(app, theme), area.width),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn target(app: &App, columns: u16, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = vec![Span::styled(" monigo  ", theme.dim())];
    let Some(overview) = &app.overview else {
        return spans;
    };
    let room = usize::from(columns / 3);
    spans.push(Span::styled(
        text::keep_end(&overview.target, room),
        theme.strong(),
    ));
    let language = match overview.language {
        Language::Go => "Go",
        Language::Rust => "Rust",
        Language::C => "C",
        Language::Cpp => "C++",
    };
    spans.push(Span::raw(format!("  {language}")));
    let pids = pids(&overview.pids);
    if !pids.is_empty() {
        spans.push(Span::styled(format!("  {pids}"), theme.dim()));
    }
    spans
}

fn pids(pids: &[u32]) -> String {
    let named: Vec<String> = pids.iter().take(PIDS).map(u32::to_string).collect();
    match pids.len() {
        0 => String::new(),
        1 => format!("pid {}", named[0]),
        count if count > PIDS => format!("pids {} and {} more", named.join(" "), count - PIDS),
        _ => format!("pids {}", named.join(" ")),
    }
}

fn mode(app: &App, theme: Theme) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
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

fn recording(app: &App, theme: Theme) -> Vec<Span<'static>> {
    let mut parts = Vec::new();
    if let Phase::Ended(reason) = &app.phase {
        parts.push(reason.clone());
    } else if let Some(waiting) = &app.status.waiting {
        parts.push(waiting.clone());
    }
    match app.status.sample_every {
        Some(0) => parts.push("no call recorded in full".to_owned()),
        Some(1) => parts.push("every call recorded in full".to_owned()),
        Some(every) => parts.push(format!(
            "1 call in {} recorded in full",
            format::count(u64::from(every))
        )),
        None => {}
    }
    if let Some(cost) = &app.status.cost {
        parts.push(cost.clone());
    }
    vec![Span::styled(format!(" {}", parts.join(" · ")), theme.dim())]
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
