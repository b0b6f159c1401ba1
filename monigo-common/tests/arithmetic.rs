//! What kernel and user side compute the same way.

use monigo_common::{
    cookie::{
        Cookie, FLAG_CONDITIONAL, FLAG_FRAME_POINTER, FLAG_GO, FLAG_JUMP, MAX_FUNCTIONS,
        condition_holds,
    },
    histogram::{BUCKETS, MAX_BITS, bounds, bucket_of, representative},
};
use proptest::prelude::*;

#[test]
fn buckets_touch_and_ascend() {
    for bucket in 1..BUCKETS {
        assert_eq!(bounds(bucket - 1).1, bounds(bucket).0, "bucket {bucket}");
    }
    assert_eq!(bounds(0), (0, 1));
    assert_eq!(bounds(BUCKETS - 1).1, 1 << MAX_BITS);
}

#[test]
fn the_last_bucket_takes_the_rest() {
    assert_eq!(bucket_of((1 << MAX_BITS) - 1), BUCKETS - 1);
    assert_eq!(bucket_of(1 << MAX_BITS), BUCKETS - 1);
    assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
}

proptest! {
    #[test]
    fn a_duration_lies_in_its_bucket(bits in 0..MAX_BITS, rest in any::<u64>()) {
        let ns = (1_u64 << bits) | (rest & ((1 << bits) - 1));
        let (low, high) = bounds(bucket_of(ns));
        prop_assert!(low <= ns && ns < high, "{ns} is not in {low}..{high}");
    }

    #[test]
    fn what_stands_for_a_duration_is_within_three_percent(bits in 0..MAX_BITS, rest in any::<u64>()) {
        let ns = (1_u64 << bits) | (rest & ((1 << bits) - 1));
        let error = representative(bucket_of(ns)).abs_diff(ns);
        prop_assert!(error * 100 <= ns * 3, "{ns} ns is off by {error}");
    }

    #[test]
    fn cookies_survive_packing(
        function in 0..MAX_FUNCTIONS as u32,
        flags in any::<u16>(),
        condition in 0..16_u8,
        class in 0..16_u8,
        words in any::<u16>(),
    ) {
        let cookie = Cookie { function, flags, condition, class, words };
        prop_assert_eq!(Cookie::unpack(cookie.pack()), cookie);
    }

    #[test]
    fn odd_conditions_are_the_negation_of_even_ones(condition in 0..8_u8, flags in any::<u64>()) {
        prop_assert_ne!(condition_holds(2 * condition, flags), condition_holds(2 * condition + 1, flags));
    }
}

/// Intel SDM volume 1, appendix B; `setcc` semantics spelled out.
#[test]
fn conditions_read_the_right_flags() {
    const CARRY: u64 = 1;
    const PARITY: u64 = 1 << 2;
    const ZERO: u64 = 1 << 6;
    const SIGN: u64 = 1 << 7;
    const OVERFLOW: u64 = 1 << 11;
    let holding = |flags| {
        (0..16)
            .filter(|&code| condition_holds(code, flags))
            .collect::<Vec<u8>>()
    };
    assert_eq!(
        holding(0),
        [1, 3, 5, 7, 9, 11, 13, 15],
        "o, b, e, be, s, p, l and le do not hold"
    );
    assert_eq!(holding(CARRY), [1, 2, 5, 6, 9, 11, 13, 15]);
    assert_eq!(holding(ZERO), [1, 3, 4, 6, 9, 11, 13, 14]);
    assert_eq!(holding(SIGN), [1, 3, 5, 7, 8, 11, 12, 14]);
    assert_eq!(holding(OVERFLOW), [0, 3, 5, 7, 9, 11, 12, 14]);
    assert_eq!(holding(SIGN | OVERFLOW), [0, 3, 5, 7, 8, 11, 13, 15]);
    assert_eq!(holding(PARITY), [1, 3, 5, 7, 9, 10, 13, 15]);
}

#[test]
fn flags_are_distinct() {
    assert_eq!(
        (FLAG_GO | FLAG_CONDITIONAL | FLAG_JUMP | FLAG_FRAME_POINTER).count_ones(),
        4
    );
}
