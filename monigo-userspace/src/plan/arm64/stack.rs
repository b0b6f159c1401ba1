//! Follows the stack pointer through a function; see the same for x86-64.

use super::{
    Body,
    encoding::{FP, Flow, SP, Word},
    indirect,
};
use crate::plan::Context;

/// What is known before an instruction runs, in bytes relative to the stack pointer at entry.
/// `None` is "not known".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The stack pointer.
    pub(super) sp: Option<i64>,
    /// The frame pointer, while it points into the stack.
    fp: Option<i64>,
}

impl State {
    const ENTRY: Self = Self {
        sp: Some(0),
        fp: None,
    };

    fn merge(self, other: Self) -> Self {
        Self {
            sp: self.sp.filter(|_| self.sp == other.sp),
            fp: self.fp.filter(|_| self.fp == other.fp),
        }
    }

    fn of(self, register: u32) -> Option<i64> {
        match register {
            SP => self.sp,
            FP => self.fp,
            _ => None,
        }
    }

    fn set(&mut self, register: u32, value: Option<i64>) {
        match register {
            SP => self.sp = value,
            FP => self.fp = value,
            _ => {}
        }
    }

    fn after(self, word: Word) -> Self {
        let mut after = self;
        if matches!(word.flow(), Flow::Call(_)) {
            return after;
        }
        if let Some((result, operand, added)) = word.add_immediate() {
            after.set(
                result,
                self.of(operand).map(|value| value.wrapping_add(added)),
            );
            return after;
        }
        for register in [SP, FP] {
            if word.may_write(register) {
                after.set(register, None);
            }
        }
        if let Some((base, by)) = word.write_back() {
            after.set(base, self.of(base).map(|value| value.wrapping_add(by)));
        }
        after
    }
}

/// The state before each instruction; `None` where nothing leads to as far as one can see.
pub(super) fn track(body: &Body, context: &Context<'_>) -> Vec<Option<State>> {
    let mut states = vec![None; body.words.len()];
    spread(body, &mut states, body.start, State::ENTRY);
    if let Some(state) = table_state(body, &states, context) {
        for index in 0..states.len() {
            if states[index].is_none() {
                spread(body, &mut states, index, state);
            }
        }
    }
    states
}

/// The state that all table jumps agree on: that of code which nothing else leads to.
fn table_state(body: &Body, states: &[Option<State>], context: &Context<'_>) -> Option<State> {
    let jumps = body.words.iter().enumerate().filter_map(|(index, word)| {
        let Flow::Indirect(register) = word.flow() else {
            return None;
        };
        let state = states[index]?;
        let kind = indirect::classify(body, index, register, state.sp, context);
        (kind == indirect::Indirect::Inside).then_some(state)
    });
    jumps.reduce(State::merge)
}

fn spread(body: &Body, states: &mut [Option<State>], from: usize, state: State) {
    let mut pending = vec![(from, state)];
    while let Some((index, state)) = pending.pop() {
        let merged = states[index].map_or(state, |old: State| old.merge(state));
        if states[index] == Some(merged) {
            continue;
        }
        states[index] = Some(merged);
        let word = body.words[index];
        let after = merged.after(word);
        let target = word.jump_target().and_then(|target| body.index_of(target));
        pending.extend(
            target
                .into_iter()
                .chain(body.next(index))
                .map(|next| (next, after)),
        );
    }
}
