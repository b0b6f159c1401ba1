//! Planning for x86-64.

mod entry;
mod epilogue;
mod flow;
mod indirect;
mod kernel;
mod loops;
mod restores;
mod stack;

use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, Mnemonic};

use self::indirect::Indirect;
use super::{
    Architecture, Context, CostClass, FunctionCode, FunctionPlan, Refusal, Site, SiteKind,
};

/// x86-64.
pub(super) struct X86_64;

impl Architecture for X86_64 {
    fn plan(code: &[FunctionCode<'_>], context: &Context<'_>) -> Result<FunctionPlan, Refusal> {
        let body = Body::decode(code)?;
        let states = stack::track(&body, context);
        let exits = exits(&body, &states, context)?;
        let (entry, seen) = entry::find(&body, &exits, context)?;
        let mut exits = match entry.kind {
            SiteKind::EntryAndExit { condition: None } => exits,
            _ => epilogue::replace(&body, &states, exits, &entry, context),
        };
        exits.retain(|exit| Some(exit.address) != seen);
        Ok(FunctionPlan { entry, exits })
    }
}

/// The instruction that `bytes` begin with, as text.
pub(super) fn instruction(address: u64, bytes: &[u8]) -> Option<String> {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then(|| instruction.to_string())
}

/// A function as a list of instructions.
struct Body<'a> {
    /// Ascending by address, over all ranges.
    instructions: Vec<Instruction>,
    /// Index of the first instruction of the function.
    start: usize,
    code: &'a [FunctionCode<'a>],
}

impl<'a> Body<'a> {
    /// Decodes and checks everything that must hold before any site may be trusted.
    fn decode(code: &'a [FunctionCode<'a>]) -> Result<Self, Refusal> {
        let mut order: Vec<&FunctionCode<'_>> =
            code.iter().filter(|part| !part.bytes.is_empty()).collect();
        order.sort_by_key(|part| part.address);
        let mut instructions: Vec<Instruction> = Vec::new();
        for part in order {
            if let Some(last) = instructions.last()
                && last.next_ip() > part.address
            {
                return Err(Refusal::Overlap {
                    address: part.address,
                });
            }
            decode_part(part, &mut instructions)?;
        }
        let entry = code[0].address;
        let body = Self {
            start: index_of(&instructions, entry).ok_or(Refusal::Empty)?,
            instructions,
            code,
        };
        body.check_branches()?;
        Ok(body)
    }

    fn entry_address(&self) -> u64 {
        self.code[0].address
    }

    /// Whether `address` is in one of the function's ranges.
    fn contains(&self, address: u64) -> bool {
        self.code.iter().any(|part| {
            address
                .checked_sub(part.address)
                .is_some_and(|offset| offset < part.bytes.len() as u64)
        })
    }

    fn index_of(&self, address: u64) -> Option<usize> {
        index_of(&self.instructions, address)
    }

    /// The encoding of `instruction`.
    fn bytes(&self, instruction: &Instruction) -> &'a [u8] {
        self.code
            .iter()
            .find_map(|part| {
                let offset = instruction.ip().checked_sub(part.address)? as usize;
                part.bytes.get(offset..offset + instruction.len())
            })
            .unwrap_or(&[])
    }

    /// Every direct branch inside the function must land on an instruction.
    fn check_branches(&self) -> Result<(), Refusal> {
        for instruction in &self.instructions {
            let Some(target) = direct_target(instruction) else {
                continue;
            };
            // A call into the own body is how position-independent and retpoline code reads
            // or replaces its return address: it must land on a boundary as well.
            if self.contains(target) && self.index_of(target).is_none() {
                return Err(Refusal::MidInstruction {
                    address: instruction.ip(),
                    target,
                });
            }
        }
        Ok(())
    }

    /// Makes the site for `instruction`, if the kernel takes it.
    fn site(
        &self,
        instruction: &Instruction,
        kind: SiteKind,
        context: &Context<'_>,
    ) -> Result<Site, Refusal> {
        let address = instruction.ip();
        let file_offset = (context.file_offset)(address).ok_or(Refusal::NotInFile { address })?;
        let cost =
            kernel::cost(instruction, self.bytes(instruction), file_offset).ok_or_else(|| {
                Refusal::Unprobeable {
                    address,
                    what: format!("{:?}", instruction.mnemonic()).to_lowercase(),
                }
            })?;
        Ok(Site {
            address,
            file_offset,
            kind,
            cost,
        })
    }
}

fn index_of(instructions: &[Instruction], address: u64) -> Option<usize> {
    instructions
        .binary_search_by_key(&address, Instruction::ip)
        .ok()
}

fn decode_part(part: &FunctionCode<'_>, out: &mut Vec<Instruction>) -> Result<(), Refusal> {
    let mut decoder = Decoder::with_ip(64, part.bytes, part.address, DecoderOptions::NONE);
    let mut last_real = None;
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            let address = instruction.ip();
            return Err(match decoder.last_error() {
                DecoderError::NoMoreBytes => Refusal::Truncated { address },
                _ => Refusal::Undecodable { address },
            });
        }
        if !is_padding(&instruction) {
            last_real = Some(instruction);
        }
        out.push(instruction);
    }
    match last_real {
        Some(last) if may_continue(&last) => Err(Refusal::FallsThrough { address: last.ip() }),
        Some(_) => Ok(()),
        None => Err(Refusal::Empty),
    }
}

fn is_padding(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
}

/// Whether execution can run on behind `instruction` when it is the last of a range. A call that
/// ends a range is one that does not return, else the compiler would have put something there.
fn may_continue(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => {
            instruction.mnemonic() != Mnemonic::Hlt
        }
        FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch
        | FlowControl::Return
        | FlowControl::Call
        | FlowControl::IndirectCall
        | FlowControl::Interrupt
        | FlowControl::Exception => false,
    }
}

/// Where the direct jump at `address` goes, if there is one.
pub(super) fn direct_jump(address: u64, bytes: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    jump_target(&decoder.decode())
}

/// Where a direct jump or call goes.
fn direct_target(instruction: &Instruction) -> Option<u64> {
    let direct = matches!(
        instruction.flow_control(),
        FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
            | FlowControl::Call
            | FlowControl::XbeginXabortXend
    ) && matches!(
        instruction.op0_kind(),
        iced_x86::OpKind::NearBranch16
            | iced_x86::OpKind::NearBranch32
            | iced_x86::OpKind::NearBranch64
    );
    direct.then(|| instruction.near_branch_target())
}

/// Where a direct jump (not a call) goes.
fn jump_target(instruction: &Instruction) -> Option<u64> {
    (instruction.flow_control() != FlowControl::Call)
        .then(|| direct_target(instruction))
        .flatten()
}

fn unprobeable(instruction: &Instruction, what: &str) -> Refusal {
    Refusal::Unprobeable {
        address: instruction.ip(),
        what: what.to_owned(),
    }
}

/// Every instruction through which a call can end.
fn exits(
    body: &Body<'_>,
    states: &[Option<stack::State>],
    context: &Context<'_>,
) -> Result<Vec<Site>, Refusal> {
    let mut exits = Vec::new();
    for (index, instruction) in body.instructions.iter().enumerate() {
        let moved = states[index].and_then(|state| state.sp);
        let kind = match instruction.flow_control() {
            FlowControl::Return => Some(return_kind(instruction, moved)?),
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                direct_exit(body, instruction, moved, context)?
            }
            FlowControl::IndirectBranch => match indirect::classify(body, index, moved, context) {
                Indirect::Inside => None,
                Indirect::TailCall => Some(SiteKind::TailJump),
                Indirect::Unclear => {
                    return Err(Refusal::AmbiguousJump {
                        address: instruction.ip(),
                    });
                }
            },
            _ => None,
        };
        if let Some(kind) = kind {
            exits.push(body.site(instruction, kind, context)?);
        }
    }
    Ok(exits)
}

fn return_kind(instruction: &Instruction, moved: Option<i64>) -> Result<SiteKind, Refusal> {
    if !matches!(instruction.code(), Code::Retnq | Code::Retnq_imm16) {
        return Err(unprobeable(instruction, "not a near return"));
    }
    if moved.is_some_and(|bytes| bytes != 0) {
        return Err(Refusal::OddReturn {
            address: instruction.ip(),
        });
    }
    Ok(SiteKind::Return)
}

fn direct_exit(
    body: &Body<'_>,
    instruction: &Instruction,
    moved: Option<i64>,
    context: &Context<'_>,
) -> Result<Option<SiteKind>, Refusal> {
    let Some(target) = jump_target(instruction) else {
        return Err(unprobeable(instruction, "far jump"));
    };
    let address = instruction.ip();
    if target == body.entry_address() {
        // In Go this is the way back from growing the stack; `entry` looks at it.
        if context.go {
            return Ok(None);
        }
        if moved.is_some_and(|bytes| bytes != 0) || !entry::runs_prologue(body) {
            return Err(Refusal::LoopsToStart { address });
        }
    } else if body.contains(target) {
        return Ok(None);
    }
    if moved.is_some_and(|bytes| bytes != 0) {
        return Err(Refusal::LeavesWithFrame { address, target });
    }
    if instruction.flow_control() == FlowControl::UnconditionalBranch {
        return Ok(Some(SiteKind::TailJump));
    }
    if !instruction.is_jcc_short_or_near() {
        return Err(unprobeable(instruction, "a counting jump that leaves"));
    }
    Ok(Some(SiteKind::ConditionalTailJump {
        condition: condition(instruction),
    }))
}

/// Low nibble of the opcode of a `jcc`.
fn condition(instruction: &Instruction) -> u8 {
    // `ConditionCode` counts from 1 in the order of the opcodes.
    (instruction.condition_code() as u8).wrapping_sub(1)
}

/// Whether a site of class `a` is cheaper than one of class `b`.
fn cheaper(a: CostClass, b: CostClass) -> bool {
    a < b
}
