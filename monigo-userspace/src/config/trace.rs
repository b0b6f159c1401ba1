//! Section `[trace]`: how functions are measured.

use std::{fmt, str::FromStr};

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Section `[trace]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceSettings {
    /// 1 call in this many is recorded in full; `None` adapts to the rate of calls.
    pub sampling_rate: Option<u32>,
    /// What the probes may take from each traced process.
    pub max_overhead: Share,
    /// Whether every call is timed.
    pub latency: LatencyMode,
    /// How stacks are taken.
    pub stacks: StackMode,
    /// How the end of a call is seen.
    pub exit_probe: ExitMode,
    /// Looks at each CPU per second, 0 to 10,000.
    pub cpu_hz: u32,
    /// Whether waits inside traced functions are recorded.
    pub off_cpu: bool,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            sampling_rate: None,
            max_overhead: Share(Some(0.05)),
            latency: LatencyMode::Exact,
            stacks: StackMode::Auto,
            exit_probe: ExitMode::Auto,
            cpu_hz: 99,
            off_cpu: true,
        }
    }
}

impl TraceSettings {
    /// Values out of their range: name and sentence.
    pub(super) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.sampling_rate == Some(0) {
            let text = "it must be at least 1: 1 call in this many is recorded in full";
            wrong.push(("sampling_rate", text.to_owned()));
        }
        if self.cpu_hz > 10_000 {
            wrong.push(("cpu_hz", "it must be between 0 and 10000".to_owned()));
        }
        wrong
    }
}

/// How stacks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StackMode {
    /// The best that the target's code allows
    Auto,
    /// Follow frame pointers
    Fp,
    /// Copy the stack and unwind it by the program's unwind tables
    Dwarf,
    /// No stacks
    Off,
}

/// Which calls are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatencyMode {
    /// Of every call
    Exact,
    /// Of the calls in a tenth of the time; counts stay exact, and probes cost the least
    Windows,
}

/// How the end of a call is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitMode {
    /// The cheapest that is safe for the target
    Auto,
    /// Probe every return and leaving jump
    Ret,
    /// Replace return addresses: fatal for Go, and for C++ or Rust that unwinds
    Uretprobe,
}

/// A share of one CPU; 0.05 for `5%`, `None` for `off`. Above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub Option<f64>);

/// Why a text is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a percentage of one CPU above 0, for example 2%, or off")]
pub struct ShareError;

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        if text == "off" {
            return Ok(Self(None));
        }
        let number = text.strip_suffix('%').ok_or(ShareError)?;
        let percent: f64 = number.trim().parse().map_err(|_| ShareError)?;
        if !percent.is_finite() || percent <= 0.0 {
            return Err(ShareError);
        }
        Ok(Self(Some(percent / 100.0)))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.pad("off"),
            // Shares come from percentages; this takes back the error of dividing.
            Some(share) => f.pad(&format!("{}%", (share * 1e11).round() / 1e9)),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (text, share) in [("5%", Some(0.05)), ("0.5%", Some(0.005)), ("off", None)] {
            assert_eq!(text.parse(), Ok(Share(share)));
            assert_eq!(Share(share).to_string(), text);
        }
        assert_eq!(Share(Some(0.07)).to_string(), "7%");
        for bad in ["", "5", "%", "-1%", "0%", "inf%", "NaN%", "on"] {
            assert!(bad.parse::<Share>().is_err(), "{bad:?}");
        }
    }
}
