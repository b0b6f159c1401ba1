//! Planning functions of an open image.

use std::{
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    Context, Fragments, FunctionCode, FunctionPlan, MAX_FRAGMENTS, Machine, Refusal, SiteKind,
    arm64, plan_on, references::References, x86_64,
};
use crate::{
    symbols::{Function, FunctionKind, Image},
    sync::join,
};

/// Why a function cannot be probed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// There is no code to probe.
    #[error("{0}")]
    NoCode(String),
    /// The code is there, but no safe sites could be proven.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl Unplannable {
    /// The kind of reason in a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::NoCode(reason) => reason.clone(),
            Self::Refused(refusal) => refusal.summary().to_owned(),
        }
    }
}

/// Functions that are planned on one thread at least, for a second to be worth its start.
const LEAST_PER_THREAD: usize = 200;

/// Plans functions of one image; reads its unwind tables once.
pub struct ImagePlanner<'i> {
    image: &'i Image,
    fragments: Fragments,
    /// Filled when it is first needed.
    references: OnceLock<References>,
}

impl<'i> ImagePlanner<'i> {
    /// Prepares to plan functions of `image`.
    pub fn new(image: &'i Image) -> Self {
        let fragments = image
            .eh_frame()
            .map(|(bytes, address)| Fragments::from_eh_frame(bytes, address))
            .unwrap_or_default();
        Self {
            image,
            fragments,
            references: OnceLock::new(),
        }
    }

    /// The instruction at an address of code, as text.
    pub fn instruction(&self, address: u64) -> Option<String> {
        const LONGEST: u64 = 15;
        let bytes = (1..=LONGEST)
            .rev()
            .find_map(|length| self.image.code(address..address.checked_add(length)?))?;
        match self.image.machine() {
            Machine::X86_64 => x86_64::instruction(address, bytes),
            Machine::Arm64 => arm64::instruction(address, bytes),
        }
    }

    /// The sites of each of `functions`, planned on all CPUs.
    pub fn plan_all(&self, functions: &[&Function]) -> Vec<Result<FunctionPlan, Unplannable>> {
        let plan_each = |functions: &[&Function]| -> Vec<_> {
            functions
                .iter()
                .map(|function| self.plan(function))
                .collect()
        };
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let threads = cpus.min(functions.len() / LEAST_PER_THREAD);
        if threads < 2 {
            return plan_each(functions);
        }
        // Many small shares, since functions differ in size and lie together by size.
        let shares: Vec<&[&Function]> = functions.chunks(LEAST_PER_THREAD).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(share) = shares.get(index) else {
                    return done;
                };
                done.push((index, plan_each(share)));
            }
        };
        let mut done: Vec<(usize, Vec<_>)> = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for other in others {
                done.extend(join(other));
            }
            done
        });
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().flat_map(|(_, plans)| plans).collect()
    }

    /// The sites of `function`.
    pub fn plan(&self, function: &Function) -> Result<FunctionPlan, Unplannable> {
        if let Some(reason) = function.kind.refusal() {
            return Err(Unplannable::NoCode(reason));
        }
        debug_assert_eq!(function.kind, FunctionKind::Code);
        let mut ranges = function.ranges.clone();
        loop {
            let plan = self.plan_ranges(&ranges)?;
            match self.unnamed_part(&plan, &ranges) {
                Some(part) if ranges.len() < function.ranges.len() + MAX_FRAGMENTS => {
                    ranges.push(part);
                }
                _ => return Ok(plan),
            }
        }
    }

    /// A piece of code that a jump out of `ranges` goes to and that can only be a part of the same
    /// function: it has no name, and nothing else calls or jumps there. Only images without a full
    /// symbol table have such pieces; elsewhere what looks like a tail call is one.
    fn unnamed_part(&self, plan: &FunctionPlan, ranges: &[Range<u64>]) -> Option<Range<u64>> {
        if self.image.has_symtab() || self.image.go().is_some() {
            return None;
        }
        plan.exits.iter().find_map(|site| {
            let leaves = matches!(
                site.kind,
                SiteKind::TailJump | SiteKind::ConditionalTailJump { .. }
            );
            let target = leaves.then(|| self.jump_target(site.address))??;
            let piece = self.fragments.containing(target)?;
            let known = ranges.iter().any(|range| range.contains(&piece.start));
            if known || self.image.function_at(piece.start).is_some() {
                return None;
            }
            let references = self
                .references
                .get_or_init(|| References::of(self.image, &self.fragments));
            references.are_jumps_from(&piece, ranges).then_some(piece)
        })
    }

    fn jump_target(&self, address: u64) -> Option<u64> {
        // The longest direct jump has six bytes.
        let bytes = (2..=6)
            .rev()
            .find_map(|length| self.image.code(address..address.checked_add(length)?))?;
        match self.image.machine() {
            Machine::X86_64 => x86_64::direct_jump(address, bytes),
            Machine::Arm64 => arm64::direct_jump(address, bytes),
        }
    }

    fn plan_ranges(&self, ranges: &[Range<u64>]) -> Result<FunctionPlan, Unplannable> {
        let code: Option<Vec<FunctionCode<'_>>> = ranges
            .iter()
            .map(|range| {
                let bytes = self.image.code(range.clone())?;
                Some(FunctionCode {
                    address: range.start,
                    bytes,
                })
            })
            .collect();
        let code = code.ok_or_else(|| {
            Unplannable::NoCode("its bytes are not in an executable segment of the file".to_owned())
        })?;
        let read = |address: u64, length: usize| {
            let end = address.checked_add(u64::try_from(length).ok()?)?;
            self.image.bytes(address..end)
        };
        let context = Context {
            go: self.image.go().is_some(),
            file_offset: &|address| self.image.file_offset(address),
            fragment: &|address| self.fragments.containing(address),
            read: &read,
            landing_pads: &|range| self.fragments.landing_pads(range, &read),
        };
        Ok(plan_on(self.image.machine(), &code, &context)?)
    }
}
