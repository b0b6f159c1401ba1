//! Indirect jumps: a jump table inside the function, or a tail call.

use super::{
    Body,
    encoding::{SP, Word},
};
use crate::plan::Context;

/// How far back the address of a jump may be computed, in instructions.
const LOOK_BACK: usize = 24;

/// What an indirect jump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indirect {
    /// It stays inside the function.
    Inside,
    /// It leaves.
    TailCall,
    /// It could be either.
    Unclear,
}

/// Decides what the jump at `index` through `register` is, where the stack pointer is `moved` bytes
/// from where it was at entry.
pub(super) fn classify(
    body: &Body,
    index: usize,
    register: u32,
    moved: Option<i64>,
    context: &Context<'_>,
) -> Indirect {
    // A tail call happens with the caller's stack pointer, always.
    if moved.is_some_and(|bytes| bytes != 0) {
        return Indirect::Inside;
    }
    // Taking the frame down right before the jump is the end of the function.
    if moved == Some(0) && definition_of(body, index, SP).is_some() {
        return Indirect::TailCall;
    }
    let found = match definition_of(body, index, register) {
        None => Indirect::TailCall,
        // The address of a label and an offset from a table.
        Some((at, word)) if word.is_add_registers() => {
            let from_table = [word.rn(), word.rm()].iter().any(|&operand| {
                definition_of(body, at, operand).is_some_and(|(_, load)| load.is_indexed_load())
            });
            if from_table {
                Indirect::Inside
            } else {
                Indirect::Unclear
            }
        }
        // An element of an array of addresses; Go has none but jump tables.
        Some((_, word)) if word.is_indexed_load() && word.is_64_bit_load() => {
            if context.go {
                Indirect::Inside
            } else {
                Indirect::Unclear
            }
        }
        Some((_, word)) if word.is_plain_load() && word.is_64_bit_load() || word.is_move() => {
            Indirect::TailCall
        }
        Some(_) => Indirect::Unclear,
    };
    if moved.is_none() && found == Indirect::TailCall {
        return Indirect::Unclear;
    }
    found
}

/// The last instruction before `index`, in straight line, that may write `register`.
fn definition_of(body: &Body, index: usize, register: u32) -> Option<(usize, Word)> {
    (index.saturating_sub(LOOK_BACK)..index)
        .rev()
        .take_while(|&at| body.next(at) == Some(at + 1))
        .map(|at| (at, body.words[at]))
        .find(|(_, word)| word.may_write(register))
}
