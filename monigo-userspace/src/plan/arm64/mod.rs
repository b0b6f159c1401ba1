//! Planning for arm64. Returns are cheap here (the kernel simulates them), so there is nothing to
//! gain from sites before an epilogue.

mod encoding;
mod entry;
mod indirect;
mod stack;

use yaxpeax_arch::{Decoder as _, U8Reader};
use yaxpeax_arm::armv8::a64::InstDecoder;

use self::{
    encoding::{Flow, LENGTH, Word},
    indirect::Indirect,
};
use super::{Architecture, Context, FunctionCode, FunctionPlan, Refusal, Site, SiteKind};

/// arm64.
pub(super) struct Arm64;

impl Architecture for Arm64 {
    fn plan(code: &[FunctionCode<'_>], context: &Context<'_>) -> Result<FunctionPlan, Refusal> {
        let body = Body::decode(code)?;
        let states = stack::track(&body, context);
        let exits = exits(&body, &states, context)?;
        let entry = entry::find(&body, &exits, context)?;
        Ok(FunctionPlan { entry, exits })
    }
}

/// The instruction that `bytes` begin with, as text.
pub(super) fn instruction(address: u64, bytes: &[u8]) -> Option<String> {
    let word = word(address, bytes)?;
    let text = decoded(word.bits)?.to_string();
    // The decoder writes distances; where they lead says more.
    let target = match word.flow() {
        Flow::Call(target) => target,
        _ => word.jump_target(),
    };
    match (
        target,
        text.rsplit_once("$+").or_else(|| text.rsplit_once("$-")),
    ) {
        (Some(target), Some((start, _))) => Some(format!("{start}{target:#x}")),
        _ => Some(text),
    }
}

/// Where a direct jump (not a call) goes.
pub(super) fn direct_jump(address: u64, bytes: &[u8]) -> Option<u64> {
    word(address, bytes)?.jump_target()
}

/// Direct calls and jumps in `code`: from where, to where, and whether it is a call.
pub(super) fn references(address: u64, code: &[u8]) -> impl Iterator<Item = (u64, u64, bool)> {
    let addresses = (address..).step_by(LENGTH as usize);
    let words = addresses.zip(code.chunks_exact(LENGTH as usize));
    words.filter_map(|(address, bytes)| {
        let word = word(address, bytes)?;
        match word.flow() {
            Flow::Call(target) => Some((address, target?, true)),
            _ => Some((address, word.jump_target()?, false)),
        }
    })
}

fn word(address: u64, bytes: &[u8]) -> Option<Word> {
    let bits = u32::from_le_bytes(*bytes.first_chunk()?);
    Some(Word { address, bits })
}

/// A function as a list of instructions.
struct Body {
    /// Ascending by address, over all ranges.
    words: Vec<Word>,
    /// Index of the first instruction of the function.
    start: usize,
}

impl Body {
    fn decode(code: &[FunctionCode<'_>]) -> Result<Self, Refusal> {
        let mut order: Vec<&FunctionCode<'_>> =
            code.iter().filter(|part| !part.bytes.is_empty()).collect();
        order.sort_by_key(|part| part.address);
        let mut words: Vec<Word> = Vec::new();
        for part in order {
            if let Some(last) = words.last()
                && last.next() > part.address
            {
                return Err(Refusal::Overlap {
                    address: part.address,
                });
            }
            decode_part(part, &mut words)?;
        }
        let body = Self {
            start: index_of(&words, code[0].address).ok_or(Refusal::Empty)?,
            words,
        };
        for word in &body.words {
            if let Some(address) = word.literal()
                && body.contains(address & !(LENGTH - 1))
            {
                return Err(Refusal::Undecodable { address });
            }
        }
        Ok(body)
    }

    fn entry_address(&self) -> u64 {
        self.words[self.start].address
    }

    fn contains(&self, address: u64) -> bool {
        self.index_of(address).is_some()
    }

    fn index_of(&self, address: u64) -> Option<usize> {
        index_of(&self.words, address)
    }

    /// The instruction behind `index` if control goes there.
    fn next(&self, index: usize) -> Option<usize> {
        let word = self.words[index];
        let continues = matches!(
            word.flow(),
            Flow::Next | Flow::Conditional(..) | Flow::Test(_) | Flow::Call(_)
        );
        let next = self.words.get(index + 1)?;
        (continues && next.address == word.next()).then_some(index + 1)
    }
}

/// Makes the site for `word`, if the kernel takes it.
fn site(word: Word, kind: SiteKind, context: &Context<'_>) -> Result<Site, Refusal> {
    let address = word.address;
    let file_offset = (context.file_offset)(address).ok_or(Refusal::NotInFile { address })?;
    let cost = word
        .cost()
        .ok_or_else(|| unprobeable(word, &mnemonic(word)))?;
    Ok(Site {
        address,
        file_offset,
        kind,
        cost,
    })
}

fn index_of(words: &[Word], address: u64) -> Option<usize> {
    words
        .binary_search_by_key(&address, |word| word.address)
        .ok()
}

fn decode_part(part: &FunctionCode<'_>, out: &mut Vec<Word>) -> Result<(), Refusal> {
    let mut last_real = None;
    let mut address = part.address;
    let mut chunks = part.bytes.chunks_exact(LENGTH as usize);
    for chunk in &mut chunks {
        let bits = chunk.try_into().map(u32::from_le_bytes);
        let Ok(bits) = bits else { break };
        let word = Word { address, bits };
        if !is_instruction(bits) {
            return Err(Refusal::Undecodable { address });
        }
        if !word.is_padding() {
            last_real = Some(word);
        }
        out.push(word);
        address = word.next();
    }
    if !chunks.remainder().is_empty() {
        return Err(Refusal::Truncated { address });
    }
    match last_real {
        Some(last)
            if matches!(
                last.flow(),
                Flow::Next | Flow::Conditional(..) | Flow::Test(_)
            ) =>
        {
            Err(Refusal::FallsThrough {
                address: last.address,
            })
        }
        Some(_) => Ok(()),
        None => Err(Refusal::Empty),
    }
}

fn decoded(bits: u32) -> Option<yaxpeax_arm::armv8::a64::Instruction> {
    let bytes = bits.to_le_bytes();
    InstDecoder::default()
        .decode(&mut U8Reader::new(&bytes))
        .ok()
}

/// Zeros are padding.
fn is_instruction(bits: u32) -> bool {
    bits == 0 || decoded(bits).is_some()
}

fn mnemonic(word: Word) -> String {
    let text = decoded(word.bits).map(|instruction| instruction.to_string());
    let text = text.unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

fn unprobeable(word: Word, what: &str) -> Refusal {
    Refusal::Unprobeable {
        address: word.address,
        what: what.to_owned(),
    }
}

/// Every instruction through which a call can end.
fn exits(
    body: &Body,
    states: &[Option<stack::State>],
    context: &Context<'_>,
) -> Result<Vec<Site>, Refusal> {
    let mut exits = Vec::new();
    for (index, &word) in body.words.iter().enumerate() {
        let address = word.address;
        let moved = states[index].and_then(|state| state.sp);
        let kind = match word.flow() {
            Flow::Return if moved.is_some_and(|bytes| bytes != 0) => {
                return Err(Refusal::OddReturn { address });
            }
            Flow::Return => Some(SiteKind::Return),
            Flow::Jump(target) | Flow::Conditional(target, _) | Flow::Test(target) => {
                direct_exit(body, word, target, moved, context)?
            }
            Flow::Indirect(register) => {
                match indirect::classify(body, index, register, moved, context) {
                    Indirect::Inside => None,
                    Indirect::TailCall => Some(SiteKind::TailJump),
                    Indirect::Unclear => return Err(Refusal::AmbiguousJump { address }),
                }
            }
            Flow::Next | Flow::Call(_) | Flow::Stop => None,
        };
        if let Some(kind) = kind {
            exits.push(site(word, kind, context)?);
        }
    }
    Ok(exits)
}

fn direct_exit(
    body: &Body,
    word: Word,
    target: u64,
    moved: Option<i64>,
    context: &Context<'_>,
) -> Result<Option<SiteKind>, Refusal> {
    let address = word.address;
    let has_frame = moved.is_some_and(|bytes| bytes != 0);
    if target == body.entry_address() {
        // In Go this is the way back from growing the stack; `entry` looks at it.
        if context.go {
            return Ok(None);
        }
        if has_frame || !entry::runs_prologue(body) {
            return Err(Refusal::LoopsToStart { address });
        }
    } else if body.contains(target) {
        return Ok(None);
    }
    if has_frame {
        return Err(Refusal::LeavesWithFrame { address, target });
    }
    match word.flow() {
        Flow::Jump(_) => Ok(Some(SiteKind::TailJump)),
        Flow::Conditional(_, condition) => Ok(Some(SiteKind::ConditionalTailJump { condition })),
        // Whether it is taken does not follow from the flags.
        _ => Err(unprobeable(word, "a test of a register that leaves")),
    }
}
