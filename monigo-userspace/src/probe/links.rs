//! Attaching the programs to the sites of functions.

use std::{num::NonZeroU32, path::Path};

use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope},
    },
};
use monigo_common::cookie::{Cookie, FLAG_CONDITIONAL, FLAG_FRAME_POINTER, FLAG_GO, FLAG_JUMP};

use super::{
    ProbeError,
    multi::{self, MultiLink, MultiProgram},
    programs::{program, refused},
};
use crate::{
    plan::{Frame, FunctionPlan, Site, SiteKind},
    store::ExitProbe,
};

/// A function ready to attach; its index in the list is its id in the kernel.
#[derive(Clone, Debug)]
pub struct PlannedFunction {
    /// Name for messages.
    pub name: String,
    /// Sites of each of its bodies: clones and generic instances count as one function.
    pub plans: Vec<FunctionPlan>,
    /// Calls belong to goroutines.
    pub go: bool,
    /// How ends are seen.
    pub exit: ExitProbe,
}

impl PlannedFunction {
    /// Number of probe sites.
    pub fn sites(&self) -> usize {
        self.plans
            .iter()
            .map(|plan| match self.exit {
                ExitProbe::Ret => 1 + plan.exits.len(),
                ExitProbe::Uretprobe => 2,
            })
            .sum()
    }
}

/// The program for one role, loaded for the best link this kernel has.
#[derive(Debug)]
enum Loaded {
    Multi(MultiProgram),
    Perf,
}

/// The role of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Exit,
    Return,
    Entry,
}

impl Role {
    /// In the order to attach: no call should be seen to begin whose end cannot be seen.
    const ALL: [Self; 3] = [Self::Exit, Self::Return, Self::Entry];

    const fn program(self) -> &'static str {
        match self {
            Self::Exit => "call_exit",
            Self::Return => "call_return",
            Self::Entry => "call_entry",
        }
    }

    /// The sites of all functions that get this role's program.
    fn sites(self, functions: &[PlannedFunction]) -> Vec<(usize, Site)> {
        let of_plan = |function: &PlannedFunction, plan: &FunctionPlan| match (self, function.exit)
        {
            (Self::Entry, _) | (Self::Return, ExitProbe::Uretprobe) => vec![plan.entry],
            (Self::Exit, ExitProbe::Ret) => plan.exits.clone(),
            _ => Vec::new(),
        };
        let sites = functions.iter().enumerate().flat_map(|(index, function)| {
            let plans = function.plans.iter();
            plans
                .flat_map(move |plan| of_plan(function, plan))
                .map(move |site| (index, site))
        });
        sites.collect()
    }
}

/// Which links to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// The best that the kernel has.
    Best,
    /// One perf event a site, as on kernels before 6.6.
    Perf,
}

/// The programs for probes, loaded.
#[derive(Debug)]
pub struct Programs {
    loaded: Vec<(Role, Loaded)>,
}

impl Programs {
    /// Loads what `functions` need: for multi links where the kernel takes them, else for perf
    /// events. `ebpf` must still hold its maps.
    pub fn load(
        ebpf: &mut Ebpf,
        object: &[u8],
        functions: &[PlannedFunction],
        links: LinkKind,
    ) -> Result<Self, ProbeError> {
        let roles: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|role| *role == Role::Entry || !role.sites(functions).is_empty())
            .collect();
        let names: Vec<(&'static str, bool)> = roles
            .iter()
            .map(|role| (role.program(), *role == Role::Return))
            .collect();
        if links == LinkKind::Best {
            match multi::load(object, ebpf, &names) {
                Ok(programs) => {
                    let loaded = programs.into_iter().map(Loaded::Multi);
                    return Ok(Self {
                        loaded: roles.into_iter().zip(loaded).collect(),
                    });
                }
                Err(error) => {
                    tracing::info!("no uprobe_multi links here ({error}); using perf events");
                }
            }
        }
        let mut loaded = Vec::new();
        for role in roles {
            load_for_perf(ebpf, role)?;
            loaded.push((role, Loaded::Perf));
        }
        Ok(Self { loaded })
    }

    /// Attaches every site of `functions` in the file at `path`; `pid` restricts the probes to
    /// one process.
    pub fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        path: &Path,
        functions: &[PlannedFunction],
        pid: Option<u32>,
    ) -> Result<Attachment, ProbeError> {
        let mut attachment = Attachment::default();
        for (role, program) in &mut self.loaded {
            let sites = role.sites(functions);
            if sites.is_empty() {
                continue;
            }
            if let Loaded::Multi(multi) = program {
                let pairs: Vec<(u64, u64)> = sites
                    .iter()
                    .map(|(index, site)| {
                        let cookie = cookie(*index, functions[*index].go, *site);
                        (site.file_offset, cookie.pack())
                    })
                    .collect();
                match multi.attach(path, &pairs, pid) {
                    Ok(link) => {
                        attachment.multi.push(link);
                        continue;
                    }
                    // One refused site refuses them all; perf events tell which one.
                    Err(error) => tracing::info!("one link for all sites was refused: {error}"),
                }
                load_for_perf(ebpf, *role)?;
                *program = Loaded::Perf;
            }
            for (index, site) in sites {
                let function = &functions[index];
                let link = attach(ebpf, role.program(), path, pid, function, index, site)?;
                attachment.perf.push((*role, link));
            }
        }
        Ok(attachment)
    }
}

/// Probes in place.
#[derive(Debug, Default)]
pub struct Attachment {
    multi: Vec<MultiLink>,
    perf: Vec<(Role, UProbeLinkId)>,
}

impl Attachment {
    /// Removes every probe, entries first.
    pub fn detach(mut self, ebpf: &mut Ebpf) {
        while let Some(link) = self.multi.pop() {
            drop(link);
        }
        for (role, link) in self.perf.into_iter().rev() {
            if let Ok(program) = program::<UProbe>(ebpf, role.program()) {
                // A link that is already gone is what we want.
                let _ = program.detach(link);
            }
        }
    }
}

fn load_for_perf(ebpf: &mut Ebpf, role: Role) -> Result<(), ProbeError> {
    let name = role.program();
    program::<UProbe>(ebpf, name)?.load().map_err(refused(name))
}

fn attach(
    ebpf: &mut Ebpf,
    program: &'static str,
    path: &Path,
    pid: Option<u32>,
    function: &PlannedFunction,
    index: usize,
    site: Site,
) -> Result<UProbeLinkId, ProbeError> {
    let point = UProbeAttachPoint {
        location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
        cookie: Some(cookie(index, function.go, site).pack()),
    };
    let scope = pid
        .and_then(NonZeroU32::new)
        .map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
    self::program::<UProbe>(ebpf, program)?
        .attach(point, path, scope)
        .map_err(|source| ProbeError::Attach {
            function: function.name.clone(),
            path: path.to_owned(),
            offset: site.file_offset,
            source: Box::new(source),
        })
}

fn cookie(index: usize, go: bool, site: Site) -> Cookie {
    let (flags, condition, frame) = match site.kind {
        SiteKind::Entry | SiteKind::Return => (0, None, Frame::StackPointer(0)),
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
    let mut flags = flags | base;
    if go {
        flags |= FLAG_GO;
    }
    if condition.is_some() {
        flags |= FLAG_CONDITIONAL;
    }
    Cookie {
        function: index as u32,
        flags,
        condition: condition.unwrap_or(0),
        class: site.cost as u8,
        words,
    }
}
