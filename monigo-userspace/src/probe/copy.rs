//! Copies of stacks: reading their records.

use std::mem::offset_of;

use monigo_common::copy::{Hidden, MAX_HIDDEN, StackCopyHead};

use super::RecordError;

/// Registers and the top of a user stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackCopy<'a> {
    /// Registers.
    pub head: StackCopyHead,
    /// The stack from the stack pointer on.
    pub stack: &'a [u8],
}

impl<'a> StackCopy<'a> {
    /// Reads a record of this kind.
    pub(super) fn read(record: &'a [u8]) -> Result<Self, RecordError> {
        let refused = || RecordError::Length {
            kind: monigo_common::copy::KIND_STACK_COPY,
            bytes: record.len(),
        };
        let (head, stack) = record
            .split_at_checked(size_of::<StackCopyHead>())
            .ok_or_else(refused)?;
        // SAFETY: the length was checked and every bit pattern is a valid record.
        let head = unsafe { head.as_ptr().cast::<StackCopyHead>().read_unaligned() };
        let stack = stack.get(..head.bytes as usize).ok_or_else(refused)?;
        Ok(Self { head, stack })
    }

    /// Return addresses that are not on the stack.
    pub fn hidden(&self) -> &[Hidden] {
        let count = (self.head.hidden_count as usize).min(MAX_HIDDEN);
        &self.head.hidden[..count]
    }
}

const _: () = assert!(offset_of!(StackCopyHead, kind) == 0);

#[cfg(test)]
mod tests {
    use monigo_common::copy::KIND_STACK_COPY;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_filled_is_left_out() {
        let mut head = StackCopyHead {
            kind: KIND_STACK_COPY,
            sp: 7,
            bytes: 3,
            hidden_count: 99,
            ..StackCopyHead::default()
        };
        head.hidden[0].at = 5;
        let start = std::ptr::from_ref(&head).cast::<u8>();
        // SAFETY: plain data without padding.
        let bytes = unsafe { std::slice::from_raw_parts(start, size_of::<StackCopyHead>()) };
        let mut record = bytes.to_vec();
        record.extend([1, 2]);
        assert!(StackCopy::read(&record).is_err());
        record.extend([3, 4]);
        let copy = StackCopy::read(&record).unwrap();
        assert_eq!((copy.head.sp, copy.stack), (7, [1, 2, 3].as_slice()));
        assert_eq!(copy.hidden().len(), MAX_HIDDEN);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(copy) = StackCopy::read(&bytes) {
                let _ = copy.hidden();
            }
        }
    }
}
