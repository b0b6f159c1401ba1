//! Numbers as people read them. Shared by the command line and the terminal interface, so that a
//! figure looks the same wherever it is shown.
//!
//! Digits are grouped with commas, which every terminal and font can show.

/// A duration given in ns, with three significant digits: `847 ns`, `1.23 µs`, `45.6 ms`,
/// `12.0 s`, then `3m 05s`, `2h 07m`, `5d 03h`.
pub fn duration_ns(ns: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];
    if ns < 1000 {
        return format!("{ns} ns");
    }
    // 59.95 s would round to "60.0 s".
    if ns < 59_950_000_000 {
        for (unit, scale) in &UNITS[1..] {
            let value = ns as f64 / scale;
            if value < 999.5 {
                return format!("{} {unit}", significant(value));
            }
        }
    }
    let seconds = (ns / 1_000_000_000) + u64::from(ns % 1_000_000_000 >= 500_000_000);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days}d {:02}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {:02}m", minutes % 60)
    } else {
        format!("{minutes}m {:02}s", seconds % 60)
    }
}

/// The duration of one call. Below `floor_ns` it cannot be told from none: `< 160 ns`.
pub fn measured_ns(ns: u64, floor_ns: u32) -> String {
    if ns < floor_ns.into() {
        format!("< {}", duration_ns(floor_ns.into()))
    } else {
        duration_ns(ns)
    }
}

/// The summed duration of `calls` calls: when their mean is below `floor_ns`, what the sum cannot
/// exceed (`< 32.0 ms`).
pub fn summed_ns(sum_ns: u64, calls: u64, floor_ns: u32) -> String {
    let bound = calls.saturating_mul(floor_ns.into());
    if sum_ns < bound {
        format!("< {}", duration_ns(bound))
    } else {
        duration_ns(sum_ns)
    }
}

/// A count that may be estimated, with half the width of its interval: `12,345`,
/// `≈ 12,300 ± 400`. The error has one significant digit, or two that begin with 1.
pub fn estimate(value: u64, error: u64) -> String {
    if error == 0 {
        return count(value);
    }
    let mut unit = 10_u64.pow(error.ilog10());
    if error / unit == 1 && unit >= 10 {
        unit /= 10;
    }
    let error = error.div_ceil(unit).saturating_mul(unit);
    let value = (value.saturating_add(unit / 2) / unit).saturating_mul(unit);
    format!("≈ {} ± {}", count(value), count(error))
}

/// As [`estimate`], for narrow places: `12,345`, `≈12.3k`.
pub fn short_estimate(value: u64, error: u64) -> String {
    if error == 0 {
        count(value)
    } else {
        format!("≈{}", short_count(value))
    }
}

/// A count with at most three significant digits: `950`, `12.3k`, `4.56M`.
pub fn short_count(value: u64) -> String {
    if value < 1000 {
        return value.to_string();
    }
    for (unit, scale) in [("k", 1e3), ("M", 1e6), ("G", 1e9)] {
        let scaled = value as f64 / scale;
        if scaled < 999.5 {
            return format!("{}{unit}", without_zeros(&significant(scaled)));
        }
    }
    format!("{}T", without_zeros(&significant(value as f64 / 1e12)))
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

/// A count with its digits in groups of three: `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Events per second, with at least three significant digits: `0.250/s`, `12.3/s`, `20,013/s`.
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second <= 0.0 {
        "0/s".to_owned()
    } else if per_second >= 99.95 {
        format!("{}/s", count(per_second.round() as u64))
    } else if per_second < 0.001 {
        "<0.001/s".to_owned()
    } else {
        format!("{}/s", significant(per_second))
    }
}

/// A share between 0 and 1 as a percentage: `0%`, `<0.1%`, `4.2%`, `100%`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() || percent <= 0.0 {
        "0%".to_owned()
    } else if percent < 0.1 {
        "<0.1%".to_owned()
    } else if percent >= 99.95 {
        format!("{percent:.0}%")
    } else {
        format!("{percent:.1}%")
    }
}

/// A size in bytes, with three significant digits: `512 B`, `1.50 KiB`, `20.0 MiB`.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB"] {
        if value < 1023.5 {
            return format!("{} {unit}", significant(value));
        }
        value /= 1024.0;
    }
    format!("{} TiB", significant(value))
}

/// Three significant digits of a number below 10,000; larger integer parts are kept whole.
fn significant(value: f64) -> String {
    if value < 0.9995 {
        format!("{value:.3}")
    } else if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_significant_digits() {
        for (ns, text) in [
            (0, "0 ns"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (1234, "1.23 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (99_960, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (45_600_000, "45.6 ms"),
            (999_999_999, "1.00 s"),
            (12_000_000_000, "12.0 s"),
            (59_940_000_000, "59.9 s"),
            (59_960_000_000, "1m 00s"),
            (185_000_000_000, "3m 05s"),
            (7_640_000_000_000, "2h 07m"),
            (443_000_000_000_000, "5d 03h"),
        ] {
            assert_eq!(duration_ns(ns), text, "{ns}");
        }
        assert_eq!(duration_ns(u64::MAX), "213503d 23h");
    }

    #[test]
    fn durations_below_the_floor_are_bounds() {
        assert_eq!(measured_ns(0, 160), "< 160 ns");
        assert_eq!(measured_ns(159, 160), "< 160 ns");
        assert_eq!(measured_ns(160, 160), "160 ns");
        assert_eq!(measured_ns(0, 0), "0 ns");
        assert_eq!(measured_ns(7, 1200), "< 1.20 µs");
        assert_eq!(summed_ns(0, 200_000, 160), "< 32.0 ms");
        assert_eq!(summed_ns(31_999_999, 200_000, 160), "< 32.0 ms");
        assert_eq!(summed_ns(32_000_000, 200_000, 160), "32.0 ms");
        assert_eq!(summed_ns(0, 0, 160), "0 ns");
        assert_eq!(summed_ns(1, u64::MAX, 160), "< 213503d 23h");
    }

    #[test]
    fn estimates_are_no_finer_than_their_error() {
        for (value, error, text, short) in [
            (12_345, 0, "12,345", "12,345"),
            (12_345, 398, "≈ 12,300 ± 400", "≈12.3k"),
            (12_345, 120, "≈ 12,350 ± 120", "≈12.3k"),
            (12_345, 121, "≈ 12,350 ± 130", "≈12.3k"),
            (12_345, 1, "≈ 12,345 ± 1", "≈12.3k"),
            (12_345, 98, "≈ 12,350 ± 100", "≈12.3k"),
            (950, 20, "≈ 950 ± 20", "≈950"),
            (5_000_000, 9_500, "≈ 5,000,000 ± 10,000", "≈5M"),
        ] {
            assert_eq!(estimate(value, error), text);
            assert_eq!(short_estimate(value, error), short);
        }
        let most = u64::MAX;
        assert!(estimate(most, most).starts_with("≈ "), "no overflow");
    }

    #[test]
    fn short_counts() {
        for (value, text) in [
            (0, "0"),
            (950, "950"),
            (1000, "1k"),
            (12_345, "12.3k"),
            (999_499, "999k"),
            (999_500, "1M"),
            (4_560_000, "4.56M"),
            (7_000_000_000, "7G"),
            (3_000_000_000_000, "3T"),
        ] {
            assert_eq!(short_count(value), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn rates() {
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(f64::NAN), "0/s");
        assert_eq!(rate(0.0001), "<0.001/s");
        assert_eq!(rate(0.25), "0.250/s");
        assert_eq!(rate(12.34), "12.3/s");
        assert_eq!(rate(99.96), "100/s");
        assert_eq!(rate(20_012.6), "20,013/s");
    }

    #[test]
    fn percentages() {
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(0.0005), "<0.1%");
        assert_eq!(percent(0.042), "4.2%");
        assert_eq!(percent(0.9996), "100%");
        assert_eq!(percent(1.0), "100%");
        assert_eq!(percent(f64::NAN), "0%");
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(20 << 20), "20.0 MiB");
        assert_eq!(bytes(3 << 40), "3.00 TiB");
    }
}
