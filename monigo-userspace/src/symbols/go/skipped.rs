//! The caller that a walk by frame pointers skips.
//!
//! Some assembly has no frame: in Go, the instructions for system calls, locks and copies. The frame pointer is then
//! still that of its caller, so the walk goes on with whoever called that. Its call says which function is missing,
//! and where that calls the one without a frame.

use iced_x86::{Decoder, DecoderOptions, FlowControl};

use super::{
    super::{Function, Image, Machine},
    code_spot,
};

/// Length of a call with the distance in it.
const CALL_BYTES: u64 = 5;
/// Most code that is searched for the call.
const MOST_CODE: u64 = 1 << 16;

/// Where the function returns to that was interrupted at `at`, if the walk from there went on with `walked`, which is
/// where the caller's caller goes on. All are addresses in the image. `None` if nothing is missing, or more than one place
/// is possible.
pub fn skipped_caller(image: &Image, at: u64, walked: u64) -> Option<u64> {
    if image.machine() != Machine::X86_64 || code_spot(image, at)?.frame_bytes != 0 {
        return None;
    }
    let without_frame = image.function_at(at).and_then(Function::entry)?;
    let caller = call_target(image, walked.checked_sub(CALL_BYTES)?)?;
    if caller == without_frame {
        return None;
    }
    let function = image.function_at(caller)?;
    if function.entry() != Some(caller) {
        return None;
    }
    let range = function
        .ranges
        .iter()
        .find(|range| range.contains(&caller))?;
    let code = image.code(range.start..range.end.min(range.start + MOST_CODE))?;
    let mut returns = Decoder::with_ip(64, code, range.start, DecoderOptions::NONE)
        .into_iter()
        .filter(|instruction| {
            instruction.flow_control() == FlowControl::Call
                && instruction.near_branch_target() == without_frame
        })
        .map(|instruction| instruction.next_ip());
    returns.next().filter(|_| returns.next().is_none())
}

/// What the call at an address calls, if it is one with the distance in it.
fn call_target(image: &Image, at: u64) -> Option<u64> {
    let code = image.code(at..at.checked_add(CALL_BYTES)?)?;
    let instruction = Decoder::with_ip(64, code, at, DecoderOptions::NONE).decode();
    let is_call =
        instruction.flow_control() == FlowControl::Call && instruction.len() as u64 == CALL_BYTES;
    is_call.then(|| instruction.near_branch_target())
}
