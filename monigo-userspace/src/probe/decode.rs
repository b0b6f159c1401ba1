//! Bytes from the ring buffer to records, checked.

use monigo_common::event::{
    CallRecord, CallRecordWithStack, KIND_CALL, KIND_CALL_WITH_STACK, MAX_FRAMES,
};

/// One call as the kernel side recorded it; times are `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The call.
    pub call: CallRecord,
    /// Addresses innermost first, the caller spliced in; `None` when no stack was taken.
    pub stack: Option<Vec<u64>>,
}

/// A record that does not have the shape it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer or more bytes than its kind has.
    #[error("a record of kind {kind} has {bytes} bytes")]
    Length {
        /// Kind found.
        kind: u32,
        /// Bytes found.
        bytes: usize,
    },
    /// A kind that this version does not know.
    #[error("unknown record kind {0}")]
    Kind(u32),
}

/// Reads one record.
pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let kind = bytes
        .first_chunk()
        .map(|kind| u32::from_ne_bytes(*kind))
        .ok_or(RecordError::Length {
            kind: 0,
            bytes: bytes.len(),
        })?;
    let expected = match kind {
        KIND_CALL => size_of::<CallRecord>(),
        KIND_CALL_WITH_STACK => size_of::<CallRecordWithStack>(),
        _ => return Err(RecordError::Kind(kind)),
    };
    if bytes.len() != expected {
        return Err(RecordError::Length {
            kind,
            bytes: bytes.len(),
        });
    }
    if kind == KIND_CALL {
        // SAFETY: the length was checked and every bit pattern is a valid record.
        let call = unsafe { bytes.as_ptr().cast::<CallRecord>().read_unaligned() };
        return Ok(Record { call, stack: None });
    }
    // SAFETY: as above.
    let record = unsafe {
        bytes
            .as_ptr()
            .cast::<CallRecordWithStack>()
            .read_unaligned()
    };
    let frames = usize::try_from(record.stack_bytes).map_or(0, |bytes| (bytes / 8).min(MAX_FRAMES));
    Ok(Record {
        call: record.call,
        stack: splice(&record.frames[..frames], record.return_address),
    })
}

/// Puts the caller back in: at a return, the frame-pointer walk starts at the caller's frame and
/// skips from the probed function to the caller's caller.
fn splice(walked: &[u64], return_address: u64) -> Option<Vec<u64>> {
    let (&site, outer) = walked.split_first()?;
    let mut stack = Vec::with_capacity(walked.len() + 1);
    stack.push(site);
    if return_address != 0 && outer.first() != Some(&return_address) {
        stack.push(return_address);
    }
    stack.extend(outer.iter().copied().filter(|&address| address != 0));
    Some(stack)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of<T>(value: &T) -> Vec<u8> {
        let start = std::ptr::from_ref(value).cast::<u8>();
        // SAFETY: plain data without padding.
        unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
    }

    fn with_stack(frames: &[u64], return_address: u64) -> CallRecordWithStack {
        let mut record = CallRecordWithStack {
            call: CallRecord {
                kind: KIND_CALL_WITH_STACK,
                function: 3,
                ..CallRecord::default()
            },
            stack_bytes: frames.len() as i64 * 8,
            return_address,
            frames: [0; MAX_FRAMES],
        };
        record.frames[..frames.len()].copy_from_slice(frames);
        record
    }

    #[test]
    fn caller_is_spliced_in_once() {
        let record = decode(&bytes_of(&with_stack(&[1, 3, 4], 2))).unwrap();
        assert_eq!(record.stack, Some(vec![1, 2, 3, 4]));
        let record = decode(&bytes_of(&with_stack(&[1, 2, 3], 2))).unwrap();
        assert_eq!(record.stack, Some(vec![1, 2, 3]));
    }

    #[test]
    fn failed_walk_has_no_stack() {
        let mut record = with_stack(&[], 2);
        record.stack_bytes = -14;
        assert_eq!(decode(&bytes_of(&record)).unwrap().stack, None);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        assert_eq!(decode(&[]), Err(RecordError::Length { kind: 0, bytes: 0 }));
        assert_eq!(decode(&[9, 0, 0, 0]), Err(RecordError::Kind(9)));
        assert_eq!(
            decode(&[1, 0, 0, 0]),
            Err(RecordError::Length { kind: 1, bytes: 4 })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
            let _ = decode(&bytes);
        }
    }
}
