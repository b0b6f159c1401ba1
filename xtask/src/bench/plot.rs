//! The picture beside the report.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    attach,
    figure::{Figure, Metric, Summary},
    report::number,
    screen, slowdown, start,
};

const WIDTH: i32 = 1100;
const LEFT: i32 = 330;
const RIGHT: i32 = 110;
const BAR: i32 = 15;
const GAP: i32 = 12;
const HEAD: i32 = 56;
const FOOT: i32 = 34;
const FONT: &str = "sans-serif";
/// Distinct to colour-blind readers too (after Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(130, 130, 130),
    RGBColor(0, 158, 115),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
];

/// Bars of one metric, in groups by subject.
struct Panel<'a> {
    title: &'a str,
    unit: &'a str,
    groups: Vec<(&'a str, Vec<Bar<'a>>)>,
}

struct Bar<'a> {
    tool: &'a str,
    label: String,
    summary: Summary,
}

impl<'a> Panel<'a> {
    fn of(title: &'a str, metric: Metric, case: &str, figures: &'a [Figure]) -> Option<Self> {
        let mut groups: Vec<(&str, Vec<Bar<'_>>)> = Vec::new();
        for figure in figures {
            let Ok(summary) = figure.value else { continue };
            if figure.case != case || figure.metric != metric || summary.median <= 0.0 {
                continue;
            }
            let kills = figures.iter().any(|other| {
                (&other.subject, &other.tool) == (&figure.subject, &figure.tool)
                    && other.metric == slowdown::UNWINDING
                    && other.median() == Some(0.0)
            });
            let tool = figure.tool.as_str();
            let label = tool.split(" (").next().unwrap_or(tool);
            let bar = Bar {
                tool,
                label: format!("{label}{}", if kills { " (kills it)" } else { "" }),
                summary,
            };
            match groups.iter_mut().find(|(name, _)| *name == figure.subject) {
                Some((_, bars)) => bars.push(bar),
                None => groups.push((&figure.subject, vec![bar])),
            }
        }
        (!groups.is_empty()).then_some(Self {
            title,
            unit: metric.unit,
            groups,
        })
    }

    fn height(&self) -> i32 {
        let bars: usize = self.groups.iter().map(|(_, bars)| bars.len()).sum();
        HEAD + FOOT + bars as i32 * BAR + self.groups.len() as i32 * (GAP + BAR)
    }

    /// Powers of ten below and above all bars.
    fn decades(&self) -> (i32, i32) {
        let medians = || {
            self.groups.iter().flat_map(|(_, bars)| {
                bars.iter()
                    .map(|bar| bar.summary.high.max(bar.summary.median))
            })
        };
        let least = self
            .groups
            .iter()
            .flat_map(|(_, bars)| bars.iter().map(|bar| bar.summary.median))
            .fold(f64::INFINITY, f64::min);
        let most = medians().fold(least, f64::max);
        let low = least.log10().floor() as i32;
        (low, (most.log10().ceil() as i32).max(low + 1))
    }
}

/// Draws what there is; without any figure the picture says so.
pub fn draw(figures: &[Figure], file: &Path) -> Result<()> {
    let panels: Vec<Panel<'_>> = [
        ("Slowdown of a traced call", slowdown::ADDED, slowdown::NAME),
        (
            "Time in kernel programs per call",
            slowdown::PROGRAMS,
            slowdown::NAME,
        ),
        ("From start to probes in place", attach::TOTAL, attach::NAME),
        ("From start to first number", start::FIRST, start::NAME),
        (
            "From start to first name on the screen",
            screen::FIRST_NAME,
            screen::NAME,
        ),
    ]
    .into_iter()
    .filter_map(|(title, metric, case)| Panel::of(title, metric, case, figures))
    .collect();
    let height = panels.iter().map(Panel::height).sum::<i32>().max(HEAD);
    let root = SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(drawn)?;
    if panels.is_empty() {
        text(&root, "nothing was measured", (20, 20), 14, HPos::Left)?;
    }
    let mut top = 0;
    for panel in &panels {
        panel.draw(&root, top)?;
        top += panel.height();
    }
    root.present().map_err(drawn)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Panel<'_> {
    fn draw(&self, root: &Area<'_>, top: i32) -> Result<()> {
        let (low, high) = self.decades();
        let place = |value: f64| {
            let share = (value.log10() - f64::from(low)) / f64::from(high - low);
            LEFT + (share.clamp(0.0, 1.0) * f64::from(WIDTH - LEFT - RIGHT)) as i32
        };
        let bottom = top + self.height() - FOOT;
        let title = format!("{}, {} (logarithmic)", self.title, self.unit);
        text(root, &title, (16, top + 20), 17, HPos::Left)?;
        for decade in low..=high {
            let value = 10f64.powi(decade);
            let x = place(value);
            root.draw(&PathElement::new(
                vec![(x, top + HEAD - 14), (x, bottom)],
                BLACK.mix(0.15),
            ))
            .map_err(drawn)?;
            let label = if value < 1.0 {
                value.to_string()
            } else {
                number(value).replace(".00", "").replace(".0", "")
            };
            text(root, &label, (x, bottom + 12), 12, HPos::Center)?;
        }
        let mut tools: Vec<&str> = Vec::new();
        let mut y = top + HEAD - 10;
        for (subject, bars) in &self.groups {
            text(root, subject, (16, y + BAR / 2), 13, HPos::Left)?;
            y += BAR;
            for bar in bars {
                let summary = &bar.summary;
                let colour = COLOURS[colour_of(bar.tool, &mut tools) % COLOURS.len()];
                let middle = y + BAR / 2;
                text(root, &bar.label, (LEFT - 8, middle), 12, HPos::Right)?;
                root.draw(&Rectangle::new(
                    [(LEFT, y + 1), (place(summary.median), y + BAR - 2)],
                    colour.filled(),
                ))
                .map_err(drawn)?;
                if summary.samples > 1 {
                    root.draw(&PathElement::new(
                        vec![
                            (place(summary.low.max(f64::MIN_POSITIVE)), middle),
                            (place(summary.high), middle),
                        ],
                        BLACK.stroke_width(1),
                    ))
                    .map_err(drawn)?;
                }
                let end = place(summary.median.max(summary.high)) + 6;
                text(root, &number(summary.median), (end, middle), 12, HPos::Left)?;
                y += BAR;
            }
            y += GAP;
        }
        Ok(())
    }
}

/// A tool has one colour in a panel.
fn colour_of<'a>(tool: &'a str, tools: &mut Vec<&'a str>) -> usize {
    tools
        .iter()
        .position(|known| *known == tool)
        .unwrap_or_else(|| {
            tools.push(tool);
            tools.len() - 1
        })
}

fn text(root: &Area<'_>, words: &str, at: (i32, i32), size: i32, anchor: HPos) -> Result<()> {
    let style = (FONT, size)
        .into_text_style(root)
        .color(&BLACK)
        .pos(Pos::new(anchor, VPos::Center));
    root.draw(&Text::new(words.to_owned(), at, style))
        .map_err(drawn)
}

fn drawn(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::Figures;

    #[test]
    fn a_plot_shows_every_bar() -> Result<()> {
        let mut figures = Figures::new(slowdown::NAME);
        figures.add(
            "C push",
            "monigo",
            slowdown::ADDED,
            &[900.0, 1000.0, 1100.0],
        );
        figures.add("C push", "bpftrace", slowdown::ADDED, &[2400.0]);
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("report.svg");
        draw(&figures.into_vec(), &file)?;
        let svg = std::fs::read_to_string(&file)?;
        for words in ["C push", "monigo", "bpftrace", "1,000", "2,400"] {
            assert!(svg.contains(words), "{words} is missing in {svg}");
        }
        Ok(())
    }
}
