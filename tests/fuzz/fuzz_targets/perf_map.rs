//! Perf maps, which any process writes for itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monigo_fuzz::symbols::perf_map::PerfMap;

/// Longer names are cut.
const LONGEST_NAME: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let map = PerfMap::parse(bytes);
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines().take(64) {
        let mut parts = line.split(' ');
        let mut number = || {
            let text = parts.next()?;
            u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
        };
        let (Some(start), Some(size)) = (number(), number()) else {
            continue;
        };
        for address in [
            start,
            start.wrapping_add(size / 2),
            start.wrapping_sub(1),
            start.wrapping_add(size),
        ] {
            let name = map.find(address).unwrap_or("name");
            // A byte that is no text becomes three.
            assert!(
                !name.is_empty() && name.len() <= 3 * LONGEST_NAME,
                "{name:?}"
            );
        }
    }
    assert!(
        map.find(u64::MAX).is_none(),
        "no code ends behind the last address"
    );
});
