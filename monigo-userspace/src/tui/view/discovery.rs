//! The ranking of functions that could be traced.

use ratatui::text::{Line, Span};

use super::{Theme, overlay::wrap, text};
use crate::{
    discover::{Basis, Found, Ranking, Stage, Tracing},
    export::format,
    tui::state::App,
};

/// Lines above the functions.
pub const HEAD: usize = 3;

/// The pane's lines, each at most `columns` wide.
pub fn lines(app: &App, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let pane = &app.discovery;
    if !pane.available {
        let sentence = "This session is not being recorded by this monigo, so nothing can be \
                        traced in addition.";
        return wrap(sentence, columns).into_iter().map(Line::raw).collect();
    }
    let mut lines = vec![status(app, columns, theme), Line::default()];
    if pane.functions().is_empty() {
        return lines;
    }
    let head = row(columns, "function", ["calls", "time", "mean"], "");
    lines.push(Line::styled(head, theme.dim()));
    let last = pane.functions().len() - 1;
    for (index, found) in pane.functions().iter().enumerate() {
        let line = figures(app, found, columns);
        lines.push(if index == pane.selected.min(last) {
            Line::styled(line, theme.selected())
        } else {
            Line::raw(line)
        });
    }
    lines
}

fn status(app: &App, columns: usize, theme: Theme) -> Line<'static> {
    let pane = &app.discovery;
    if let Some(problem) = pane.refused.as_ref().or(pane.state.error.as_ref()) {
        let text = text::keep_start(problem, columns);
        return Line::styled(text, theme.bad());
    }
    let failed = pane.selected().and_then(|found| pane.tracing(&found.name));
    if let Some(Tracing::Failed(problem)) = failed {
        let text = text::keep_start(problem, columns);
        return Line::styled(text, theme.bad());
    }
    let sentence = match pane.ranking() {
        Some(ranking) if pane.state.running => progress(ranking),
        None => "finding the functions that can be probed…".to_owned(),
        Some(ranking) => format!(
            "{} of {} functions were called in {:.1} s; time is a share of that",
            format::count(ranking.functions.len() as u64),
            format::count(ranking.probed as u64),
            ranking.elapsed_ns as f64 / 1e9
        ),
    };
    Line::from(Span::raw(text::keep_start(&sentence, columns)))
}

fn progress(ranking: &Ranking) -> String {
    let doing = match ranking.stage {
        Stage::Scan => "counting calls",
        Stage::Timing => "timing what is called",
        Stage::Watching | Stage::Done => "watching for rare calls",
    };
    format!(
        "{doing} of {} functions, {:.1} s; the probes took {} of one CPU so far",
        format::count(ranking.probed as u64),
        ranking.elapsed_ns as f64 / 1e9,
        format::percent(ranking.cost_ns as f64 / ranking.elapsed_ns.max(1) as f64)
    )
}

fn figures(app: &App, found: &Found, columns: usize) -> String {
    let figures = &found.figures;
    let estimated = if figures.basis == Basis::Measured {
        ""
    } else {
        "≈"
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let calls = format::rate(figures.calls_per_second);
    let calls = match figures.basis {
        Basis::AtLeast => format!(">{calls}"),
        _ => calls,
    };
    let time = figures
        .time_share
        .map(|share| format!("{estimated}{}", format::percent(share)));
    let mean = figures.mean_ns.map(|ns| format::duration_ns(ns as u64));
    let traced = app.functions.iter().any(|row| row.name == found.name);
    let mark = match app.discovery.tracing(&found.name) {
        _ if traced => "traced",
        Some(Tracing::Asked) => "attaching",
        Some(Tracing::Traced) => "traced",
        Some(Tracing::Failed(_)) => "refused",
        None => "",
    };
    row(
        columns,
        &found.name,
        [&calls, &or_dash(time), &or_dash(mean)],
        mark,
    )
}

fn row(columns: usize, name: &str, figures: [&str; 3], mark: &str) -> String {
    const FIGURES: [usize; 3] = [12, 8, 9];
    const MARK: usize = 10;
    let rest: usize = FIGURES.iter().sum::<usize>() + FIGURES.len() + MARK;
    let width = columns.saturating_sub(rest);
    let mut line = text::left(&text::function_name(name, width), width);
    for (figure, width) in figures.into_iter().zip(FIGURES) {
        line.push(' ');
        line.push_str(&text::right(figure, width));
    }
    line.push(' ');
    line.push_str(&text::left(mark, MARK - 1));
    line
}
