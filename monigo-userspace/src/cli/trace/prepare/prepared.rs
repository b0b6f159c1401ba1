//! What will be traced, and what is asked of it.

use std::sync::Arc;

use anyhow::Result;

use super::PrepareError;
use crate::{
    cli::{
        exit::Failure,
        trace::{TraceOptions, inlined::InlinedLater},
    },
    probe::{Calibration, PlannedFunction},
    store::{ExitProbe, NewFunction},
    symbols::{Image, Language},
    target::{Scope, Target},
};

/// What will be traced.
pub struct Prepared {
    /// Images of the functions, that of the target first.
    pub images: Vec<Arc<Image>>,
    /// In the order of their ids.
    pub functions: Vec<PlannedFunction>,
    /// The same, as stored.
    pub described: Vec<NewFunction>,
    /// What could not be traced, and why.
    pub warnings: Vec<String>,
    /// What takes too long to find out before tracing begins.
    pub later: InlinedLater,
    /// Processes whose libraries are known.
    pub(super) running: Vec<u32>,
}

impl Prepared {
    /// The target with its scope reduced to the processes that run now, if there are functions of
    /// libraries: those are called by other programs, too.
    ///
    /// # Errors
    /// None runs.
    pub fn narrow(&mut self, target: &Target, args: &TraceOptions) -> Result<Target> {
        let own = self.images[0].open_path();
        let library = self
            .functions
            .iter()
            .find(|function| *function.image != *own);
        let (Some(library), Scope::Everyone) = (library, &target.scope) else {
            return Ok(target.clone());
        };
        let path = target.show_path.display().to_string();
        if target.pids.is_empty() {
            let library = library.image.display().to_string();
            let pattern = args.functions.iter().find(|text| text.contains(':'));
            return Err(Failure::usage(PrepareError::NotRunning {
                path,
                library,
                pattern: pattern.cloned().unwrap_or_default(),
            }));
        }
        self.warnings.push(format!(
            "{} is used by other programs, too: monigo counts the calls of the {} that run {path} now and of what they fork, and sees no process that is started later",
            library.image.display(),
            match target.pids.len() {
                1 => "1 process".to_owned(),
                count => format!("{count} processes"),
            },
        ));
        Ok(Target {
            scope: Scope::Tree(target.pids.clone()),
            ..target.clone()
        })
    }

    /// The Go program, if functions of one are traced.
    pub fn go_image(&self) -> Option<&Arc<Image>> {
        let functions = self.functions.iter();
        let mut go = functions.filter(|function| function.go);
        let path = &go.next()?.image;
        let mut images = self.images.iter();
        images.find(|image| *image.open_path() == **path)
    }

    /// Whether there is an image that may have async functions.
    pub fn has_rust(&self) -> bool {
        let mut images = self.images.iter();
        images.any(|image| image.language() == Language::Rust)
            || self.functions.iter().any(|function| function.executions)
    }

    /// Whether the end of any function is seen by a return probe.
    pub fn has_return_probes(&self) -> bool {
        let mut functions = self.functions.iter();
        functions.any(|function| function.exit == ExitProbe::Uretprobe)
    }

    /// Sees all ends by exit sites.
    pub fn use_exit_sites(&mut self) {
        for (planned, described) in self.functions.iter_mut().zip(&mut self.described) {
            planned.exit = ExitProbe::Ret;
            described.exit = ExitProbe::Ret;
            described.sites = planned.sites() as u32;
            described.cost_class = planned.cost_class();
            for (instance, plan) in described.instances.iter_mut().zip(&planned.plans) {
                instance.sites = planned.sites_of(plan) as u32;
                instance.cost_class = planned.cost_class_of(plan);
            }
        }
    }

    /// Notes what the probes of each function cost.
    pub fn set_prices(&mut self, calibration: &Calibration) {
        for (planned, described) in self.functions.iter().zip(&mut self.described) {
            let price = calibration.price(planned);
            described.cost_ns = price.cost_ns;
            described.floor_ns = price.floor_ns;
            described.count_ns = price.count_ns;
        }
        // Executions take no probes of their own, and are not timed more precisely than polls.
        for index in 1..self.functions.len() {
            if self.functions[index].executions {
                self.described[index].floor_ns = self.described[index - 1].floor_ns;
            }
        }
    }
}
