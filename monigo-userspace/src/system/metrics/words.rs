//! Times and lists for people.

/// Ids that a sentence names.
const NAMED_PIDS: usize = 8;

/// Some ids, and how many more there are.
pub(super) fn list(pids: &[u32]) -> String {
    let named: Vec<String> = pids.iter().take(NAMED_PIDS).map(u32::to_string).collect();
    let more = pids.len().saturating_sub(NAMED_PIDS);
    if more > 0 {
        format!("{} and {more} more", named.join(", "))
    } else {
        named.join(", ")
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(unix_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(unix_ns.into())
        .map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

/// The two largest units: `3h 12m`.
pub(super) fn uptime(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut parts = units
        .iter()
        .scan(seconds, |rest, (length, name)| {
            let count = *rest / length;
            *rest %= length;
            Some((count, *name))
        })
        .skip_while(|(count, name)| *count == 0 && *name != "s");
    let first = parts.next().map(|(count, name)| format!("{count}{name}"));
    let second = parts.next().map(|(count, name)| format!(" {count}{name}"));
    format!(
        "{}{}",
        first.unwrap_or_default(),
        second.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_in_words() {
        let second = 1_000_000_000;
        assert_eq!(uptime(0), "0s");
        assert_eq!(uptime(59 * second), "59s");
        assert_eq!(uptime(61 * second), "1m 1s");
        assert_eq!(uptime(11_520 * second), "3h 12m");
        assert_eq!(uptime(90_000 * second), "1d 1h");
    }

    #[test]
    fn times() {
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.500Z");
    }
}
