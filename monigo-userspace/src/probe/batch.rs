//! Many elements of a map in one system call.

use std::{
    io,
    mem::{self, size_of},
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::MapData;
use aya_obj::generated::{bpf_attr, bpf_cmd};
use monigo_common::counters::Counters;

use super::multi;

/// Functions read at a time: bounds the memory on hosts with many CPUs.
const CHUNK: u32 = 1024;

/// Reads the counters of the functions from `first` up to, not including, `end`, each summed over
/// CPUs, from the per-CPU array `map`, which must have that many elements.
///
/// # Errors
/// The kernel does not read per-CPU arrays in batches (before 5.13), or refuses.
pub fn counters(map: &MapData, first: u32, end: u32) -> io::Result<Vec<Counters>> {
    let cpus = aya::util::nr_cpus().map_err(|(_, source)| source)?;
    let mut sums = Vec::with_capacity(end.saturating_sub(first) as usize);
    let mut keys = vec![0_u32; CHUNK as usize];
    let mut values = vec![Counters::default(); CHUNK as usize * cpus];
    let mut next = first;
    while next < end {
        let wanted = CHUNK.min(end - next);
        let before = next.wrapping_sub(1);
        let mut last = 0_u32;
        // SAFETY: all-zero is a valid `bpf_attr`.
        let mut attr: bpf_attr = unsafe { mem::zeroed() };
        // SAFETY: the member that BPF_MAP_LOOKUP_BATCH reads and writes.
        let batch = unsafe { &mut attr.batch };
        // The key before the first one wanted; none for the beginning.
        batch.in_batch = if next == 0 {
            0
        } else {
            std::ptr::from_ref(&before) as u64
        };
        batch.out_batch = std::ptr::from_mut(&mut last) as u64;
        batch.keys = keys.as_mut_ptr() as u64;
        batch.values = values.as_mut_ptr() as u64;
        batch.count = wanted;
        batch.map_fd = map.fd().as_fd().as_raw_fd().unsigned_abs();
        // SAFETY: keys take 4 bytes and values 64 bytes for each possible CPU, and the buffers hold
        // `CHUNK` of them; the kernel writes at most `count`.
        let answer = unsafe { multi::call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) };
        // SAFETY: the kernel has written it.
        let got = unsafe { attr.batch.count };
        match answer {
            Ok(_) => {}
            // The end of the map was reached.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) && got == wanted => {}
            Err(error) => return Err(error),
        }
        if got != wanted || keys[0] != next {
            return Err(io::Error::other(
                "the kernel read other elements than asked",
            ));
        }
        sums.extend(values.chunks_exact(cpus).take(got as usize).map(sum));
        next += got;
    }
    Ok(sums)
}

/// Counters of all CPUs together.
pub fn sum<'a>(per_cpu: impl IntoIterator<Item = &'a Counters>) -> Counters {
    let mut sum = Counters::default();
    for cpu in per_cpu {
        sum.entered += cpu.entered;
        sum.completed += cpu.completed;
        sum.unwound += cpu.unwound;
        sum.unmatched += cpu.unmatched;
        sum.total_ns = sum.total_ns.wrapping_add(cpu.total_ns);
        sum.self_ns = sum.self_ns.wrapping_add(cpu.self_ns);
        sum.max_ns = sum.max_ns.max(cpu.max_ns);
        sum.inverted_min_ns = sum.inverted_min_ns.max(cpu.inverted_min_ns);
    }
    sum
}

// A value of the map is padded to a multiple of 8 bytes for each CPU; this one needs none.
const _: () = assert!(size_of::<Counters>().is_multiple_of(8));
