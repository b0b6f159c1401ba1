//! Attaching the programs to the sites of functions.

use std::{num::NonZeroU32, path::Path};

use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope},
    },
};
use monigo_common::cookie::{Cookie, FLAG_CONDITIONAL, FLAG_GO, FLAG_JUMP};

use super::ProbeError;
use crate::{
    plan::{FunctionPlan, Site, SiteKind},
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

/// Probes in place. Detaches entries before exits, so that no call is seen to begin whose end
/// cannot be seen.
#[derive(Debug, Default)]
pub struct Attachment {
    entries: Vec<UProbeLinkId>,
    exits: Vec<UProbeLinkId>,
    returns: Vec<UProbeLinkId>,
}

/// Which program a site gets.
const ENTRY: &str = "call_entry";
const EXIT: &str = "call_exit";
const RETURN: &str = "call_return";

impl Attachment {
    /// Attaches every site, exits first. `pid` restricts the probes to one process.
    pub fn new(
        ebpf: &mut Ebpf,
        path: &Path,
        functions: &[PlannedFunction],
        pid: Option<u32>,
    ) -> Result<Self, ProbeError> {
        let scope = pid.and_then(NonZeroU32::new).map_or(Scope(None), |pid| Scope(Some(pid)));
        let mut attachment = Self::default();
        for (index, function) in functions.iter().enumerate() {
            for plan in &function.plans {
                match function.exit {
                    ExitProbe::Ret => {
                        for site in &plan.exits {
                            let link = attach(ebpf, EXIT, path, scope, function, index, *site)?;
                            attachment.exits.push(link);
                        }
                    }
                    ExitProbe::Uretprobe => {
                        let link = attach(ebpf, RETURN, path, scope, function, index, plan.entry)?;
                        attachment.returns.push(link);
                    }
                }
            }
        }
        for (index, function) in functions.iter().enumerate() {
            for plan in &function.plans {
                let link = attach(ebpf, ENTRY, path, scope, function, index, plan.entry)?;
                attachment.entries.push(link);
            }
        }
        Ok(attachment)
    }

    /// Removes every probe.
    pub fn detach(self, ebpf: &mut Ebpf) {
        for (program, links) in
            [(ENTRY, self.entries), (EXIT, self.exits), (RETURN, self.returns)]
        {
            let Ok(program) = uprobe(ebpf, program) else { continue };
            for link in links {
                // A link that is already gone is what we want.
                let _ = program.detach(link);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Scope(Option<NonZeroU32>);

impl From<Scope> for UProbeScope {
    fn from(scope: Scope) -> Self {
        scope.0.map_or(Self::AllProcesses, Self::OneProcess)
    }
}

pub(super) fn uprobe<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut UProbe, ProbeError> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Missing(name))
}

fn attach(
    ebpf: &mut Ebpf,
    program: &'static str,
    path: &Path,
    scope: Scope,
    function: &PlannedFunction,
    index: usize,
    site: Site,
) -> Result<UProbeLinkId, ProbeError> {
    let point = UProbeAttachPoint {
        location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
        cookie: Some(cookie(index, function.go, site.kind).pack()),
    };
    uprobe(ebpf, program)?.attach(point, path, scope.into()).map_err(|source| ProbeError::Attach {
        function: function.name.clone(),
        path: path.to_owned(),
        offset: site.file_offset,
        source: Box::new(source),
    })
}

fn cookie(index: usize, go: bool, kind: SiteKind) -> Cookie {
    let (jump, condition) = match kind {
        SiteKind::Entry | SiteKind::Return => (0, 0),
        SiteKind::TailJump => (FLAG_JUMP, 0),
        SiteKind::ConditionalTailJump { condition } => (FLAG_JUMP | FLAG_CONDITIONAL, condition),
    };
    Cookie { function: index as u32, flags: jump | if go { FLAG_GO } else { 0 }, condition }
}
