//! Help, warnings and single stacks, drawn over the panes.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Padding, Paragraph},
};

use super::{Theme, discovery, instances, stacks, text, time};
use crate::{
    export::{format, story_text},
    query::{Call, LossRow},
    tui::state::{App, Overlay},
};

/// Widest text of an overlay with sentences, in columns.
const SENTENCES: u16 = 76;

/// Widest overlay with rows, and with stacks.
const ROWS: u16 = 120;
const STACKS: u16 = 160;

/// Draws the open overlay, if one is.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, theme: Theme) {
    let Some(overlay) = app.overlay.clone() else {
        return;
    };
    let content = Content::of(&overlay, app, area.width.saturating_sub(4), theme);
    let width = (content.columns + 4).min(area.width);
    let height = (content.lines.len() as u16 + 2).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let block = Block::bordered()
        .title(Span::styled(format!(" {} ", content.title), theme.strong()))
        .padding(Padding::horizontal(1));
    app.measured.overlay_rows = usize::from(height.saturating_sub(2));
    app.measured.overlay_lines = content.lines.len();
    if matches!(overlay, Overlay::Discovery) {
        // The selected function stays in sight.
        let line = app.discovery.selected + discovery::HEAD + 1;
        app.overlay_scroll = line.saturating_sub(app.measured.overlay_rows);
    }
    let hidden = app
        .measured
        .overlay_lines
        .saturating_sub(app.measured.overlay_rows);
    app.overlay_scroll = app.overlay_scroll.min(hidden);
    frame.render_widget(Clear, place);
    frame.render_widget(
        Paragraph::new(content.lines)
            .block(block)
            .scroll((app.overlay_scroll as u16, 0)),
        place,
    );
}

/// What an overlay shows.
struct Content {
    title: &'static str,
    /// Width of the text.
    columns: u16,
    lines: Vec<Line<'static>>,
}

impl Content {
    /// In no more than `room` columns.
    fn of(overlay: &Overlay, app: &App, room: u16, theme: Theme) -> Self {
        let (title, widest) = match overlay {
            Overlay::Help => ("keys", SENTENCES),
            Overlay::Warnings => ("warnings and losses", SENTENCES),
            Overlay::Discovery => ("discover", ROWS),
            Overlay::Instances => ("instances", ROWS),
            Overlay::Story { .. } => ("what happened during the call", STACKS),
            Overlay::Stack { call: Some(_), .. } => ("call", STACKS),
            Overlay::Stack { call: None, .. } => ("stack", STACKS),
        };
        let columns = room.min(widest);
        let lines = match overlay {
            Overlay::Help => help(theme),
            Overlay::Warnings => warnings(app, columns.into(), theme),
            Overlay::Discovery => discovery::lines(app, columns.into(), theme),
            Overlay::Instances => instances::lines(app, columns.into(), theme),
            Overlay::Story { story: None, .. } => vec![Line::styled("reading…", theme.dim())],
            Overlay::Story {
                story: Some(story), ..
            } => story_text(story, Some(columns))
                .lines()
                .map(|line| Line::raw(line.to_owned()))
                .collect(),
            Overlay::Stack {
                id,
                call,
                frames,
                truncated,
            } => {
                let mut lines = Vec::new();
                if let Some(call) = call {
                    lines.push(call_facts(call, app, theme));
                    lines.push(Line::default());
                }
                match (id, frames) {
                    (None, None) => lines.push(Line::raw("No stack was taken for this call.")),
                    (_, None) => lines.push(Line::styled("reading…", theme.dim())),
                    (_, Some(frames)) if frames.is_empty() => {
                        lines.push(Line::raw("This stack is no longer stored."));
                    }
                    (_, Some(frames)) => {
                        lines.extend(stacks::frames(frames, *truncated, columns, theme));
                    }
                }
                lines
            }
        };
        Self {
            title,
            columns,
            lines,
        }
    }
}

fn help(theme: Theme) -> Vec<Line<'static>> {
    const KEYS: [(&str, &str); 22] = [
        ("↑ ↓  j k", "move; PgUp PgDn, Home End go further"),
        (
            "Enter",
            "from the table into the detail; there: open the stack",
        ),
        ("Esc", "back to the table; there: clear the filter"),
        (
            "Tab  1 to 6",
            "latency, time, stacks, calls, flame, why (Shift-Tab, ← → too)",
        ),
        ("/", "filter functions by name; capitals make case count"),
        ("< >", "sort by the column to the left or right"),
        ("r  n", "reverse the order; sort by name"),
        ("t", "window: whole session, last 10 s, 1 min, 5 min"),
        (
            "p  Space",
            "pause: the figures stand still; monigo records on",
        ),
        ("m", "weigh stacks by time, calls, on CPU, off CPU"),
        (
            "in a flame",
            "↑↓←→ move, Enter zoom, Esc all, s n search, f flip, c callers",
        ),
        ("L", "histogram bars by the logarithm of the count"),
        ("z", "zoom: the pane in use fills the screen"),
        (
            "w  d  i",
            "warnings and losses; discover what else is called; instances",
        ),
        ("q  Ctrl-C", "quit"),
        ("", ""),
        ("calls", "completed calls, exact; percentiles are within 3%"),
        ("≈  <", "estimated; below what can be told from none"),
        ("self", "total without time in other traced functions"),
        ("in flight", "begun, not yet ended"),
        ("unwound", "ended by a panic, an exception or longjmp"),
        ("begun earlier", "ended now, begun before monigo attached"),
    ];
    KEYS.iter()
        .map(|(key, what)| {
            Line::from(vec![
                Span::styled(text::left(key, 15), theme.key()),
                Span::raw(*what),
            ])
        })
        .collect()
}

fn warnings(app: &App, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut paragraph = |head: Option<String>, sentence: &str| {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        if let Some(head) = head {
            lines.push(Line::styled(head, theme.strong()));
        }
        lines.extend(wrap(sentence, columns).into_iter().map(Line::raw));
    };
    if let Some(problem) = &app.problem {
        let sentence = format!("{problem}. The figures are those of the last good answer.");
        paragraph(Some("reading failed".to_owned()), &sentence);
    }
    for panic in &app.panics {
        paragraph(Some("a part of monigo failed".to_owned()), panic);
    }
    if let Some(overview) = &app.overview {
        for warning in &overview.warnings {
            paragraph(None, warning);
        }
        for loss in &overview.losses {
            let head = format!("{} lost: {}", format::count(loss.count), loss.cause);
            paragraph(Some(head), explain(loss));
        }
    }
    if lines.is_empty() {
        lines.push(Line::raw("Nothing to warn of, and nothing was lost."));
    }
    lines
}

/// What a loss means for the figures on screen.
fn explain(loss: &LossRow) -> &'static str {
    use monigo_common::event::Loss;
    let known = Loss::ALL.into_iter().find(|it| it.name() == loss.cause);
    match known {
        Some(Loss::RingFull) => {
            "Recorded calls that did not fit into the ring buffer. Counts and percentiles are \
             still exact; stacks and the list of slow calls miss these."
        }
        Some(Loss::OwnersFull) => {
            "Calls that were not measured because too many threads or goroutines had open calls."
        }
        Some(Loss::DeepFull) => {
            "Calls that were not measured because too many calls were nested deeply."
        }
        Some(Loss::StackFailed) => {
            "Recorded calls without a stack, because walking it failed. Everything else about \
             them is right."
        }
        Some(Loss::GoroutineUnreadable) => {
            "Calls that were not measured because the goroutine could not be read."
        }
        Some(Loss::OffCpuFull) => {
            "Time off CPU that was not recorded because too many threads waited inside traced \
             functions."
        }
        Some(Loss::ReturnDepth) => {
            "Calls that were not counted because they were nested too deeply for return probes, \
             until monigo replaced those."
        }
        Some(Loss::HistogramsFull) => {
            "Calls without a percentile: more functions were called than there are histograms. \
             Counts, totals, shortest and longest are exact."
        }
        Some(Loss::FuturesFull) => {
            "Executions of async functions that were not measured: too many were open, or their \
             state could not be read. Polls are counted all the same."
        }
        None => "See the documentation for this cause.",
    }
}

fn call_facts(call: &Call, app: &App, theme: Theme) -> Line<'static> {
    let mut facts = vec![
        (
            "took",
            format::measured_ns(call.duration_ns, app.floor_ns(call.function)),
        ),
        ("at", time::of_day_ms(call.start_ns, &app.zone)),
        ("pid", call.pid.to_string()),
        ("tid", call.tid.to_string()),
    ];
    if let Some(goid) = call.goid {
        facts.push(("goroutine", goid.to_string()));
    }
    facts.push(("cpu", call.cpu.to_string()));
    let mut spans = Vec::new();
    for (label, value) in facts {
        spans.push(Span::styled(format!("{label} "), theme.dim()));
        spans.push(Span::raw(format!("{value}  ")));
    }
    Line::from(spans)
}

/// Breaks at spaces so that no line is wider than `columns`, unless a word is.
pub(super) fn wrap(sentence: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for part in sentence.lines() {
        let mut line = String::new();
        for word in part.split_whitespace() {
            if !line.is_empty() && text::width(&line) + 1 + text::width(word) > columns {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_help_is_cut() {
        for line in help(Theme::new(true, true)) {
            assert!(line.width() <= usize::from(SENTENCES), "{line}");
        }
    }
}
