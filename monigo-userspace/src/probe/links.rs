//! Attaching the programs to the sites of functions.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    num::NonZeroU32,
    path::Path,
    sync::Arc,
};

use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope},
    },
};
use monigo_common::cookie::{
    CLASS_RETURN_PROBE, Cookie, FLAG_CONDITIONAL, FLAG_FRAME_POINTER, FLAG_GENERATION, FLAG_GO,
    FLAG_INSTANT, FLAG_JUMP, FLAG_RETURN_PROBE,
};

use super::{
    PlannedFunction, ProbeError,
    changes::{Change, close_aside},
    multi::{self, MultiLink, MultiObject, MultiProgram},
    parking,
    programs::{Features, check_all, checks, load, program},
};
use crate::{
    plan::{Frame, FunctionPlan, Site, SiteKind},
    store::ExitProbe,
    symbols::futures::Suspensions,
};

/// The program for one role, loaded for the best link this kernel has.
#[derive(Debug)]
enum Loaded {
    Multi(MultiProgram),
    Perf,
}

/// The role of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// At the instructions through which a call ends.
    Exit,
    /// At the return of a call, by a return probe.
    Return,
    /// At the beginning of a call.
    Entry,
}

impl Role {
    /// In the order to attach: no call should be seen to begin whose end cannot be seen.
    pub const ALL: [Self; 3] = [Self::Exit, Self::Return, Self::Entry];

    const fn program(self) -> &'static str {
        match self {
            Self::Exit => "call_exit",
            Self::Return => "call_return",
            Self::Entry => "call_entry",
        }
    }

    /// The sites of a function that get this role's program, with the number of their plan.
    fn sites(self, function: &PlannedFunction) -> impl Iterator<Item = (usize, &Site)> {
        let exit = function.exit;
        let of_plan = move |plan: &FunctionPlan| match (self, exit) {
            (Self::Entry, _) | (Self::Return, ExitProbe::Uretprobe) => 0..1,
            (Self::Exit, ExitProbe::Ret) => 1..1 + plan.exits.len(),
            _ => 0..0,
        };
        // Site 0 is the entry, the others are the exits.
        let plans = function.plans.iter().enumerate();
        plans.flat_map(move |(number, plan)| {
            of_plan(plan).map(move |index| match index {
                0 => (number, &plan.entry),
                exit => (number, &plan.exits[exit - 1]),
            })
        })
    }
}

/// The programs for probes, loaded.
#[derive(Debug)]
pub struct Programs {
    loaded: Vec<(Role, Loaded)>,
    /// Programs on Go's scheduler, where they can have multi links: perf events take a privilege more.
    pub(super) scheduler: Vec<(&'static str, MultiProgram)>,
}

/// Probes of one role in place; to be taken away with [`Programs::detach`].
#[derive(Debug, Default)]
pub struct Links {
    multi: Vec<MultiLink>,
    perf: Vec<(Role, UProbeLinkId)>,
}

/// Functions to probe.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// All functions; the position is the id.
    pub functions: &'a [PlannedFunction],
    /// Ids of those meant.
    pub ids: &'a [u32],
    /// See `FunctionControl::generation`.
    pub generation: u32,
    /// Only in this process.
    pub pid: Option<u32>,
    /// Where futures have their state.
    pub futures: &'a FutureSites,
}

/// Future sites by function and number of the plan.
#[derive(Debug, Default)]
pub struct FutureSites {
    sites: HashMap<(u32, usize), u16>,
    /// The functions that count the executions, by site less one.
    executions: Vec<u32>,
    /// What the futures wait at while they are suspended, by site less one.
    suspensions: Vec<Option<Arc<Suspensions>>>,
}

impl FutureSites {
    /// A new site; `None` when there are as many as the kernel side has room for.
    pub fn add(
        &mut self,
        function: u32,
        plan: usize,
        room: u32,
        suspensions: Option<Arc<Suspensions>>,
    ) -> Option<u32> {
        let site = u16::try_from(self.executions.len() + 1).ok()?;
        if u32::from(site) >= room {
            return None;
        }
        self.sites.insert((function, plan), site);
        self.executions.push(function + 1);
        self.suspensions.push(suspensions);
        Some(site.into())
    }

    /// Forgets those of functions from `first` on, which are not traced after all.
    pub fn forget(&mut self, first: u32) {
        self.sites.retain(|(function, _), _| *function < first);
    }

    /// The function that counts the executions seen at a site.
    pub fn executions(&self, site: u32) -> Option<u32> {
        self.executions
            .get((site as usize).checked_sub(1)?)
            .copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.executions.is_empty()
    }

    /// What the futures at a site wait at while they are suspended, if that is known.
    pub fn suspensions(&self, site: u32) -> Option<&Arc<Suspensions>> {
        self.suspensions
            .get((site as usize).checked_sub(1)?)?
            .as_ref()
    }

    fn site(&self, function: u32, plan: usize) -> u16 {
        self.sites.get(&(function, plan)).copied().unwrap_or(0)
    }
}

impl Programs {
    /// Loads them: for multi links where the kernel takes them, else for perf events. `ebpf` must
    /// still hold its maps. Meanwhile the kernel checks the programs named in `early`, too.
    pub fn load(
        ebpf: &mut Ebpf,
        features: Features,
        early: &[&'static str],
    ) -> Result<Self, ProbeError> {
        if !features.perf_links {
            match Self::load_multi(ebpf, features, early) {
                Ok(programs) => return Ok(programs),
                Err(error) => {
                    tracing::info!("no uprobe_multi links here ({error}); using perf events");
                }
            }
        }
        let mut loaded = Vec::new();
        for role in Role::ALL {
            load(ebpf, role.program())?;
            loaded.push((role, Loaded::Perf));
        }
        Ok(Self {
            loaded,
            scheduler: Vec::new(),
        })
    }

    fn load_multi(
        ebpf: &mut Ebpf,
        features: Features,
        early: &[&'static str],
    ) -> Result<Self, io::Error> {
        let object = MultiObject::new(features.object(), &multi::map_descriptors(ebpf))?;
        let (scheduler, early): (Vec<&'static str>, Vec<&'static str>) = early
            .iter()
            .copied()
            .partition(|name| parking::PROGRAMS.contains(name));
        let roles = Role::ALL.map(|role| (role.program(), role == Role::Return));
        let others = scheduler.iter().map(|name| (*name, false));
        let names: Vec<(&'static str, bool)> = roles.into_iter().chain(others).collect();
        let mut loaded: Vec<_> = names.iter().map(|_| None).collect();
        let mut all = checks(ebpf, &early);
        for (&(name, on_return), loaded) in names.iter().zip(&mut loaded) {
            let object = &object;
            let load = move || *loaded = Some(object.load(name, on_return));
            all.push((name, Box::new(load)));
        }
        check_all(all);
        let missing = || io::Error::other("a program was not loaded");
        let programs = loaded.into_iter().map(|it| it.ok_or_else(missing)?);
        let mut programs = programs.collect::<Result<Vec<MultiProgram>, io::Error>>()?;
        let others = programs.split_off(Role::ALL.len());
        let programs = programs.into_iter().map(Loaded::Multi);
        Ok(Self {
            loaded: Role::ALL.into_iter().zip(programs).collect(),
            scheduler: scheduler.into_iter().zip(others).collect(),
        })
    }

    /// Whether many sites attach at once.
    pub fn are_multi(&self) -> bool {
        let multi = |(_, loaded): &(Role, Loaded)| matches!(loaded, Loaded::Multi(_));
        self.loaded.iter().all(multi)
    }

    /// Attaches the program of `role` to its sites in the selected functions.
    pub fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        role: Role,
        selection: Selection<'_>,
    ) -> Result<Links, ProbeError> {
        let mut links = Links::default();
        let mut images: BTreeMap<&Path, Vec<(u32, usize, &Site)>> = BTreeMap::new();
        for &id in selection.ids {
            let Some(function) = selection.functions.get(id as usize) else {
                continue;
            };
            let sites = role.sites(function).map(|(plan, site)| (id, plan, site));
            images.entry(&function.image).or_default().extend(sites);
        }
        for (image, sites) in images {
            if !sites.is_empty() {
                self.attach_image(ebpf, role, selection, image, &sites, &mut links)?;
            }
        }
        Ok(links)
    }

    fn attach_image(
        &mut self,
        ebpf: &mut Ebpf,
        role: Role,
        selection: Selection<'_>,
        image: &Path,
        sites: &[(u32, usize, &Site)],
        links: &mut Links,
    ) -> Result<(), ProbeError> {
        let cookie_of = |id: u32, plan: usize, site: &Site| {
            let function = &selection.functions[id as usize];
            let mut cookie = cookie(role, id, function, site, selection.generation);
            if role == Role::Entry {
                cookie.words = selection.futures.site(id, plan);
            }
            cookie.pack()
        };
        let Some((_, program)) = self.loaded.iter_mut().find(|(known, _)| *known == role) else {
            return Err(ProbeError::Missing(role.program()));
        };
        if let Loaded::Multi(multi) = program {
            let pairs: Vec<(u64, u64)> = sites
                .iter()
                .map(|&(id, plan, site)| (site.file_offset, cookie_of(id, plan, site)))
                .collect();
            match multi.attach(image, &pairs, selection.pid) {
                Ok(link) => {
                    links.multi.push(link);
                    return Ok(());
                }
                // One refused site refuses them all; perf events tell which one.
                Err(error) => tracing::info!("one link for all sites was refused: {error}"),
            }
            load(ebpf, role.program())?;
            *program = Loaded::Perf;
        }
        let _change = Change::begin();
        for &(id, plan, site) in sites {
            let point = UProbeAttachPoint {
                location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
                cookie: Some(cookie_of(id, plan, site)),
            };
            let scope = selection
                .pid
                .and_then(NonZeroU32::new)
                .map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
            let link = self::program::<UProbe>(ebpf, role.program())?
                .attach(point, image, scope)
                .map_err(|source| ProbeError::Attach {
                    function: selection.functions[id as usize].name.clone(),
                    path: image.to_owned(),
                    offset: site.file_offset,
                    source: Box::new(source),
                })?;
            links.perf.push((role, link));
        }
        Ok(())
    }
}

impl Links {
    /// Removes the probes of many links without waiting for it: closing a link removes its probes
    /// at once, but then waits some 50 ms until nobody can run its program any more.
    pub fn detach_all(all: Vec<Self>, ebpf: &mut Ebpf) {
        let mut perf = Vec::new();
        for links in all {
            perf.extend(links.perf);
            links.multi.into_iter().for_each(close_aside);
        }
        let rest = Self {
            multi: Vec::new(),
            perf,
        };
        rest.detach(ebpf);
    }

    /// Removes the probes.
    pub fn detach(self, ebpf: &mut Ebpf) {
        let _change = Change::begin();
        drop(self.multi);
        for (role, link) in self.perf {
            if let Ok(program) = program::<UProbe>(ebpf, role.program()) {
                // A link that is already gone is what we want.
                let _ = program.detach(link);
            }
        }
    }
}

fn cookie(role: Role, id: u32, function: &PlannedFunction, site: &Site, generation: u32) -> Cookie {
    let (mut flags, condition, frame) = match site.kind {
        SiteKind::Entry | SiteKind::Return => (0, None, Frame::StackPointer(0)),
        // A return probe at the same site sees the end.
        SiteKind::EntryAndExit { .. } if function.exit == ExitProbe::Uretprobe => {
            (0, None, Frame::StackPointer(0))
        }
        SiteKind::EntryAndExit { condition } => (FLAG_INSTANT, condition, Frame::StackPointer(0)),
        SiteKind::TailJump => (FLAG_JUMP, None, Frame::StackPointer(0)),
        SiteKind::ConditionalTailJump { condition } => {
            (FLAG_JUMP, Some(condition), Frame::StackPointer(0))
        }
        SiteKind::Epilogue { condition, frame } => (0, condition, frame),
    };
    let (base, words) = match frame {
        Frame::StackPointer(words) => (0, words),
        Frame::FramePointer(words) => (FLAG_FRAME_POINTER, words),
    };
    flags |= base;
    for (holds, flag) in [
        (function.go, FLAG_GO),
        (condition.is_some(), FLAG_CONDITIONAL),
        (generation != 0, FLAG_GENERATION),
        (function.exit == ExitProbe::Uretprobe, FLAG_RETURN_PROBE),
    ] {
        if holds {
            flags |= flag;
        }
    }
    Cookie {
        function: id,
        flags,
        condition: condition.unwrap_or(0),
        class: if role == Role::Return {
            CLASS_RETURN_PROBE
        } else {
            site.cost as u8
        },
        words,
    }
}
