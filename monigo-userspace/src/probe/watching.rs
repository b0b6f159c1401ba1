//! Which functions are watched how, and the links for it. Links are replaced without losing or
//! doubling a call: each carries a generation, and the kernel side heeds one per function.

use std::ops::Range;

use monigo_common::config::{FunctionControl, WATCH_COUNTED, WATCH_OFF, WATCH_TIMED};

use super::{
    Kernel, PlannedFunction, ProbeError,
    links::{Links, Role, Selection},
};
use crate::store::ExitProbe;

/// How calls of a function are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Watch {
    /// Counted and timed.
    #[default]
    Timed,
    /// Counted when they begin; no probes at their ends.
    Counted,
    /// Not at all; no probes.
    Off,
}

/// Functions that are watched in the same way, with their links.
#[derive(Debug, Default)]
pub struct Group {
    ids: Vec<u32>,
    entries: Option<Links>,
    ends: Option<Vec<Links>>,
}

impl Kernel {
    /// Attaches every site of `functions`, which get the first ids, and starts to count once all
    /// are in place; `pid` restricts the probes to one process.
    pub fn attach(
        &mut self,
        functions: Vec<PlannedFunction>,
        pid: Option<u32>,
    ) -> Result<(), ProbeError> {
        self.pid = pid;
        let ids: Vec<u32> = (0..functions.len() as u32).collect();
        self.functions = functions;
        self.controls.resize(ids.len(), FunctionControl::default());
        self.describe_futures(0)?;
        self.write_copy_control()?;
        let group = self.link(ids, Watch::Timed, 0)?;
        self.groups.push(group);
        self.arm(true)
    }

    /// Attaches further functions and returns their ids.
    ///
    /// # Errors
    /// There is no room for them, or the kernel refuses a site; nothing changes then.
    pub fn add(&mut self, functions: Vec<PlannedFunction>) -> Result<Range<u32>, ProbeError> {
        let first = self.functions.len() as u32;
        let end = first + functions.len() as u32;
        if end > self.room {
            return Err(ProbeError::NoRoom {
                functions: end,
                room: self.room,
            });
        }
        self.functions.extend(functions);
        let generation = self.generation;
        let control = FunctionControl {
            generation,
            ..Default::default()
        };
        self.controls.resize(end as usize, control);
        for id in first..end {
            self.write_control(id)?;
        }
        self.describe_futures(first)?;
        self.write_copy_control()?;
        match self.link((first..end).collect(), Watch::Timed, generation) {
            Ok(group) => {
                self.groups.push(group);
                Ok(first..end)
            }
            Err(error) => {
                self.functions.truncate(first as usize);
                self.controls.truncate(first as usize);
                self.future_sites.forget(first);
                Err(error)
            }
        }
    }

    /// Tells the kernel side where the futures of functions from `first` on have their state.
    fn describe_futures(&mut self, first: u32) -> Result<(), ProbeError> {
        for id in first..self.functions.len() as u32 {
            for plan in 0..self.functions[id as usize].futures.len() {
                if let Some(layout) = self.functions[id as usize].futures[plan].clone() {
                    self.add_future_site(id, plan, &layout)?;
                }
            }
        }
        Ok(())
    }

    /// Stops counting and removes every probe; counters and open calls stay readable.
    pub fn detach(&mut self) -> Result<(), ProbeError> {
        let disarmed = self.arm(false);
        self.pause_parking();
        for group in std::mem::take(&mut self.groups) {
            self.unlink(group);
        }
        disarmed
    }

    /// Watches functions in groups, each in its way, with links of their own that
    /// [`Kernel::watch`] can take away and put back. Each function must be in one group.
    pub fn regroup(&mut self, groups: Vec<(Vec<u32>, Watch)>) -> Result<(), ProbeError> {
        let generation = 1 - self.generation;
        let mut linked = Vec::with_capacity(groups.len());
        for (ids, watch) in groups {
            linked.push((self.link(ids, watch, generation)?, watch));
        }
        self.generation = generation;
        let old = std::mem::take(&mut self.groups);
        for (group, watch) in linked {
            for &id in &group.ids {
                let control = &mut self.controls[id as usize];
                control.generation = generation;
                if control.watch != word(watch) {
                    control.watch = word(watch);
                    control.window += 1;
                }
                self.write_control(id)?;
            }
            self.groups.push(group);
        }
        for group in old {
            self.unlink(group);
        }
        Ok(())
    }

    /// Changes how the functions of a group are watched.
    pub fn watch(&mut self, group: usize, watch: Watch) -> Result<(), ProbeError> {
        let Some(slot) = self.groups.get_mut(group) else {
            return Ok(());
        };
        let mut taken = std::mem::take(slot);
        let result = self.rewatch(&mut taken, watch);
        self.groups[group] = taken;
        result
    }

    fn rewatch(&mut self, group: &mut Group, watch: Watch) -> Result<(), ProbeError> {
        // What the kernel side heeds changes at once, and brackets the slower change of the links.
        if watch != Watch::Timed {
            self.set_watch(&group.ids, watch)?;
        }
        let (entries, ends) = (watch != Watch::Off, watch == Watch::Timed);
        if ends && group.ends.is_none() {
            group.ends = Some(self.link_ends(&group.ids, self.generation)?);
        } else if !ends && let Some(links) = group.ends.take() {
            for links in links {
                links.detach(&mut self.ebpf);
            }
        }
        if entries && group.entries.is_none() {
            group.entries = Some(self.link_role(Role::Entry, &group.ids, self.generation)?);
        } else if !entries && let Some(links) = group.entries.take() {
            links.detach(&mut self.ebpf);
        }
        if watch == Watch::Timed {
            self.set_watch(&group.ids, watch)?;
        }
        Ok(())
    }

    /// Sets how functions are watched in a new time window: calls that began before it are not
    /// timed in it.
    pub(super) fn set_window(&mut self, ids: &[u32], watch: Watch) -> Result<(), ProbeError> {
        for &id in ids {
            let control = &mut self.controls[id as usize];
            control.watch = word(watch);
            control.window += 1;
            control.generation = self.generation;
            self.write_control(id)?;
        }
        Ok(())
    }

    fn set_watch(&mut self, ids: &[u32], watch: Watch) -> Result<(), ProbeError> {
        for &id in ids {
            let control = &mut self.controls[id as usize];
            if control.watch != word(watch) {
                control.watch = word(watch);
                control.window += 1;
            }
            self.write_control(id)?;
        }
        Ok(())
    }

    /// Sees the ends of all calls by their exit sites from now on. Returns how many functions had
    /// return probes.
    pub fn replace_return_probes(&mut self) -> Result<usize, ProbeError> {
        let mut replaced = 0;
        for function in &mut self.functions {
            if function.exit == ExitProbe::Uretprobe {
                function.exit = ExitProbe::Ret;
                replaced += 1;
            }
        }
        if replaced > 0 {
            let groups = self
                .groups
                .iter()
                .map(|group| (group.ids.clone(), self.watch_of(group)))
                .collect();
            self.regroup(groups)?;
        }
        Ok(replaced)
    }

    fn watch_of(&self, group: &Group) -> Watch {
        let first = group.ids.first();
        match first.map(|&id| self.controls[id as usize].watch) {
            Some(WATCH_COUNTED) => Watch::Counted,
            Some(WATCH_OFF) => Watch::Off,
            _ => Watch::Timed,
        }
    }

    pub(super) fn link(
        &mut self,
        ids: Vec<u32>,
        watch: Watch,
        generation: u32,
    ) -> Result<Group, ProbeError> {
        let ends = (watch == Watch::Timed)
            .then(|| self.link_ends(&ids, generation))
            .transpose()?;
        let entries = (watch != Watch::Off)
            .then(|| self.link_role(Role::Entry, &ids, generation))
            .transpose()?;
        Ok(Group { ids, entries, ends })
    }

    fn link_ends(&mut self, ids: &[u32], generation: u32) -> Result<Vec<Links>, ProbeError> {
        [Role::Exit, Role::Return]
            .into_iter()
            .map(|role| self.link_role(role, ids, generation))
            .collect()
    }

    fn link_role(&mut self, role: Role, ids: &[u32], generation: u32) -> Result<Links, ProbeError> {
        let selection = Selection {
            functions: &self.functions,
            ids,
            generation,
            pid: self.pid,
            futures: &self.future_sites,
        };
        self.programs.attach(&mut self.ebpf, role, selection)
    }

    /// Stops counting and removes every probe, with no order among them.
    pub(super) fn detach_at_once(&mut self) -> Result<(), ProbeError> {
        let disarmed = self.arm(false);
        let groups = std::mem::take(&mut self.groups);
        // Those that were attached last are called most.
        let links = groups.into_iter().rev().flat_map(|group| {
            let ends = group.ends.into_iter().flatten();
            group.entries.into_iter().chain(ends)
        });
        Links::detach_all(links.collect(), &mut self.ebpf);
        disarmed
    }

    /// Removes probes, entries first.
    fn unlink(&mut self, group: Group) {
        let ends = group.ends.into_iter().flatten();
        for links in group.entries.into_iter().chain(ends) {
            links.detach(&mut self.ebpf);
        }
    }
}

const fn word(watch: Watch) -> u32 {
    match watch {
        Watch::Timed => WATCH_TIMED,
        Watch::Counted => WATCH_COUNTED,
        Watch::Off => WATCH_OFF,
    }
}
