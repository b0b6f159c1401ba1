//! Log-linear latency histogram: bucket arithmetic shared by kernel and user side.
//!
//! Durations below [`SUB_BUCKETS`] ns have a bucket each. Above, every power of two is split into
//! [`SUB_BUCKETS`] equal buckets, so a bucket is at most 1/32 (3.125 %) of its lower bound wide.
//! Reporting the middle of a bucket is therefore wrong by at most 1/64 (1.6 %), inside the 3 %
//! that monigo promises for a percentile. The last bucket takes everything from about 73 minutes on.

/// log2 of the buckets per power of two.
pub const SUB_BUCKET_BITS: u32 = 5;
/// Buckets per power of two.
pub const SUB_BUCKETS: u64 = 1 << SUB_BUCKET_BITS;
/// Durations of 2^`MAX_BITS` ns (about 73 minutes) and more share the last bucket.
pub const MAX_BITS: u32 = 42;
/// Number of buckets in a histogram.
pub const BUCKETS: usize = ((MAX_BITS - SUB_BUCKET_BITS + 1) as usize) << SUB_BUCKET_BITS;

/// The bucket that holds `ns`.
#[inline(always)]
pub const fn bucket_of(ns: u64) -> usize {
    if ns < SUB_BUCKETS {
        return ns as usize;
    }
    let bits = 63 - leading_zeros(ns);
    if bits >= MAX_BITS {
        return BUCKETS - 1;
    }
    let octave = bits - SUB_BUCKET_BITS;
    let sub = (ns >> octave) & (SUB_BUCKETS - 1);
    (((octave as u64 + 1) << SUB_BUCKET_BITS) | sub) as usize
}

/// Counts leading zeros by halving: BPF has no such instruction, and the table that a compiler
/// would use instead lands in a map.
#[inline(always)]
const fn leading_zeros(value: u64) -> u32 {
    let mut rest = value;
    let mut bits = 0;
    if rest >= 1 << 32 {
        rest >>= 32;
        bits += 32;
    }
    if rest >= 1 << 16 {
        rest >>= 16;
        bits += 16;
    }
    if rest >= 1 << 8 {
        rest >>= 8;
        bits += 8;
    }
    if rest >= 1 << 4 {
        rest >>= 4;
        bits += 4;
    }
    if rest >= 1 << 2 {
        rest >>= 2;
        bits += 2;
    }
    if rest >= 1 << 1 {
        bits += 1;
    }
    63 - bits
}

/// The half-open range of durations in ns that `bucket` holds.
///
/// The last bucket is open-ended; its upper bound is the one its width implies.
///
/// # Panics
/// When `bucket` is not below [`BUCKETS`].
pub const fn bounds(bucket: usize) -> (u64, u64) {
    assert!(bucket < BUCKETS, "bucket out of range");
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return (bucket, bucket + 1);
    }
    let octave = (bucket >> SUB_BUCKET_BITS) - 1;
    let sub = bucket & (SUB_BUCKETS - 1);
    let low = (SUB_BUCKETS + sub) << octave;
    (low, low + (1 << octave))
}

/// The duration in ns that stands for every call in `bucket`: its middle, rounded down.
pub const fn representative(bucket: usize) -> u64 {
    let (low, high) = bounds(bucket);
    low + (high - low) / 2
}
