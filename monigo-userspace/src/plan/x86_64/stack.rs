//! Follows the stack pointer through a function.
//!
//! A jump can only be a tail call where the stack pointer is what it was at entry. Knowing it at
//! each jump tells tail calls from jump tables, and catches functions whose symbol covers only a
//! part of them.

use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use super::{Body, flow::continues, indirect, jump_target};
use crate::plan::Context;

/// What is known before an instruction runs, in bytes relative to the stack pointer at entry.
/// `None` is "not known".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The stack pointer.
    pub(super) sp: Option<i64>,
    /// The frame pointer, while it points into the stack.
    pub(super) bp: Option<i64>,
}

impl State {
    const ENTRY: Self = Self {
        sp: Some(0),
        bp: None,
    };

    fn merge(self, other: Self) -> Self {
        Self {
            sp: self.sp.filter(|_| self.sp == other.sp),
            bp: self.bp.filter(|_| self.bp == other.bp),
        }
    }
}

/// The state before each instruction; `None` where nothing leads to as far as one can see.
pub(super) fn track(body: &Body<'_>, context: &Context<'_>) -> Vec<Option<State>> {
    let mut walk = Walk {
        body,
        states: vec![None; body.instructions.len()],
        pending: Vec::new(),
        info: InstructionInfoFactory::new(),
    };
    walk.reach(body.start, State::ENTRY);
    walk.run();
    // Targets of jump tables: if all table jumps of the function agree on a state, code that
    // nothing else leads to starts with it.
    if let Some(state) = table_state(body, &walk.states, context) {
        for index in 0..body.instructions.len() {
            if walk.states[index].is_none() {
                walk.reach(index, state);
                walk.run();
            }
        }
    }
    walk.states
}

fn table_state(body: &Body<'_>, states: &[Option<State>], context: &Context<'_>) -> Option<State> {
    let mut common: Option<State> = None;
    for (index, instruction) in body.instructions.iter().enumerate() {
        if instruction.flow_control() != FlowControl::IndirectBranch {
            continue;
        }
        let Some(state) = states[index] else { continue };
        if indirect::classify(body, index, state.sp, context) == indirect::Indirect::Inside {
            common = Some(common.map_or(state, |other| other.merge(state)));
        }
    }
    common
}

struct Walk<'a, 'b> {
    body: &'a Body<'b>,
    states: Vec<Option<State>>,
    pending: Vec<usize>,
    info: InstructionInfoFactory,
}

impl Walk<'_, '_> {
    fn reach(&mut self, index: usize, state: State) {
        let Some(slot) = self.states.get_mut(index) else {
            return;
        };
        let merged = slot.map_or(state, |old| old.merge(state));
        if *slot != Some(merged) {
            *slot = Some(merged);
            self.pending.push(index);
        }
    }

    fn run(&mut self) {
        while let Some(index) = self.pending.pop() {
            let Some(state) = self.states[index] else {
                continue;
            };
            let instruction = self.body.instructions[index];
            let after = step(&mut self.info, &instruction, state);
            if let Some(target) = jump_target(&instruction)
                && let Some(target) = self.body.index_of(target)
            {
                self.reach(target, after);
            }
            let adjacent = self
                .body
                .instructions
                .get(index + 1)
                .is_some_and(|next| next.ip() == instruction.next_ip());
            if continues(&instruction) && adjacent {
                self.reach(index + 1, after);
            }
        }
    }
}

fn step(info: &mut InstructionInfoFactory, instruction: &Instruction, before: State) -> State {
    if matches!(
        instruction.flow_control(),
        FlowControl::Call | FlowControl::IndirectCall
    ) {
        // The callee takes its return address off again and keeps the frame pointer.
        return before;
    }
    let moved = |sp: Option<i64>, by: i64| sp.map(|sp| sp.wrapping_add(by));
    let operand = |index: u32| instruction.op_register(index);
    let mut after = before;
    match instruction.mnemonic() {
        Mnemonic::Leave => {
            after.sp = moved(before.bp, 8);
            after.bp = None;
            return after;
        }
        Mnemonic::Add | Mnemonic::Sub
            if operand(0) == Register::RSP && is_immediate(instruction.op1_kind()) =>
        {
            let by = instruction.immediate(1) as i64;
            let by = if instruction.mnemonic() == Mnemonic::Sub {
                by.wrapping_neg()
            } else {
                by
            };
            after.sp = moved(before.sp, by);
            return after;
        }
        Mnemonic::Mov | Mnemonic::Lea if matches!(operand(0), Register::RSP | Register::RBP) => {
            let value = if instruction.mnemonic() == Mnemonic::Mov {
                known(before, operand(1))
            } else if instruction.memory_index() == Register::None {
                moved(
                    known(before, instruction.memory_base()),
                    instruction.memory_displacement64() as i64,
                )
            } else {
                None
            };
            if operand(0) == Register::RSP {
                after.sp = value;
            } else {
                after.bp = value;
            }
            return after;
        }
        _ => {}
    }
    let pushed = instruction.stack_pointer_increment();
    let mut writes_sp = false;
    for used in info.info(instruction).used_registers() {
        let writes = matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        match used.register().full_register() {
            Register::RSP if writes => writes_sp = true,
            Register::RBP if writes => after.bp = None,
            _ => {}
        }
    }
    if writes_sp {
        let explicit = instruction.op_count() > 0
            && instruction.op0_kind() == OpKind::Register
            && operand(0).full_register() == Register::RSP
            && instruction.mnemonic() != Mnemonic::Push;
        after.sp = if explicit || pushed == 0 {
            None
        } else {
            moved(before.sp, i64::from(pushed))
        };
    }
    after
}

fn known(state: State, register: Register) -> Option<i64> {
    match register {
        Register::RSP => state.sp,
        Register::RBP => state.bp,
        _ => None,
    }
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8to64 | OpKind::Immediate32to64 | OpKind::Immediate64
    )
}
