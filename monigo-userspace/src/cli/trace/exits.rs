//! How the ends of calls are seen: by exit sites or by return probes.

use std::cell::OnceCell;

use crate::{
    cli::args::ExitMode,
    plan::{CostClass, FunctionPlan, Site, SiteKind, may_recurse},
    store::ExitProbe,
    symbols::{Image, Language, pattern::Group},
    target::return_probes,
};

/// How the ends of calls in one image are seen.
pub struct Exits<'i> {
    image: &'i Image,
    mode: ExitMode,
    running: Vec<u32>,
    /// Why return probes are not safe here; looked for when it matters first.
    obstacle: OnceCell<Option<String>>,
}

impl<'i> Exits<'i> {
    /// `running` are the processes whose libraries are known.
    pub fn new(image: &'i Image, mode: ExitMode, running: Vec<u32>) -> Self {
        Self {
            image,
            mode,
            running,
            obstacle: OnceCell::new(),
        }
    }

    /// Takes what was found beforehand.
    pub fn set_obstacle(&self, found: Option<String>) {
        self.obstacle.get_or_init(|| said(found));
    }

    /// By return probes where they are cheaper and nothing can go wrong.
    pub fn choose(&self, group: &Group<'_>, plans: &[FunctionPlan]) -> ExitProbe {
        // What is entered by a tail call returns in the place of the caller, whose end a return
        // probe would see too late.
        let leaves = |plan: &FunctionPlan| {
            let jump = |site: &Site| {
                let kind = site.kind;
                !matches!(kind, SiteKind::Return | SiteKind::Epilogue { .. })
            };
            plan.entry.kind != SiteKind::Entry || plan.exits.iter().any(jump)
        };
        match self.mode {
            ExitMode::Ret => return ExitProbe::Ret,
            _ if plans.iter().any(leaves) => return ExitProbe::Ret,
            ExitMode::Uretprobe => return ExitProbe::Uretprobe,
            ExitMode::Auto => {}
        }
        let dear = |plan: &FunctionPlan| {
            let mut exits = plan.exits.iter();
            exits.any(|site| site.cost == CostClass::SingleStep)
        };
        if self.image.language() != Language::C || !plans.iter().any(dear) {
            return ExitProbe::Ret;
        }
        let obstacle = self.obstacle.get_or_init(|| {
            let found = return_probes::obstacle(self.image, &self.running);
            said(found)
        });
        let recursive = || {
            let mut functions = group.functions.iter();
            functions.any(|function| may_recurse(self.image, function))
        };
        if obstacle.is_some() || recursive() {
            return ExitProbe::Ret;
        }
        ExitProbe::Uretprobe
    }
}

fn said(obstacle: Option<String>) -> Option<String> {
    if let Some(reason) = &obstacle {
        tracing::info!("probing return instructions instead of returns: {reason}");
    }
    obstacle
}
