//! Entries of the cache of function lists. The checksum is put right, so that what is behind it is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monigo_fuzz::symbols::cache::{from_bytes, to_bytes};

/// Magic, version, checksum.
const HEADER_BYTES: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let _ = from_bytes(bytes);
    let mut bytes = bytes.to_vec();
    if let Some((header, payload)) = bytes.split_at_mut_checked(HEADER_BYTES) {
        header[..12].copy_from_slice(b"monigosy\x01\0\0\0");
        header[12..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    }
    if let Some(functions) = from_bytes(&bytes) {
        for function in &functions {
            let _ = (function.name(), function.entry(), function.size_bytes());
        }
        let again = to_bytes("", &functions).expect("what was read can be stored");
        assert_eq!(from_bytes(&again).as_ref(), Some(&functions));
    }
});
