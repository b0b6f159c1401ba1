//! Whichever way a call takes, it passes exactly one exit: a walk over the instructions that
//! shares no code with the planner but the decoder.

use std::collections::{HashMap, HashSet};

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    Register,
};

use crate::plan::{Frame, FunctionCode, FunctionPlan, SiteKind};

struct Walk<'a> {
    instructions: HashMap<u64, Instruction>,
    exits: HashMap<u64, SiteKind>,
    start: u64,
    seen: HashSet<(u64, bool)>,
    pending: Vec<(u64, bool)>,
    info: InstructionInfoFactory,
    name: &'a str,
    piece: &'a dyn Fn(u64) -> Option<FunctionCode<'a>>,
}

/// Panics if a way through the function passes no exit or two. `pads` are where the unwinder
/// enters it; `piece` finds code that no symbol gives it.
pub(super) fn check<'a>(
    name: &'a str,
    code: &[FunctionCode<'_>],
    plan: &FunctionPlan,
    pads: &[u64],
    piece: &'a dyn Fn(u64) -> Option<FunctionCode<'a>>,
) {
    let order: Vec<Instruction> = code.iter().flat_map(decode).collect();
    let mut walk = Walk {
        instructions: order.iter().map(|each| (each.ip(), *each)).collect(),
        piece,
        exits: plan
            .exits
            .iter()
            .map(|site| (site.address, site.kind))
            .collect(),
        start: code[0].address,
        seen: HashSet::new(),
        pending: vec![(code[0].address, false)],
        info: InstructionInfoFactory::new(),
        name,
    };
    if let Some(kind) = exit_at_entry(plan, &walk.instructions) {
        walk.exits.insert(plan.entry.address, kind);
    }
    walk.pending.extend(pads.iter().map(|pad| (*pad, false)));
    walk.run();
    // Code that only tables or the unwinder lead to.
    for instruction in &order {
        let padding = matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
        let seen = [false, true].map(|ended| walk.seen.contains(&(instruction.ip(), ended)));
        if !padding && seen == [false, false] {
            walk.pending.push((instruction.ip(), false));
            walk.run();
        }
    }
}

/// The exit that an entry site stands for as well.
fn exit_at_entry(plan: &FunctionPlan, code: &HashMap<u64, Instruction>) -> Option<SiteKind> {
    let SiteKind::EntryAndExit { condition } = plan.entry.kind else {
        return None;
    };
    let unconditional = match code.get(&plan.entry.address)?.flow_control() {
        FlowControl::Return => SiteKind::Return,
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => SiteKind::TailJump,
        _ => SiteKind::Epilogue {
            condition: None,
            frame: Frame::StackPointer(0),
        },
    };
    Some(
        condition.map_or(unconditional, |condition| SiteKind::ConditionalTailJump {
            condition,
        }),
    )
}

fn decode<'a>(part: &FunctionCode<'a>) -> Decoder<'a> {
    Decoder::with_ip(64, part.bytes, part.address, DecoderOptions::NONE)
}

impl Walk<'_> {
    fn run(&mut self) {
        while let Some((address, ended)) = self.pending.pop() {
            if !self.seen.insert((address, ended)) {
                continue;
            }
            // A call at the end of a piece does not return.
            if let Some(instruction) = self.instructions.get(&address).copied() {
                self.step(&instruction, ended);
            }
        }
    }

    #[track_caller]
    fn expect(&self, holds: bool, instruction: &Instruction, what: &str) {
        assert!(
            holds,
            "{}: {what} at {:#x} ({instruction})",
            self.name,
            instruction.ip()
        );
    }

    /// Goes on at `target`, or leaves if it is outside.
    fn go(&mut self, instruction: &Instruction, target: u64, ended: bool, leaves: bool) {
        if !leaves && !ended && !self.instructions.contains_key(&target) {
            let piece = (self.piece)(target);
            self.expect(piece.is_some(), instruction, "leaves without an exit site");
            let new = piece.iter().flat_map(decode);
            self.instructions.extend(new.map(|each| (each.ip(), each)));
        }
        if leaves || !self.instructions.contains_key(&target) {
            self.expect(ended, instruction, "leaves without an exit site");
        } else {
            self.pending.push((target, ended));
        }
    }

    fn step(&mut self, instruction: &Instruction, ended: bool) {
        let site = self.exits.get(&instruction.ip()).copied();
        if ended {
            self.must_only_restore(instruction);
        }
        match instruction.flow_control() {
            FlowControl::Return => {
                let here = site == Some(SiteKind::Return);
                self.expect(here != ended, instruction, "not one exit on the way");
            }
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                self.jump(instruction, site, ended);
            }
            FlowControl::IndirectBranch => {
                self.expect(!ended, instruction, "an indirect jump behind an exit");
                assert!(matches!(site, None | Some(SiteKind::TailJump)));
            }
            FlowControl::Exception => {}
            _ => {
                let ends = site.is_some();
                self.expect(!(ends && ended), instruction, "two exits");
                if ends {
                    let kind = matches!(
                        site,
                        Some(SiteKind::Epilogue {
                            condition: None,
                            ..
                        })
                    );
                    self.expect(kind, instruction, "an odd exit");
                    self.expect(
                        instruction.mnemonic() == Mnemonic::Nop,
                        instruction,
                        "an exit that is no jump",
                    );
                }
                self.pending.push((instruction.next_ip(), ended || ends));
            }
        }
    }

    fn jump(&mut self, instruction: &Instruction, site: Option<SiteKind>, ended: bool) {
        let target = instruction.near_branch_target();
        let code = instruction.is_jcc_short_or_near().then(|| {
            let bytes = instruction.condition_code() as u8;
            bytes - 1
        });
        // Each way with the condition under which it is taken, if that is one that sites can have.
        let mut ways = vec![(target, code, true)];
        if instruction.flow_control() == FlowControl::ConditionalBranch {
            ways.push((instruction.next_ip(), code.map(|code| code ^ 1), false));
        }
        for (target, condition, taken) in ways {
            let (ends, leaves) = match site {
                None => (false, false),
                Some(SiteKind::TailJump) => (true, true),
                Some(SiteKind::ConditionalTailJump { condition }) => {
                    assert_eq!(Some(condition), code);
                    (taken, taken)
                }
                Some(SiteKind::Epilogue {
                    condition: wanted, ..
                }) => (
                    wanted.is_none_or(|wanted| Some(wanted) == condition),
                    taken && target == self.start,
                ),
                Some(other) => panic!("{}: {other:?} on a jump", self.name),
            };
            self.expect(!(ends && ended), instruction, "two exits");
            self.go(instruction, target, ended || ends, leaves);
        }
    }

    /// Behind an exit, nothing is called and nothing is stored but in the function's frame.
    fn must_only_restore(&mut self, instruction: &Instruction) {
        let calls = matches!(
            instruction.flow_control(),
            FlowControl::Call
                | FlowControl::IndirectCall
                | FlowControl::Interrupt
                | FlowControl::Exception
        );
        let stores = self
            .info
            .info(instruction)
            .used_memory()
            .iter()
            .any(|memory| {
                !matches!(memory.access(), OpAccess::Read | OpAccess::NoMemAccess)
                    && !matches!(memory.base(), Register::RSP | Register::RBP)
            });
        self.expect(
            !calls && !stores,
            instruction,
            "work is left behind an exit",
        );
    }
}
