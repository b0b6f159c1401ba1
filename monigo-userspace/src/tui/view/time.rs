//! Times of day.

use jiff::{Timestamp, tz::TimeZone};

/// `14:03:21` of a Unix time in ns.
pub fn of_day(unix_ns: i64, zone: &TimeZone) -> String {
    format(unix_ns, zone, "%H:%M:%S")
}

/// `14:03:21.042` of a Unix time in ns.
pub fn of_day_ms(unix_ns: i64, zone: &TimeZone) -> String {
    format(unix_ns, zone, "%H:%M:%S%.3f")
}

fn format(unix_ns: i64, zone: &TimeZone, format: &str) -> String {
    Timestamp::from_nanosecond(i128::from(unix_ns))
        .map(|it| it.to_zoned(zone.clone()).strftime(format).to_string())
        .unwrap_or_default()
}

/// `1:02:03` or `02:03`: a duration as a running clock.
pub fn clock(ns: i64) -> String {
    let seconds = ns.max(0) / 1_000_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}
