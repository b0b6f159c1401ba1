//! What a case hands to the report: figures with a unit, or the reason why there is none.

use anyhow::Error;
use serde_json::{Value, json};

/// The middle of several measurements and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Median.
    pub median: f64,
    /// First quartile.
    pub low: f64,
    /// Third quartile.
    pub high: f64,
    /// How many measurements.
    pub samples: usize,
}

impl Summary {
    /// Summarizes; `None` of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (
                sorted[place.floor() as usize],
                sorted[place.ceil() as usize],
            );
            below + (above - below) * place.fract()
        };
        Some(Self {
            median: at(0.5),
            low: at(0.25),
            high: at(0.75),
            samples: sorted.len(),
        })
    }
}

/// What is measured, and in which unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Heading of its column.
    pub name: &'static str,
    /// Unit, as the heading shows it.
    pub unit: &'static str,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Name of the case, as `--only` takes it.
    pub case: &'static str,
    /// What was measured on: a target, a number of functions, a rate.
    pub subject: String,
    /// Who was measured.
    pub tool: String,
    /// What of it.
    pub metric: Metric,
    /// The figure, or why there is none.
    pub value: Result<Summary, String>,
    /// What a reader has to know about it.
    pub note: Option<String>,
}

impl Figure {
    /// The median, if there is one.
    pub fn median(&self) -> Option<f64> {
        self.value.as_ref().ok().map(|summary| summary.median)
    }

    /// For the JSON report.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "case": self.case,
            "subject": self.subject,
            "tool": self.tool,
            "metric": self.metric.name,
            "unit": self.metric.unit,
            "note": self.note,
        });
        match &self.value {
            Ok(summary) => {
                value["median"] = json!(summary.median);
                value["quartiles"] = json!([summary.low, summary.high]);
                value["samples"] = json!(summary.samples);
            }
            Err(reason) => value["not_available"] = json!(reason),
        }
        value
    }
}

/// The figures of one case.
pub struct Figures {
    case: &'static str,
    all: Vec<Figure>,
}

impl Figures {
    /// None yet.
    pub fn new(case: &'static str) -> Self {
        Self {
            case,
            all: Vec::new(),
        }
    }

    /// Adds measurements.
    pub fn add(
        &mut self,
        subject: &str,
        tool: &str,
        metric: Metric,
        values: &[f64],
    ) -> &mut Figure {
        let value = Summary::of(values).ok_or_else(|| "nothing was measured".to_owned());
        self.push(subject, tool, metric, value)
    }

    /// Says why there is no measurement.
    pub fn miss(&mut self, subject: &str, tool: &str, metric: Metric, reason: &Error) {
        let reason = format!("{reason:#}");
        eprintln!("    {subject}, {tool}: not available: {reason}");
        self.push(subject, tool, metric, Err(reason));
    }

    fn push(
        &mut self,
        subject: &str,
        tool: &str,
        metric: Metric,
        value: Result<Summary, String>,
    ) -> &mut Figure {
        self.all.push(Figure {
            case: self.case,
            subject: subject.to_owned(),
            tool: tool.to_owned(),
            metric,
            value,
            note: None,
        });
        let last = self.all.len() - 1;
        &mut self.all[last]
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Figure> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_quartiles() {
        let summary = Summary::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).expect("values");
        assert_eq!((summary.low, summary.median, summary.high), (2.0, 3.0, 4.0));
        let two = Summary::of(&[1.0, 2.0]).expect("values");
        assert!((two.median - 1.5).abs() < 1e-9);
        assert_eq!(Summary::of(&[f64::NAN]), None);
    }
}
