//! Where the running kernel keeps what monigo reads of a thread, from the kernel's own type
//! information.

use std::collections::HashMap;

use btf_rs::{Backend, Btf, BtfType as _, Type};

/// The kernel's type information.
pub(super) const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Offsets in bytes that tell a thread's own stack from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadLayout {
    /// Of `thread.fsbase` in `task_struct`.
    pub fsbase: u32,
    /// Of `mm` in `task_struct`.
    pub mm: u32,
    /// Of `start_stack` in `mm_struct`.
    pub start_stack: u32,
}

/// Offsets in bytes that lead to the return addresses which return probes have replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnProbeLayout {
    /// Of `utask` in `task_struct`.
    pub utask: u32,
    /// Of `return_instances` in `uprobe_task`.
    pub instances: u32,
    /// Of `stack` in `return_instance`.
    pub stack: u32,
    /// Of `orig_ret_vaddr` in `return_instance`.
    pub address: u32,
    /// Of `next` in `return_instance`.
    pub next: u32,
}

/// What raw tracepoints of the scheduler need, which hand over `task_struct`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchLayout {
    /// Offset in bytes of `pid` in `task_struct`.
    pub pid: u32,
    /// Offset in bytes of the thread's state; 0 where `sched_switch` hands it over (Linux 5.18).
    pub state: u32,
}

/// What monigo knows of the running kernel's types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// `None` when the kernel does not describe it.
    pub thread: Option<ThreadLayout>,
    /// `None` when the kernel does not describe it.
    pub return_probes: Option<ReturnProbeLayout>,
    /// `None` when the kernel does not describe it.
    pub switches: Option<SwitchLayout>,
}

impl Layout {
    /// The running kernel's.
    pub fn of_kernel() -> Self {
        // Mapping it is faster, and possible from Linux 6.16.
        let btf = Btf::from_file_with_backend(VMLINUX, Backend::Mmap)
            .or_else(|_| Btf::from_file(VMLINUX));
        let Ok(btf) = btf else {
            return Self::default();
        };
        let mut types = Types {
            btf,
            structures: HashMap::new(),
        };
        Self {
            thread: ThreadLayout::of(&mut types),
            return_probes: ReturnProbeLayout::of(&mut types),
            switches: SwitchLayout::of(&mut types),
        }
    }
}

impl ThreadLayout {
    fn of(types: &mut Types) -> Option<Self> {
        Some(Self {
            fsbase: types.offset("task_struct", "thread")?
                + types.offset("thread_struct", "fsbase")?,
            mm: types.offset("task_struct", "mm")?,
            start_stack: types.offset("mm_struct", "start_stack")?,
        })
    }
}

impl ReturnProbeLayout {
    fn of(types: &mut Types) -> Option<Self> {
        Some(Self {
            utask: types.offset("task_struct", "utask")?,
            instances: types.offset("uprobe_task", "return_instances")?,
            stack: types.offset("return_instance", "stack")?,
            address: types.offset("return_instance", "orig_ret_vaddr")?,
            next: types.offset("return_instance", "next")?,
        })
    }
}

impl SwitchLayout {
    fn of(types: &mut Types) -> Option<Self> {
        /// Of the program's own data, whether it was preempted, who leaves, who comes, and the state.
        const WITH_STATE: usize = 5;
        let btf = &types.btf;
        let found = btf.resolve_types_by_name("btf_trace_sched_switch").ok()?;
        let mut handed = found.into_iter().next()?;
        let arguments = loop {
            handed = match handed {
                Type::FuncProto(function) => break function.parameters.len(),
                Type::Typedef(next) => btf.resolve_type_by_id(next.get_type_id()?).ok()?,
                Type::Ptr(next) => btf.resolve_type_by_id(next.get_type_id()?).ok()?,
                _ => return None,
            };
        };
        Some(Self {
            pid: types.offset("task_struct", "pid")?,
            state: if arguments >= WITH_STATE {
                0
            } else {
                types.offset("task_struct", "__state")?
            },
        })
    }
}

/// The kernel's types.
struct Types {
    btf: Btf,
    /// By name: looking for one goes through them all.
    structures: HashMap<&'static str, Vec<Type>>,
}

impl Types {
    /// Offset of a member in a structure, through anonymous structures and unions.
    fn offset(&mut self, structure: &'static str, member: &str) -> Option<u32> {
        let btf = &self.btf;
        let types = self
            .structures
            .entry(structure)
            .or_insert_with(|| btf.resolve_types_by_name(structure).unwrap_or_default());
        types
            .iter()
            .find_map(|found| within(btf, found, member))
            .map(|bits| bits / 8)
    }
}

fn within(btf: &Btf, structure: &Type, member: &str) -> Option<u32> {
    let (Type::Struct(structure) | Type::Union(structure)) = structure else {
        return None;
    };
    structure.members.iter().find_map(|candidate| {
        let name = btf.resolve_name(candidate).unwrap_or_default();
        if name == member {
            return Some(candidate.bit_offset());
        }
        if !name.is_empty() {
            return None;
        }
        let inner = btf.resolve_type_by_id(candidate.get_type_id()?).ok()?;
        Some(candidate.bit_offset() + within(btf, &inner, member)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_describes_its_threads() {
        let known = Layout::of_kernel();
        let layout = known.thread.expect("the kernel has type information");
        assert!(layout.fsbase > layout.mm, "{layout:?}");
        assert_eq!(layout.fsbase % 8, 0);
        assert!(layout.start_stack > 0);
        let switches = known.switches.expect("threads and their switches");
        assert_eq!(switches.pid % 4, 0);
        let probes = known.return_probes.expect("return instances");
        assert!(probes.stack < probes.address, "{probes:?}");
    }
}
