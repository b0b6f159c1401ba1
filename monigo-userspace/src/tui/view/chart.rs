//! Rate and p99 over time, as two column charts above one time axis.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, histogram::axis, note, text, time};
use crate::{
    export::format,
    query::SeriesPoint,
    tui::state::{App, DetailKey},
};

/// Columns for the labels of the vertical axis.
const LABELS: u16 = 11;
/// Heights at which an axis may end, within a factor of ten.
const NICE: [f64; 11] = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];

/// Draws both.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, key: DetailKey, theme: Theme) {
    let columns = area.width.saturating_sub(LABELS + 1).max(1);
    app.measured.points = u32::from(columns);
    let Some(points) = app.detail.series(key) else {
        return note(frame, area, "reading…", theme);
    };
    if points.is_empty() {
        return note(frame, area, "Nothing was flushed yet.", theme);
    }
    let [first, second, bottom] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let rates: Vec<f64> = points
        .iter()
        .map(|it| it.calls as f64 * 1e9 / it.step_ns.max(1) as f64)
        .collect();
    let rate = Chart {
        title: "rate",
        values: &rates,
        figure: format::rate,
        label: rate_axis,
        style: theme.bar(),
    };
    rate.draw(frame, first, theme);
    let p99: Vec<f64> = points.iter().map(|it| it.p99 as f64).collect();
    let p99 = Chart {
        title: "p99",
        values: &p99,
        figure: |ns| format::duration_ns(ns as u64),
        label: |ns| axis(ns as u64),
        style: theme.second_bar(),
    };
    p99.draw(frame, second, theme);
    frame.render_widget(Paragraph::new(times(points, columns, app, theme)), bottom);
}

/// Start, middle and end of the time axis.
fn times(points: &[SeriesPoint], columns: u16, app: &App, theme: Theme) -> Line<'static> {
    let columns = usize::from(columns);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Line::default();
    };
    let (start, end) = (first.at_ns, last.at_ns + last.step_ns);
    let of_day = |ns| time::of_day(ns, &app.zone);
    let (start_text, end_text) = (of_day(start), of_day(end));
    let middle_text = of_day(start + (end - start) / 2);
    let label = text::width(&start_text);
    let mut line = " ".repeat(usize::from(LABELS) + 1);
    line.push_str(&start_text);
    if columns >= label * 3 + 8 && middle_text != start_text {
        let before = (columns - label) / 2 - label;
        line.push_str(&" ".repeat(before));
        line.push_str(&middle_text);
        line.push_str(&" ".repeat(columns - label * 3 - before));
    } else {
        line.push_str(&" ".repeat(columns.saturating_sub(label * 2)));
    }
    line.push_str(&end_text);
    Line::styled(line, theme.dim())
}

struct Chart<'a> {
    title: &'static str,
    values: &'a [f64],
    figure: fn(f64) -> String,
    label: fn(f64) -> String,
    style: Style,
}

impl Chart<'_> {
    fn draw(&self, frame: &mut Frame<'_>, area: Rect, theme: Theme) {
        // An even number of rows has a middle to label; the odd one separates the charts.
        let rows = match usize::from(area.height.saturating_sub(1)) {
            odd if odd > 4 => odd & !1,
            few => few,
        };
        let columns = usize::from(area.width.saturating_sub(LABELS + 1));
        if rows == 0 || columns == 0 {
            return;
        }
        let peak = self.values.iter().copied().fold(0.0, f64::max);
        let latest = self.values.last().copied().unwrap_or(0.0);
        let mut lines = vec![Line::from(vec![
            Span::raw(" ".repeat(usize::from(LABELS) + 1)),
            Span::styled(self.title, theme.strong()),
            Span::styled("  latest ", theme.dim()),
            Span::raw((self.figure)(latest)),
            Span::styled("  peak ", theme.dim()),
            Span::raw((self.figure)(peak)),
        ])];
        let top = nice(peak);
        let heights = heights(self.values, columns, top, rows);
        for row in 0..rows {
            // Labels at the top, in the middle and at the bottom of the scale.
            let level = match row {
                0 => Some(top),
                _ if row * 2 == rows && rows >= 4 => Some(top / 2.0),
                _ if row + 1 == rows => Some(0.0),
                _ => None,
            };
            let label = level.map(self.label).unwrap_or_default();
            let tick = if level.is_some() { "┤" } else { "│" };
            let floor = (rows - 1 - row) * 8;
            let bars: String = heights
                .iter()
                .map(|height| block(height.saturating_sub(floor)))
                .collect();
            lines.push(Line::from(vec![
                Span::styled(text::right(&label, usize::from(LABELS) - 1), theme.dim()),
                Span::styled(format!(" {tick}"), theme.dim()),
                Span::styled(bars, self.style),
            ]));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }
}

/// Height of each column in eighths of a row. Values are stretched over the columns; where
/// several share one, the highest counts.
fn heights(values: &[f64], columns: usize, top: f64, rows: usize) -> Vec<usize> {
    (0..columns)
        .map(|column| {
            let from = column * values.len() / columns;
            let to = ((column + 1) * values.len())
                .div_ceil(columns)
                .max(from + 1);
            let to = if values.len() <= columns {
                from + 1
            } else {
                to
            };
            let value = values[from..to.min(values.len())]
                .iter()
                .copied()
                .fold(0.0, f64::max);
            if value <= 0.0 || top <= 0.0 {
                0
            } else {
                ((value / top * (rows * 8) as f64).round() as usize).clamp(1, rows * 8)
            }
        })
        .collect()
}

fn block(eighths: usize) -> char {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    BLOCKS[eighths.min(8)]
}

/// The lowest round number that is not below `peak`; 1 for nothing.
fn nice(peak: f64) -> f64 {
    if !peak.is_finite() || peak <= 0.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(peak.log10().floor());
    NICE.iter()
        .map(|step| step * decade)
        .find(|top| *top >= peak * 0.999_999)
        .unwrap_or(decade * 10.0)
}

fn rate_axis(per_second: f64) -> String {
    if per_second >= 100.0 || per_second.fract() == 0.0 {
        format!("{}/s", format::count(per_second.round() as u64))
    } else {
        let text = format!("{per_second:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text}/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (peak, top) in [
            (0.0, 1.0),
            (0.7, 0.8),
            (1.0, 1.0),
            (1301.0, 1500.0),
            (9_999.0, 10_000.0),
        ] {
            assert!((nice(peak) - top).abs() < 1e-9, "{peak}: {}", nice(peak));
        }
        assert!((nice(f64::NAN) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn few_values_are_stretched_and_many_keep_their_peaks() {
        assert_eq!(heights(&[1.0, 2.0], 4, 2.0, 1), [4, 4, 8, 8]);
        assert_eq!(heights(&[0.0, 2.0, 0.0, 1.0], 2, 2.0, 1), [8, 4]);
        assert_eq!(heights(&[0.0, 1e-9], 2, 2.0, 3), [0, 1]);
    }
}
