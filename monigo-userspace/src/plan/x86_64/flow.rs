//! From which instruction control goes to which.

use iced_x86::{FlowControl, Instruction};

use super::{Body, direct_target, jump_target};

/// The control flow of one function, except indirect jumps.
pub(super) struct Flow {
    /// Whether control goes on from each instruction to the next one in the list.
    falls: Vec<bool>,
    /// Where each jump goes inside the function.
    targets: Vec<Option<u32>>,
    /// (target, source) of each jump inside the function, ascending.
    jumps: Vec<(u32, u32)>,
    /// Targets of calls and aborted transactions inside the function, ascending.
    called: Vec<u32>,
}

impl Flow {
    pub(super) fn of(body: &Body<'_>) -> Self {
        let instructions = &body.instructions;
        let mut flow = Self {
            falls: Vec::with_capacity(instructions.len()),
            targets: vec![None; instructions.len()],
            jumps: Vec::new(),
            called: Vec::new(),
        };
        for (index, instruction) in instructions.iter().enumerate() {
            let adjacent = instructions
                .get(index + 1)
                .is_some_and(|next| next.ip() == instruction.next_ip());
            flow.falls.push(adjacent && continues(instruction));
            let Some(target) = direct_target(instruction) else {
                continue;
            };
            let is_jump = jump_target(instruction).is_some()
                && instruction.flow_control() != FlowControl::XbeginXabortXend;
            match body.index_of(target) {
                Some(target) if is_jump => {
                    flow.targets[index] = Some(target as u32);
                    flow.jumps.push((target as u32, index as u32));
                }
                Some(target) => flow.called.push(target as u32),
                None => {}
            }
        }
        flow.jumps.sort_unstable();
        flow.called.sort_unstable();
        flow
    }

    /// `jumps` are (from, to); each of `count` instructions but the last falls to the next.
    #[cfg(test)]
    pub(super) fn for_test(count: usize, jumps: &[(u32, u32)]) -> Self {
        let mut flow = Self {
            falls: (1..=count).map(|next| next < count).collect(),
            targets: vec![None; count],
            jumps: jumps.iter().map(|(from, to)| (*to, *from)).collect(),
            called: Vec::new(),
        };
        for (from, to) in jumps {
            flow.targets[*from as usize] = Some(*to);
        }
        flow.jumps.sort_unstable();
        flow
    }

    /// Number of instructions.
    pub(super) fn len(&self) -> usize {
        self.falls.len()
    }

    /// The instruction behind `index`, if control goes there.
    pub(super) fn next(&self, index: usize) -> Option<usize> {
        self.falls[index].then_some(index + 1)
    }

    /// Where the jump at `index` goes, inside the function.
    pub(super) fn target(&self, index: usize) -> Option<usize> {
        self.targets[index].map(|target| target as usize)
    }

    /// Whether something inside the function calls `index`.
    pub(super) fn is_called(&self, index: usize) -> bool {
        self.called.binary_search(&(index as u32)).is_ok()
    }

    /// Where control can go from `index`, inside the function.
    pub(super) fn successors(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        self.next(index).into_iter().chain(self.target(index))
    }

    /// From where control can come to `index`, inside the function.
    pub(super) fn predecessors(&self, index: usize) -> impl Iterator<Item = usize> + use<'_> {
        let wanted = index as u32;
        let first = self.jumps.partition_point(|(target, _)| *target < wanted);
        let jumps = self.jumps[first..]
            .iter()
            .take_while(move |(target, _)| *target == wanted)
            .map(|(_, source)| *source as usize);
        let before = index.checked_sub(1).filter(|&before| self.falls[before]);
        before.into_iter().chain(jumps)
    }
}

/// Whether control can go on behind `instruction`.
pub(super) fn continues(instruction: &Instruction) -> bool {
    !matches!(
        instruction.flow_control(),
        FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::Return
            | FlowControl::Exception
    )
}
