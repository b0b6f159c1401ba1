//! Which calls a question is about.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{QueryError, Weight, Window};

/// Which calls to look at, and what of them. Without a range of durations it is about all calls,
/// else about those recorded calls of one function whose duration is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selection {
    /// One function, or all.
    pub function: Option<u32>,
    /// When the calls ended.
    pub window: Window,
    /// What a stack's weight means.
    pub weight: Weight,
    /// Only calls of the function that took at least this, ns.
    #[serde(default)]
    pub slower_than_ns: Option<u64>,
    /// Only calls of the function that took less than this, ns.
    #[serde(default)]
    pub faster_than_ns: Option<u64>,
    /// Only calls of the function that took at least this percentile of its durations within the
    /// window.
    #[serde(default)]
    pub percentile: Option<Percentile>,
    /// Where the stacks begin.
    #[serde(default)]
    pub root: Root,
}

impl Selection {
    /// All calls of a function, or of all.
    pub fn of(function: Option<u32>, window: Window, weight: Weight) -> Self {
        Self {
            function,
            window,
            weight,
            ..Self::default()
        }
    }

    /// Whether it is about calls with certain durations only.
    pub fn is_ranged(&self) -> bool {
        self.slower_than_ns.is_some() || self.faster_than_ns.is_some() || self.percentile.is_some()
    }

    /// What stacks weigh: below a function there is nothing that the stacks at the ends of its
    /// calls could show, so wall-clock time is shown by samples there.
    pub fn shown_weight(&self) -> Weight {
        match (self.weight, self.root) {
            (Weight::Wall, Root::Function) => Weight::Time,
            (weight, _) => weight,
        }
    }

    /// Refuses what contradicts itself.
    pub(super) fn check(&self) -> Result<(), QueryError> {
        let refuse = |why: &str| Err(QueryError::Selection(why.to_owned()));
        if self.function.is_none() && self.is_ranged() {
            return refuse("a range of durations is about the calls of one function; name it");
        }
        if self.function.is_none() && self.root == Root::Function {
            return refuse("stacks can begin at one function only; name it");
        }
        match (self.slower_than_ns, self.percentile, self.faster_than_ns) {
            (Some(_), Some(_), _) => {
                refuse("calls are slow by a duration or by a percentile, not by both")
            }
            (Some(slower), None, Some(faster)) if slower >= faster => {
                refuse("no duration is in this range: its lower end must be below its upper end")
            }
            _ => Ok(()),
        }
    }
}

/// Where the stacks of a flame graph begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// At the outermost caller.
    #[default]
    Callers,
    /// At the traced function.
    Function,
}

/// A percentile of durations, above 0 and below 100, to a thousandth of a percent. Written as a
/// number: `99.9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Percentile(u32);

impl Percentile {
    /// The median.
    pub const MEDIAN: Self = Self(50_000);
    /// The 99th.
    pub const P99: Self = Self(99_000);

    /// `None` unless above 0 and below 100.
    pub fn new(percent: f64) -> Option<Self> {
        let thousandths = (percent * 1000.0).round();
        (1.0..=99_999.0)
            .contains(&thousandths)
            .then_some(Self(thousandths as u32))
    }

    /// As a number, 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// As a share, 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 100_000.0
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.percent())
    }
}

impl FromStr for Percentile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix('p').unwrap_or(text);
        let percent = number.parse().ok().and_then(Self::new);
        percent.ok_or_else(|| {
            "it must be a number above 0 and below 100, for example 99 or 99.9".to_owned()
        })
    }
}

impl Serialize for Percentile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.percent())
    }
}

impl<'de> Deserialize<'de> for Percentile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        Self::new(percent)
            .ok_or_else(|| serde::de::Error::custom("a percentile must be above 0 and below 100"))
    }
}

/// Durations in ns from `low` up to, and without, `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durations {
    pub low: u64,
    pub high: u64,
}

impl Durations {
    pub const ALL: Self = Self {
        low: 0,
        high: u64::MAX,
    };
    pub const NONE: Self = Self {
        low: u64::MAX,
        high: 0,
    };

    /// As the database compares them.
    pub fn signed(self) -> (i64, i64) {
        let signed = |ns| i64::try_from(ns).unwrap_or(i64::MAX);
        (signed(self.low), signed(self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused() {
        let all = Selection::default();
        assert_eq!(all.check(), Ok(()));
        let one = Selection {
            function: Some(1),
            ..all
        };
        let slow = |selection: Selection| Selection {
            slower_than_ns: Some(10),
            ..selection
        };
        assert!(slow(all).check().is_err(), "of which function");
        assert_eq!(slow(one).check(), Ok(()));
        let both = Selection {
            percentile: Some(Percentile::P99),
            ..slow(one)
        };
        assert!(both.check().is_err());
        let empty = Selection {
            faster_than_ns: Some(10),
            ..slow(one)
        };
        assert!(empty.check().is_err());
        let rooted = Selection {
            root: Root::Function,
            ..all
        };
        assert!(rooted.check().is_err());
    }

    #[test]
    fn percentiles() {
        assert_eq!(
            "99.9".parse::<Percentile>().map(Percentile::percent),
            Ok(99.9)
        );
        assert_eq!("p50".parse(), Ok(Percentile::MEDIAN));
        for wrong in ["0", "100", "-1", "x", "NaN", ""] {
            assert!(wrong.parse::<Percentile>().is_err(), "{wrong}");
        }
        let json = serde_json::to_string(&Percentile::P99).expect("serializes");
        assert_eq!(json, "99.0");
        assert_eq!(
            serde_json::from_str::<Percentile>("99").ok(),
            Some(Percentile::P99)
        );
        assert!(serde_json::from_str::<Percentile>("100").is_err());
    }
}
