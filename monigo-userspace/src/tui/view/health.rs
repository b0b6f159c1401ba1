//! Two rows about health: what the service and the host use, and how that scores.

use ratatui::{Frame, layout::Rect, text::Span, widgets::Paragraph};

use super::{Theme, ends, text};
use crate::{
    export::format,
    service::{Health, Metrics},
    tui::state::App,
};

/// Screens with fewer rows need them for functions.
const LEAST_ROWS: u16 = 20;

/// Rows that it takes on a screen of this height.
pub fn rows(app: &App, height: u16) -> u16 {
    if app.metrics.is_some() && height >= LEAST_ROWS {
        2
    } else {
        0
    }
}

/// Draws it into two lines, or nothing.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let Some(metrics) = &app.metrics else { return };
    if area.height == 0 {
        return;
    }
    let lines = vec![
        line(
            "service",
            &metrics.health.service_health,
            service(metrics),
            area.width,
            theme,
        ),
        line(
            "system",
            &metrics.health.system_health,
            system(metrics),
            area.width,
            theme,
        ),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

/// Whole phrases, as many as fit; a breach comes first.
fn line(
    name: &str,
    health: &Health,
    mut phrases: Vec<String>,
    columns: u16,
    theme: Theme,
) -> ratatui::text::Line<'static> {
    let style = match health.percent {
        _ if !health.healthy => theme.bad(),
        percent if percent < 70.0 => theme.warning(),
        _ => theme.good(),
    };
    let score = format!("{:>3.0}% {}", health.percent, health.message);
    let mut spans = vec![
        Span::styled(format!(" {name:<8}"), theme.dim()),
        Span::styled(format!("{score:<17} "), style),
    ];
    if let Some(breach) = health.breaches.first() {
        phrases.insert(0, breach.clone());
    }
    let room = usize::from(columns).saturating_sub(text::spans_width(&spans));
    while phrases.len() > 1 && text::width(&phrases.join(" · ")) > room {
        phrases.pop();
    }
    spans.push(Span::raw(text::keep_start(&phrases.join(" · "), room)));
    ends(spans, Vec::new(), columns)
}

fn service(metrics: &Metrics) -> Vec<String> {
    let (load, memory) = (&metrics.load_statistics, &metrics.memory_statistics);
    let core = &metrics.core_statistics;
    let mut phrases = vec![
        format!(
            "CPU {} of {}",
            percent(load.service_cpu_load_percent),
            cores(metrics.cpu_statistics.cores_limit)
        ),
        format!(
            "RAM {} ({})",
            format::bytes(memory.memory_used_by_service_bytes),
            percent(load.service_memory_load_percent)
        ),
    ];
    phrases.push(match core.goroutines {
        Some(count) => plural(count, "goroutine"),
        None => plural(core.threads, "thread"),
    });
    if let Some(disk) = &metrics.disk_io.service {
        phrases.push(format!(
            "disk {}/s read, {}/s written",
            format::bytes(disk.read_bytes_per_second as u64),
            format::bytes(disk.written_bytes_per_second as u64)
        ));
    }
    if core.processes != 1 {
        phrases.push(format!(
            "{} process{}",
            format::count(core.processes),
            if core.processes == 1 { "" } else { "es" }
        ));
    }
    phrases
}

fn system(metrics: &Metrics) -> Vec<String> {
    let (load, memory) = (&metrics.load_statistics, &metrics.memory_statistics);
    let mut phrases = vec![
        format!(
            "CPU {} of {}",
            percent(load.system_cpu_load_percent),
            cores(f64::from(metrics.cpu_statistics.total_logical_cores))
        ),
        format!(
            "RAM {} ({})",
            format::bytes(memory.memory_used_by_system_bytes),
            percent(load.system_memory_load_percent)
        ),
    ];
    if let Some(disk) = load.system_disk_load_percent {
        phrases.push(format!("disk space {}", percent(disk)));
    }
    phrases
}

fn percent(value: f64) -> String {
    format::percent(value / 100.0)
}

/// `2`, `0.5`.
fn cores(count: f64) -> String {
    let text = format!("{count:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

fn plural(count: u64, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{} {what}{end}", format::count(count))
}
