//! Durations and sizes as people write them.

use std::{fmt, fmt::Write as _, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const SPAN_HELP: &str =
    "write a number with a unit, for example 500ms, 30s, 5m, 1h30m, 7d, 1w or 3month";
const SIZE_HELP: &str = "write a number with a unit, for example 500MB or 2GiB";

/// Why a text is no duration or size. Displays as one sentence with the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a number followed by a unit.
    #[error("{help}")]
    Malformed {
        /// What to write.
        help: &'static str,
    },
    /// The unit is none of those known.
    #[error("unknown unit '{unit}'; {help}")]
    Unit {
        /// As written.
        unit: String,
        /// What to write.
        help: &'static str,
    },
    /// Zero.
    #[error("it must be more than zero")]
    Zero,
    /// A duration of more than 292 years, or a size of 16 EiB or more.
    #[error("that is too much")]
    TooMuch,
}

/// A duration: 1 ns to 292 years. Written as `7d`, `1w`, `12h`, `3month` (of 30 days each), `30s`, `1h30m`
/// or `1.5s`; a number without a unit is refused, since its unit is anyone's guess.
///
/// ```
/// let span: monigo::config::Span = "1h30m".parse()?;
/// assert_eq!(span.duration().as_secs(), 5400);
/// assert_eq!(span.to_string(), "1h30m");
/// # Ok::<(), monigo::config::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Units in ns; those that are displayed stand first for their length, longest first.
const SPAN_UNITS: [(&str, u64); 12] = [
    ("d", DAY_NS),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
    ("month", 30 * DAY_NS),
    ("w", 7 * DAY_NS),
    ("min", 60_000_000_000),
    ("sec", 1_000_000_000),
    ("µs", 1_000),
];
const DAY_NS: u64 = 86_400_000_000_000;
/// Of [`SPAN_UNITS`], those that are displayed.
const SPAN_DISPLAYED: usize = 7;

impl Span {
    /// As a [`Duration`].
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Nanoseconds.
    pub const fn as_ns(self) -> i64 {
        // At most `i64::MAX` by construction.
        self.0.as_nanos() as i64
    }

    /// A span of `seconds`; one second for 0, for use in constants and defaults.
    pub const fn from_secs(seconds: u32) -> Self {
        let seconds = if seconds == 0 { 1 } else { seconds };
        Self(Duration::from_secs(seconds as u64))
    }
}

impl TryFrom<Duration> for Span {
    type Error = ValueError;

    fn try_from(duration: Duration) -> Result<Self, ValueError> {
        if duration.is_zero() {
            return Err(ValueError::Zero);
        }
        i64::try_from(duration.as_nanos()).map_err(|_| ValueError::TooMuch)?;
        Ok(Self(duration))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut total_ns = 0u64;
        let mut rest = text.trim();
        loop {
            let (part_ns, after) = take_quantity(rest, &SPAN_UNITS, SPAN_HELP)?;
            total_ns = total_ns.checked_add(part_ns).ok_or(ValueError::TooMuch)?;
            rest = after;
            if rest.is_empty() {
                return Self::try_from(Duration::from_nanos(total_ns));
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos() as u64;
        let mut text = String::new();
        for (unit, unit_ns) in &SPAN_UNITS[..SPAN_DISPLAYED] {
            let count = rest / unit_ns;
            rest %= unit_ns;
            if count > 0 {
                let _ = write!(text, "{count}{unit}");
            }
        }
        f.pad(&text)
    }
}

/// A number of bytes, at least 1. Written as `500MB` (powers of 1000) or `2GiB` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Units in bytes; those that are displayed stand first.
const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
    ("KB", 1_000),
];
/// Of [`SIZE_UNITS`], those that are displayed.
const SIZE_DISPLAYED: usize = 9;

impl Size {
    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// A size of `mib` MiB; 1 for 0, for use in constants and defaults.
    pub const fn from_mib(mib: u32) -> Self {
        Self((if mib == 0 { 1 } else { mib as u64 }) << 20)
    }
}

impl TryFrom<u64> for Size {
    type Error = ValueError;

    fn try_from(bytes: u64) -> Result<Self, ValueError> {
        if bytes == 0 {
            return Err(ValueError::Zero);
        }
        Ok(Self(bytes))
    }
}

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (bytes, rest) = take_quantity(text.trim(), &SIZE_UNITS, SIZE_HELP)?;
        if !rest.is_empty() {
            return Err(ValueError::Malformed { help: SIZE_HELP });
        }
        Self::try_from(bytes)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The largest unit without a remainder; one byte always is.
        let whole = SIZE_UNITS[..SIZE_DISPLAYED]
            .iter()
            .find(|(_, bytes)| self.0.is_multiple_of(*bytes));
        let (unit, bytes) = whole.unwrap_or(&("B", 1));
        f.pad(&format!("{}{unit}", self.0 / bytes))
    }
}

/// One number with its unit from the start of `text`, and what follows.
fn take_quantity<'t>(
    text: &'t str,
    units: &[(&str, u64)],
    help: &'static str,
) -> Result<(u64, &'t str), ValueError> {
    let malformed = ValueError::Malformed { help };
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or(malformed.clone())?;
    let (number, rest) = text.split_at(number_end);
    let unit_end = rest
        .find(|c: char| !c.is_alphabetic())
        .unwrap_or(rest.len());
    let (name, rest) = rest.split_at(unit_end);
    if number.is_empty() || name.is_empty() {
        return Err(malformed);
    }
    let unit = units
        .iter()
        .find(|(unit, _)| *unit == name)
        .ok_or_else(|| ValueError::Unit {
            unit: name.to_owned(),
            help,
        })?
        .1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(malformed);
    }
    let whole: u128 = whole.parse().map_err(|_| ValueError::TooMuch)?;
    // More digits than these change nothing.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10u128.pow(fraction.len() as u32);
    let fraction: u128 = fraction.parse().map_err(|_| malformed)?;
    let unit = u128::from(unit);
    let total = whole
        .checked_mul(unit)
        .and_then(|total| total.checked_add(fraction * unit / scale))
        .ok_or(ValueError::TooMuch)?;
    let total = u64::try_from(total).map_err(|_| ValueError::TooMuch)?;
    Ok((total, rest))
}

/// Serializes as the text that is displayed, and reads it back.
macro_rules! as_text {
    ($type:ty, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

as_text!(Span, "a duration in quotes, for example \"7d\"");
as_text!(Size, "a size in quotes, for example \"2GiB\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(text: &str) -> Result<Duration, ValueError> {
        text.parse::<Span>().map(Span::duration)
    }

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("7d", 604_800),
            ("1w", 604_800),
            ("12h", 43_200),
            ("3month", 7_776_000),
            ("30s", 30),
            ("1h30m", 5_400),
            ("2min", 120),
            (" 5m ", 300),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(span("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(span("0.1s"), Ok(Duration::from_millis(100)));
        assert_eq!(span("3µs"), Ok(Duration::from_micros(3)));
        for bad in [
            "",
            "30",
            "s",
            "-3s",
            "0s",
            "1e9d",
            "5 s",
            "3x",
            "1.s",
            ".5s",
            "1.2.3s",
            "300000d",
            "99999999999999999999999999999999999999999d",
            "7dd",
        ] {
            assert!(span(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            span("3x").unwrap_err().to_string(),
            "unknown unit 'x'; write a number with a unit, for example 500ms, 30s, 5m, 1h30m, 7d, 1w or 3month"
        );
    }

    #[test]
    fn spans_are_shown_as_people_write_them() {
        for (text, shown) in [
            ("7d", "7d"),
            ("1w", "7d"),
            ("3month", "90d"),
            ("90m", "1h30m"),
            ("1.5s", "1s500ms"),
            ("60s", "1m"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("500MB", 500_000_000, "500MB"),
            ("2GiB", 2 << 30, "2GiB"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("1KB", 1_000, "1kB"),
            ("17B", 17, "17B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), shown);
        }
        for bad in [
            "",
            "5",
            "GiB",
            "0MB",
            "1GiB1MiB",
            "2gib",
            "99999999TiB",
            "-1MB",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn texts_in_files() {
        assert_eq!(
            serde_json::from_str::<Span>("\"7d\"").unwrap(),
            Span::from_secs(604_800)
        );
        assert_eq!(
            serde_json::to_string(&Size::from_mib(2048)).unwrap(),
            "\"2GiB\""
        );
        let error = serde_json::from_str::<Span>("7").unwrap_err().to_string();
        assert!(error.contains("a duration in quotes"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ns in 1..=i64::MAX as u64, bytes in 1u64..) {
            let span = Span::try_from(Duration::from_nanos(ns)).unwrap();
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
            let size = Size::try_from(bytes).unwrap();
            prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}", number in "[0-9.]{1,25}(d|w|s|GiB|month)") {
            let _ = (text.parse::<Span>(), text.parse::<Size>());
            let _ = (number.parse::<Span>(), number.parse::<Size>());
        }
    }
}
