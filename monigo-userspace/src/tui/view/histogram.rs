//! Latency histogram: one bar a row, latency on a logarithmic axis from the top down.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Theme, note, text};
use crate::{
    export::format,
    query::{Bucket, FunctionRow, Latency},
    tui::state::{App, DetailKey},
};

/// Steps within a factor of ten, in thousandths, finest first. All of them are preferred numbers,
/// so that the axis reads 1, 2, 5 or the like.
const STEPS: [&[u64]; 5] = [
    &[1000, 1250, 1600, 2000, 2500, 3200, 4000, 5000, 6300, 8000],
    &[1000, 1500, 2000, 3000, 5000, 7000],
    &[1000, 2000, 5000],
    &[1000, 3000],
    &[1000],
];

/// A row: calls with a duration in `[low_ns, high_ns)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bin {
    low_ns: u64,
    high_ns: u64,
    count: u64,
}

/// Draws it.
pub fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &App,
    key: DetailKey,
    row: &FunctionRow,
    theme: Theme,
) {
    let Some(buckets) = app.detail.histogram(key) else {
        return note(frame, area, "reading…", theme);
    };
    let bins = bins(buckets, usize::from(area.height.saturating_sub(1)));
    if bins.is_empty() {
        return note(frame, area, "No call completed in this window.", theme);
    }
    let log = app.detail.log_bars;
    let mut lines = vec![heading(log, theme)];
    lines.extend(rows(&bins, &row.latency_ns, log, area.width, theme));
    frame.render_widget(Paragraph::new(lines), area);
}

fn heading(log: bool, theme: Theme) -> Line<'static> {
    let scale = if log {
        "calls, logarithmic bars"
    } else {
        "calls"
    };
    Line::styled(format!("{}  {scale}", text::right("from", 9)), theme.dim())
}

fn rows(
    bins: &[Bin],
    latency: &Latency,
    log: bool,
    columns: u16,
    theme: Theme,
) -> Vec<Line<'static>> {
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1);
    let count_width = text::width(&format::count(most)).max(5);
    let marks: Vec<String> = bins.iter().map(|bin| marks(bin, latency)).collect();
    let mark_width = marks
        .iter()
        .map(|mark| text::width(mark))
        .max()
        .unwrap_or(0);
    // Label and axis, count, percentage, percentile marks.
    let fixed = 11 + 1 + count_width + 2 + 5 + 2 + mark_width;
    let room = usize::from(columns).saturating_sub(fixed).max(4);
    let length = |count: u64| {
        if log {
            (count as f64).ln_1p() / (most as f64).ln_1p()
        } else {
            count as f64 / most as f64
        }
    };
    bins.iter()
        .zip(marks)
        .map(|(bin, mark)| {
            let share = bin.count as f64 / total.max(1) as f64;
            let quiet = bin.count == 0;
            let count = if quiet {
                String::new()
            } else {
                format::count(bin.count)
            };
            let percent = if quiet {
                String::new()
            } else {
                format::percent(share)
            };
            Line::from(vec![
                Span::raw(text::right(&axis(bin.low_ns), 9)),
                Span::styled(" │", theme.dim()),
                Span::styled(
                    text::left(&text::bar(length(bin.count), room), room),
                    theme.bar(),
                ),
                Span::raw(format!(" {}", text::right(&count, count_width))),
                Span::styled(format!("  {}", text::right(&percent, 5)), theme.dim()),
                Span::styled(format!("  {mark}"), theme.strong()),
            ])
        })
        .collect()
}

/// Percentiles that lie in a row.
fn marks(bin: &Bin, latency: &Latency) -> String {
    [
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
    ]
    .into_iter()
    .filter(|&(_, ns)| (bin.low_ns..bin.high_ns).contains(&ns))
    .map(|(label, _)| label)
    .collect::<Vec<_>>()
    .join(" ")
}

/// Merges buckets into at most `rows` rows, as fine as fits. A bucket belongs to the row that its
/// middle is in, so edges are as exact as the buckets themselves.
fn bins(buckets: &[Bucket], rows: usize) -> Vec<Bin> {
    let middle = |bucket: &Bucket| bucket.low_ns + (bucket.high_ns - bucket.low_ns) / 2;
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return Vec::new();
    };
    let (first, last) = (middle(first), middle(last));
    let mut edges = Vec::new();
    for steps in STEPS {
        edges = edges_over(first, last, steps);
        if edges.len() <= rows + 1 {
            break;
        }
    }
    let mut bins: Vec<Bin> = edges
        .windows(2)
        .map(|edge| Bin {
            low_ns: edge[0],
            high_ns: edge[1],
            count: 0,
        })
        .collect();
    for bucket in buckets {
        let at = bins.partition_point(|bin| bin.high_ns <= middle(bucket));
        if let Some(bin) = bins.get_mut(at) {
            bin.count += bucket.count;
        }
    }
    bins
}

/// Ascending edges such that `first` and `last` lie inside.
fn edges_over(first: u64, last: u64, steps: &[u64]) -> Vec<u64> {
    let mut edges = vec![0];
    let mut decade = 1_u64;
    'all: loop {
        for step in steps {
            let edge = (u128::from(decade) * u128::from(*step) / 1000) as u64;
            if edges.last().is_some_and(|&it| it >= edge) {
                continue;
            }
            if edge <= first {
                edges.clear();
            }
            edges.push(edge);
            if edge > last {
                break 'all;
            }
        }
        let Some(next) = decade.checked_mul(10) else {
            edges.push(u64::MAX);
            break;
        };
        decade = next;
    }
    edges
}

/// An edge of the axis: `250 µs`, `1.6 ms`.
pub fn axis(ns: u64) -> String {
    let (unit, scale) = match ns {
        0..1_000 => ("ns", 1.0),
        1_000..1_000_000 => ("µs", 1e3),
        1_000_000..1_000_000_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let value = format!("{:.2}", ns as f64 / scale);
    let value = value.trim_end_matches('0').trim_end_matches('.');
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(low_ns: u64, high_ns: u64, count: u64) -> Bucket {
        Bucket {
            low_ns,
            high_ns,
            count,
        }
    }

    #[test]
    fn rows_are_as_fine_as_fits() {
        let buckets = [
            bucket(1_048_576, 1_081_344, 5),
            bucket(2_097_152, 2_162_688, 7),
            bucket(9_437_184, 9_699_328, 1),
        ];
        let fine = bins(&buckets, 20);
        assert_eq!(fine.len(), 10);
        assert_eq!(fine[0].low_ns, 1_000_000);
        assert_eq!(fine[9].high_ns, 10_000_000);
        let coarse = bins(&buckets, 4);
        assert_eq!(
            coarse,
            [
                Bin {
                    low_ns: 1_000_000,
                    high_ns: 2_000_000,
                    count: 5
                },
                Bin {
                    low_ns: 2_000_000,
                    high_ns: 5_000_000,
                    count: 7
                },
                Bin {
                    low_ns: 5_000_000,
                    high_ns: 10_000_000,
                    count: 1
                },
            ]
        );
    }

    #[test]
    fn no_call_is_left_out() {
        use monigo_common::histogram::{BUCKETS, bounds};
        let buckets: Vec<Bucket> = (0..BUCKETS)
            .map(|index| {
                let (low, high) = bounds(index);
                bucket(low, high, 1)
            })
            .collect();
        for rows in [3, 10, 40, 400] {
            let bins = bins(&buckets, rows);
            let sum: u64 = bins.iter().map(|bin| bin.count).sum();
            assert_eq!(sum, BUCKETS as u64, "{rows} rows");
            assert!(
                bins.windows(2)
                    .all(|pair| pair[0].high_ns == pair[1].low_ns)
            );
        }
        assert_eq!(bins(&[], 10), []);
    }

    #[test]
    fn axis_labels_are_short() {
        for (ns, label) in [
            (0, "0 ns"),
            (320, "320 ns"),
            (1_250, "1.25 µs"),
            (1_600_000, "1.6 ms"),
            (5_000_000_000, "5 s"),
        ] {
            assert_eq!(axis(ns), label);
        }
    }
}
