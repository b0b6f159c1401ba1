//! What a latency should be.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{config::Span, query::Latency};

/// A figure of a function's latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Mean.
    Mean,
    /// Median.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// The longest call.
    Max,
}

impl Statistic {
    const ALL: [Self; 6] = [
        Self::Mean,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
    ];

    /// As users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
        }
    }

    /// This figure of a latency, ns.
    pub const fn of(self, latency: &Latency) -> u64 {
        match self {
            Self::Mean => latency.mean,
            Self::P50 => latency.p50,
            Self::P90 => latency.p90,
            Self::P99 => latency.p99,
            Self::P999 => latency.p999,
            Self::Max => latency.max,
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a figure of a function's latency should stay below: `main.handle p99 < 50ms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Objective {
    /// Full name of the function, or the end of it after `::`, `.` or `/`.
    pub function: String,
    /// Which figure.
    pub statistic: Statistic,
    /// What it should be less than.
    pub below: Span,
}

/// Why a text is no objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// Not of the form.
    #[error("'{text}' is no objective; write it as 'FUNCTION p99 < 50ms'")]
    Form {
        /// As written.
        text: String,
    },
    /// No such figure.
    #[error(
        "'{statistic}' in '{text}' is no figure of a latency; there are mean, p50, p90, p99, p999 and max"
    )]
    Statistic {
        /// As written.
        statistic: String,
        /// The whole.
        text: String,
    },
    /// Not a duration.
    #[error("the limit in '{text}' is no duration: {reason}")]
    Limit {
        /// The whole.
        text: String,
        /// Why.
        reason: String,
    },
}

impl Objective {
    /// The limit in ns.
    pub fn below_ns(&self) -> u64 {
        u64::try_from(self.below.as_ns()).unwrap_or(u64::MAX)
    }

    /// Whether it is about the function of this full name.
    pub fn is_about(&self, name: &str) -> bool {
        let head = name.strip_suffix(self.function.as_str());
        head.is_some_and(|head| head.is_empty() || head.ends_with([':', '.', '/']))
    }
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let form = || ObjectiveError::Form {
            text: text.to_owned(),
        };
        // From the end: names of functions can hold anything.
        let (left, limit) = text.rsplit_once('<').ok_or_else(form)?;
        let (function, statistic) = left
            .trim()
            .rsplit_once(char::is_whitespace)
            .ok_or_else(form)?;
        let function = function.trim();
        if function.is_empty() {
            return Err(form());
        }
        let known = Statistic::ALL
            .into_iter()
            .find(|known| known.name() == statistic)
            .ok_or_else(|| ObjectiveError::Statistic {
                statistic: statistic.to_owned(),
                text: text.to_owned(),
            })?;
        let below = limit
            .trim()
            .parse::<Span>()
            .map_err(|error| ObjectiveError::Limit {
                text: text.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            function: function.to_owned(),
            statistic: known,
            below,
        })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} < {}", self.function, self.statistic, self.below)
    }
}

impl Serialize for Objective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Objective {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
