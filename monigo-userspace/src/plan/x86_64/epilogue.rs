//! Cheaper exits: sites in front of the instructions that give the frame back.
//!
//! A `ret` is single-stepped, a relative jump or a nop is emulated. Before many returns there is a
//! stretch of code, the *tail*, in which nothing is left to do but to restore registers: nothing
//! in it can fault, block, unwind or leave but by the return. If every way into the tail is a jump
//! that the kernel emulates, probes on those jumps see each call end exactly once, and the return
//! needs none.
//!
//! Each instruction of the tail is either *open* (a call that comes here has not passed an exit
//! site) or *closed* (it has passed one). An instruction is open if a call can come to it on a way
//! that cannot be probed. Openness spreads forwards over instructions that cannot be sites, and
//! backwards, since a call that has passed a site must not come to an open instruction, where it
//! would pass another. A return that stays open keeps its own site.

use iced_x86::{FlowControl, Instruction, Mnemonic};

use super::{
    Body, flow::Flow, is_padding, jump_target, loops::Order, restores::only_restores, stack::State,
};
use crate::plan::{Context, CostClass, Frame, Site, SiteKind};

/// Most instructions between a site and the return. What they take is missing from the measured
/// duration.
const MAX_BEHIND: u8 = 32;

/// Most sites of this kind that one call may pass. All but the last are conditional jumps that
/// stay in the function; each costs the price of a probe, so that too many are dearer than a return.
const MAX_PASSED: u32 = 2;

/// Replaces returns among `exits` by cheaper sites where that is proven to be the same.
pub(super) fn replace(
    body: &Body<'_>,
    states: &[Option<State>],
    exits: Vec<Site>,
    entry: &Site,
    context: &Context<'_>,
) -> Vec<Site> {
    Tail::new(body, states, &exits, entry, context)
        .and_then(|mut tail| tail.sites())
        .unwrap_or(exits)
}

struct Tail<'a, 'c> {
    body: &'a Body<'a>,
    flow: Flow,
    states: &'a [Option<State>],
    exits: &'a [Site],
    /// Index of the instruction with the entry site.
    entry: usize,
    context: &'a Context<'c>,
    /// For instructions of the tail, how many there are up to the return, itself included; else 0.
    behind: Vec<u8>,
    open: Vec<bool>,
    /// Jumps that must not become sites.
    barred: Vec<bool>,
    /// Where the unwinder enters the function, ascending.
    pads: Vec<usize>,
    /// Padding that nothing leads to.
    dead: Vec<bool>,
}

impl<'a, 'c> Tail<'a, 'c> {
    /// `None` if the function has ways that cannot be known, or nothing to gain.
    fn new(
        body: &'a Body<'a>,
        states: &'a [Option<State>],
        exits: &'a [Site],
        entry: &Site,
        context: &'a Context<'c>,
    ) -> Option<Self> {
        if !exits.iter().any(|site| site.kind == SiteKind::Return)
            || !ways_are_known(body, states, exits)
        {
            return None;
        }
        let count = body.instructions.len();
        let mut tail = Self {
            body,
            flow: Flow::of(body),
            states,
            exits,
            entry: body.index_of(entry.address)?,
            context,
            behind: vec![0; count],
            open: vec![false; count],
            barred: vec![false; count],
            pads: landing_pads(body, context)?,
            dead: vec![false; count],
        };
        tail.find_padding();
        tail.grow();
        Some(tail)
    }

    /// The sites of the function with those of the tail in place of returns.
    fn sites(&mut self) -> Option<Vec<Site>> {
        let mut order: Option<Order> = None;
        loop {
            self.spread();
            let sites = self.new_sites();
            if sites.is_empty() {
                return None;
            }
            let order = order.get_or_insert_with(|| Order::of(&self.flow));
            if !self.bar(order, &sites) {
                return Some(self.merged(&sites));
            }
        }
    }

    /// From where calls can come to `index`.
    fn predecessors(&self, index: usize) -> impl Iterator<Item = usize> {
        self.flow
            .predecessors(index)
            .filter(|&before| !self.dead[before])
    }

    fn find_padding(&mut self) {
        for (index, instruction) in self.body.instructions.iter().enumerate() {
            let before = index.checked_sub(1);
            self.dead[index] = is_padding(instruction)
                && self.states[index].is_none()
                && !self.is_entered(index)
                && before
                    .is_none_or(|before| self.flow.next(before).is_none() || self.dead[before]);
        }
    }

    /// Whether the function's caller, the unwinder or a call inside the function leads to `index`.
    fn is_entered(&self, index: usize) -> bool {
        index == self.body.start
            || self.pads.binary_search(&index).is_ok()
            || self.flow.is_called(index)
    }

    /// Finds the tail, backwards from the returns.
    fn grow(&mut self) {
        let mut pending: Vec<usize> = Vec::new();
        for (index, instruction) in self.body.instructions.iter().enumerate() {
            if instruction.flow_control() == FlowControl::Return {
                self.behind[index] = 1;
                pending.push(index);
            }
        }
        while let Some(index) = pending.pop() {
            for at in self.flow.predecessors(index) {
                if self.behind[at] != 0 || !self.belongs(at) {
                    continue;
                }
                let farthest = self
                    .flow
                    .successors(at)
                    .map(|next| self.behind[next])
                    .try_fold(0, |most, behind| (behind != 0).then_some(most.max(behind)));
                match farthest {
                    Some(behind) if behind < MAX_BEHIND => {
                        self.behind[at] = behind + 1;
                        pending.push(at);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether the instruction may be a part of the tail, if what follows it is one.
    fn belongs(&self, index: usize) -> bool {
        let instruction = &self.body.instructions[index];
        if is_jump(instruction) {
            return !self.leaves(index);
        }
        only_restores(instruction, self.states[index], self.context.go)
    }

    /// Whether the instruction is an exit site by itself.
    fn leaves(&self, index: usize) -> bool {
        let address = self.body.instructions[index].ip();
        exit_at(self.exits, address).is_some()
    }

    fn in_tail(&self, index: usize) -> bool {
        self.behind[index] != 0
    }

    /// Decides which instructions of the tail are open.
    fn spread(&mut self) {
        self.open.fill(false);
        let mut pending = Vec::new();
        for index in 0..self.open.len() {
            if self.in_tail(index) && self.is_reached_otherwise(index) {
                self.open[index] = true;
                pending.push(index);
            }
        }
        while let Some(index) = pending.pop() {
            let before = self.flow.predecessors(index);
            // A site on it closes what follows.
            let usable = self.usable(index).is_some();
            let after = self.flow.successors(index).filter(|_| !usable);
            let touched: Vec<usize> = before.chain(after).collect();
            for at in touched {
                if self.in_tail(at) && !self.open[at] {
                    self.open[at] = true;
                    pending.push(at);
                }
            }
        }
    }

    /// Whether calls come to `index` in another way than through the tail or an usable site.
    fn is_reached_otherwise(&self, index: usize) -> bool {
        let instruction = &self.body.instructions[index];
        let unbalanced = instruction.flow_control() == FlowControl::Return
            && self.states[index].and_then(|state| state.sp) != Some(0);
        unbalanced
            || self.is_entered(index)
            || self.states[index].is_none()
            || self.predecessors(index).next().is_none()
            || !self.predecessors(index).all(|before| {
                let jumps = is_jump(&self.body.instructions[before]);
                self.in_tail(before) || jumps && self.usable(before).is_some()
            })
    }

    /// The frame at `index`, if a site there can see a call end.
    fn usable(&self, index: usize) -> Option<Frame> {
        let instruction = &self.body.instructions[index];
        if self.barred[index]
            || (self.body.start..=self.entry).contains(&index)
            || !(is_jump(instruction) || instruction.mnemonic() == Mnemonic::Nop)
        {
            return None;
        }
        let state = self.states[index]?;
        // A jump that also leaves is a site already; then both of its ways must be ends.
        if is_jump(instruction) && self.leaves(index) && state.sp != Some(0) {
            return None;
        }
        let site = self.body.site(instruction, SiteKind::Return, self.context);
        if site.ok()?.cost != CostClass::Emulated {
            return None;
        }
        frame(state)
    }

    fn closed(&self, index: usize) -> bool {
        self.in_tail(index) && !self.open[index]
    }

    /// Instructions from which calls come to a closed instruction that have not passed a site,
    /// ascending.
    fn new_sites(&self) -> Vec<usize> {
        let mut sites: Vec<usize> = (0..self.open.len())
            .filter(|&index| self.closed(index))
            .flat_map(|index| self.predecessors(index))
            .filter(|&before| !self.closed(before))
            .collect();
        sites.sort_unstable();
        sites.dedup();
        sites
    }

    /// Bars jumps that one call can pass repeatedly, and those that come after too many others.
    /// Whether there were any.
    fn bar(&mut self, order: &Order, sites: &[usize]) -> bool {
        let mut any = false;
        for &site in sites {
            if order.is_on_cycle(site) {
                self.barred[site] = true;
                any = true;
            }
        }
        if any {
            return true;
        }
        let passed = order.passed(&self.flow, sites);
        for (&site, passed) in sites.iter().zip(passed) {
            if passed > MAX_PASSED {
                self.barred[site] = true;
                any = true;
            }
        }
        any
    }

    fn merged(&self, new: &[usize]) -> Vec<Site> {
        let is_new = |address| {
            let index = self.body.index_of(address);
            index.is_some_and(|index| new.binary_search(&index).is_ok())
        };
        let is_closed_return = |site: &Site| {
            let index = self.body.index_of(site.address);
            site.kind == SiteKind::Return && index.is_some_and(|index| self.closed(index))
        };
        let mut sites: Vec<Site> = self
            .exits
            .iter()
            .filter(|site| !is_closed_return(site) && !is_new(site.address))
            .copied()
            .collect();
        sites.extend(new.iter().filter_map(|&index| self.site(index)));
        sites.sort_by_key(|site| site.address);
        sites
    }

    fn site(&self, index: usize) -> Option<Site> {
        let instruction = &self.body.instructions[index];
        let frame = self.usable(index)?;
        let condition = instruction.is_jcc_short_or_near().then(|| {
            let code = super::condition(instruction);
            let target = self.flow.target(index);
            let taken = self.leaves(index) || target.is_some_and(|target| self.closed(target));
            let not_taken = self.flow.next(index).is_some_and(|next| self.closed(next));
            match (taken, not_taken) {
                (true, true) => None,
                (true, false) => Some(code),
                (false, _) => Some(code ^ 1),
            }
        });
        let kind = SiteKind::Epilogue {
            condition: condition.flatten(),
            frame,
        };
        self.body.site(instruction, kind, self.context).ok()
    }
}

/// Where the unwinder can enter the function, ascending. `None` if that is not known.
fn landing_pads(body: &Body<'_>, context: &Context<'_>) -> Option<Vec<usize>> {
    let mut pads = Vec::new();
    for part in body.code {
        let end = part.address.checked_add(part.bytes.len() as u64)?;
        for pad in (context.landing_pads)(part.address..end)? {
            // Outside of what is known, it may go anywhere from there.
            pads.push(body.index_of(pad)?);
        }
    }
    pads.sort_unstable();
    Some(pads)
}

/// Whether all jumps of the function are understood: none goes to places that only a table knows,
/// and none leaves that may come back.
fn ways_are_known(body: &Body<'_>, states: &[Option<State>], exits: &[Site]) -> bool {
    let mut instructions = body.instructions.iter().enumerate();
    instructions.all(|(index, instruction)| {
        let flow = instruction.flow_control();
        let indirect = flow == FlowControl::IndirectBranch;
        if !indirect && jump_target(instruction).is_none() {
            return true;
        }
        match exit_at(exits, instruction.ip()) {
            None => !indirect,
            // A tail call through a pointer is one whatever is known of the stack pointer.
            Some(_) => indirect || states[index].is_some_and(|state| state.sp == Some(0)),
        }
    })
}

fn exit_at(exits: &[Site], address: u64) -> Option<&Site> {
    let index = exits.binary_search_by_key(&address, |site| site.address);
    index.ok().map(|index| &exits[index])
}

/// A jump that the kernel emulates.
fn is_jump(instruction: &Instruction) -> bool {
    instruction.is_jmp_short_or_near() || instruction.is_jcc_short_or_near()
}

/// Where the stack pointer was at entry, seen from a register.
fn frame(state: State) -> Option<Frame> {
    let words = |offset: i64| {
        let bytes = offset.checked_neg()?;
        (bytes % 8 == 0)
            .then(|| u16::try_from(bytes / 8).ok())
            .flatten()
    };
    state
        .sp
        .and_then(words)
        .map(Frame::StackPointer)
        .or_else(|| state.bp.and_then(words).map(Frame::FramePointer))
}
