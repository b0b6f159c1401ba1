//! Where a call is seen to begin; see the same for x86-64.

use super::{
    Body,
    encoding::{Flow, SP, Word},
    site,
};
use crate::plan::{Context, Refusal, Site, SiteKind};

/// Registers that carry arguments in the procedure call standard, and the indirect result.
const STANDARD: std::ops::RangeInclusive<u32> = 0..=8;
/// The same in Go, with the closure context (26) and `g` (28).
const GO: std::ops::RangeInclusive<u32> = 0..=15;
const GO_MORE: [u32; 2] = [26, 28];

/// Finds the cheapest instruction that every call passes exactly once while stack pointer and
/// arguments are as the caller left them.
pub(super) fn find(body: &Body, exits: &[Site], context: &Context<'_>) -> Result<Site, Refusal> {
    let first = if context.go {
        after_stack_check(body)?
    } else {
        body.start
    };
    let limit = first_inner_target(body, body.words[first].address)?;
    let mut best: Option<Site> = None;
    let mut refused = None;
    for word in candidates(body, first, context.go) {
        let behind_limit = limit.is_some_and(|limit| word.address >= limit);
        // Entry and exit at one address would have no order.
        if behind_limit || exits.iter().any(|exit| exit.address == word.address) {
            break;
        }
        match site(word, SiteKind::Entry, context) {
            Ok(site) if best.is_none_or(|best| site.cost < best.cost) => best = Some(site),
            Ok(_) => {}
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    best.ok_or_else(|| {
        refused.unwrap_or_else(|| match body.words[first].jump_target() {
            Some(target) => Refusal::OnlyJumps { target },
            None => Refusal::OnlyReturns,
        })
    })
}

/// Whether the function starts with something that a loop would not go back to.
pub(super) fn runs_prologue(body: &Body) -> bool {
    let mut at = Some(body.start);
    while let Some(index) = at {
        let word = body.words[index];
        if word.may_write(SP) || index == body.start && word.is_landing_pad() {
            return true;
        }
        if word.flow() != Flow::Next {
            return false;
        }
        at = body.next(index);
    }
    false
}

/// The lowest address above `site` that something inside the function jumps to.
fn first_inner_target(body: &Body, site: u64) -> Result<Option<u64>, Refusal> {
    let mut limit: Option<u64> = None;
    for word in &body.words {
        let Some(target) = word.jump_target() else {
            continue;
        };
        if target <= body.entry_address() || !body.contains(target) {
            continue;
        }
        if target <= site {
            return Err(Refusal::LoopsToStart {
                address: word.address,
            });
        }
        limit = Some(limit.map_or(target, |limit| limit.min(target)));
    }
    Ok(limit)
}

/// The instructions of the straight-line block from `first` on, up to and including the first
/// that may change the stack pointer or an argument, or that branches.
fn candidates(body: &Body, first: usize, go: bool) -> Vec<Word> {
    let mut found = Vec::new();
    let mut at = Some(first);
    while let Some(index) = at {
        let word = body.words[index];
        found.push(word);
        let changes = |mut registers: std::ops::RangeInclusive<u32>| {
            registers.any(|register| word.may_write(register))
        };
        let argument = if go {
            changes(GO) || GO_MORE.iter().any(|&register| word.may_write(register))
        } else {
            changes(STANDARD)
        };
        // Go turns a fault into a panic: a call that faults before its probe would be missed.
        let may_fault = go && word.is_plain_load() && word.rn() != SP;
        if word.flow() != Flow::Next || word.may_write(SP) || argument || may_fault {
            break;
        }
        at = body.next(index);
    }
    found
}

/// Index of the first instruction behind Go's stack check, or of the function's first one if it
/// has no check. The path that grows the stack jumps back to before the check.
fn after_stack_check(body: &Body) -> Result<usize, Refusal> {
    if let Some(index) = stack_check_end(body) {
        return Ok(index);
    }
    let entry = body.entry_address();
    let back = body
        .words
        .iter()
        .position(|word| word.jump_target() == Some(entry));
    match back {
        None => Ok(body.start),
        Some(index) if index > 0 && matches!(body.words[index - 1].flow(), Flow::Call(_)) => {
            Err(Refusal::GoStackCheck)
        }
        Some(index) => Err(Refusal::LoopsToStart {
            address: body.words[index].address,
        }),
    }
}

/// `ldr x16, [x28, #16]` (24 on the system stack), arithmetic on the stack pointer that ends in a
/// comparison, `b.ls`. Older compilers use other scratch registers; large frames have a `b.lo` for
/// the underflow before the comparison.
fn stack_check_end(body: &Body) -> Option<usize> {
    const LONGEST: usize = 10;
    let guard = body.words.get(body.start)?;
    // ldr xN, [x28, #16 or #24]
    let loads = matches!(guard.bits & 0xffff_ffe0, 0xf940_0b80 | 0xf940_0f80);
    if !loads {
        return None;
    }
    for index in body.start + 1..(body.start + LONGEST).min(body.words.len()) {
        match body.words[index].flow() {
            // `b.ls`.
            Flow::Conditional(_, 9) => {
                return (index + 1 < body.words.len()).then_some(index + 1);
            }
            // `b.lo`.
            Flow::Next | Flow::Conditional(_, 3) => {}
            _ => return None,
        }
    }
    None
}
