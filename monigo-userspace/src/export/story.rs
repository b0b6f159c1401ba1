//! A call's story as a waterfall in text.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use super::format::duration_ns;
use crate::query::{Activity, Call, CallKey, NestedCall, Story, StoryEvent};

/// Columns of the bar of the whole call.
const BAR: usize = 40;
/// Width where there is no terminal.
const WIDTH: u16 = 140;

/// Something that happened.
struct Line {
    at_ns: u64,
    /// Length of the bar.
    duration_ns: u64,
    /// What its figure says.
    shown: String,
    depth: u32,
    label: String,
    fill: char,
}

impl Line {
    /// A call that begins `at_ns` after the outermost one.
    fn of_call(name: &str, call: &Call, at_ns: u64, span_ns: u64, depth: u32) -> Self {
        Self {
            at_ns,
            duration_ns: span_ns,
            shown: duration_ns(call.duration_ns),
            depth,
            label: name.to_owned(),
            fill: '█',
        }
    }

    fn of_sample(event: &StoryEvent, depth: u32) -> Self {
        let running = is_running(event);
        Self {
            at_ns: event.at_ns,
            duration_ns: event.duration_ns,
            shown: match (running, event.duration_ns) {
                (true, _) => "1 smp".to_owned(),
                (false, 0) => "< 1 ms".to_owned(),
                (false, ns) => duration_ns(ns),
            },
            depth,
            label: label(event),
            fill: match (running, event.drawn) {
                (true, _) => '▒',
                (false, true) => '·',
                (false, false) => '░',
            },
        }
    }
}

/// The story for people, one line for each nested call and each thing it did.
pub fn story_text(story: &Story, width: Option<u16>) -> String {
    let call = &story.call;
    let width = usize::from(width.unwrap_or(WIDTH)).max(BAR + 40);
    let mut facts = format!(", {}", duration_ns(call.duration_ns));
    let _ = write!(facts, ", pid {}, thread {}", call.pid, call.tid);
    if let Some(goid) = call.goid {
        let _ = write!(facts, ", goroutine {goid}");
    }
    // The name of a C++ function may be longer than the line.
    let name = cut(&story.function, width.saturating_sub(facts.width()));
    let mut text = format!("{name}{facts}\ncall {}", CallKey::from(call));
    let started = jiff::Timestamp::from_nanosecond(call.start_ns.into());
    if let Ok(started) = started {
        let _ = write!(text, ", started {started:.6}");
    }
    text.push_str("\n\n");
    let mut lines = lines(story);
    lines.sort_by_key(|line| (line.at_ns, line.depth));
    let whole = story.span_ns.max(1);
    for line in lines {
        let bar = bar(line.at_ns, line.duration_ns, whole, line.fill);
        let indent = "  ".repeat(line.depth as usize);
        let head = format!(
            "{:>9} {} {:>9}  ",
            format!("+{}", duration_ns(line.at_ns)),
            bar,
            line.shown
        );
        let room = width.saturating_sub(head.width() + indent.len());
        let _ = writeln!(text, "{head}{indent}{}", cut(&line.label, room));
    }
    let _ = writeln!(
        text,
        "\n{} of it is in samples",
        duration_ns(story.sampled_ns.min(call.duration_ns))
    );
    text.push_str("█ a call, ▒ running, ░ waiting, · a short wait that stands for others, too\n");
    for note in &story.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn lines(story: &Story) -> Vec<Line> {
    let whole = Line::of_call(&story.function, &story.call, 0, story.span_ns, 0);
    let nested = |nested: &NestedCall| {
        let (at_ns, span_ns) = (nested.from_ns, nested.span_ns);
        Line::of_call(&nested.function, &nested.call, at_ns, span_ns, nested.depth)
    };
    let mut lines = vec![whole];
    lines.extend(story.nested.iter().map(nested));
    // Samples on CPU in a row at one place are shown together.
    let mut last: Option<(usize, &str, u64)> = None;
    for event in &story.events {
        let inside = story.nested.iter().filter(|nested| {
            nested.from_ns <= event.at_ns && event.at_ns < nested.from_ns + nested.span_ns
        });
        let depth = 1 + inside.map(|nested| nested.depth).max().unwrap_or(0);
        let running = is_running(event);
        if running
            && let Some((at, place, samples)) = &mut last
            && *place == event.place
            && let Some(line) = lines.get_mut(*at)
            && line.depth == depth
        {
            *samples += 1;
            line.duration_ns = event.at_ns - line.at_ns + event.weight_ns;
            line.shown = format!("{samples} smp");
            continue;
        }
        last = running.then_some((lines.len(), event.place.as_str(), 1));
        lines.push(Line::of_sample(event, depth));
    }
    lines
}

fn is_running(event: &StoryEvent) -> bool {
    event.activity == Activity::Running
}

/// What was done, where, and how it ended.
fn label(event: &StoryEvent) -> String {
    let mut label = format!("{} in {}", event.label(), event.place);
    if let Some(reason) = &event.reason {
        let _ = write!(label, " ({reason})");
    }
    if let Some(waker) = &event.waker {
        let _ = write!(label, "; woken by {waker}");
    }
    if event.runnable_ns > event.duration_ns / 10 && event.runnable_ns < event.duration_ns {
        let _ = write!(label, ", then {} for a CPU", duration_ns(event.runnable_ns));
    }
    label
}

fn bar(at_ns: u64, duration_ns: u64, whole_ns: u64, fill: char) -> String {
    let column = |ns: u64| ((ns as f64 / whole_ns as f64) * BAR as f64) as usize;
    let from = column(at_ns).min(BAR - 1);
    let to = column(at_ns.saturating_add(duration_ns)).clamp(from + 1, BAR);
    let mut bar = String::with_capacity(BAR * 3 + 2);
    bar.push('│');
    for at in 0..BAR {
        bar.push(if (from..to).contains(&at) { fill } else { ' ' });
    }
    bar.push('│');
    bar
}

fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.push('…');
    short
}
