//! From patterns to functions that can be attached.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    cli::{
        args::{ExitMode, TraceArgs},
        exit::Failure,
    },
    plan::{CostClass, FunctionPlan, ImagePlanner},
    probe::PlannedFunction,
    store::{ExitProbe, NewFunction},
    symbols::{
        Function, Image, Language,
        pattern::{self, Group},
    },
};

/// Most functions in one session: each takes a histogram per CPU in the kernel.
const MAX_FUNCTIONS: usize = 4096;

/// What will be traced.
pub struct Prepared {
    /// In the order of their ids.
    pub functions: Vec<PlannedFunction>,
    /// The same, as stored.
    pub described: Vec<NewFunction>,
    /// What could not be traced, and why.
    pub warnings: Vec<String>,
}

/// Why nothing can be traced.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    /// Every match was refused.
    #[error("{name} cannot be probed: {reason}")]
    Refused {
        /// The function.
        name: String,
        /// Why.
        reason: String,
    },
    /// More than the maps hold.
    #[error(
        "the patterns match {0} functions, more than the {MAX_FUNCTIONS} that one session traces; narrow the patterns"
    )]
    TooMany(usize),
    /// Go's calling convention before 1.17 does not say which goroutine runs.
    #[error(
        "{path} is built by {version}; monigo traces Go 1.17 and later, whose calls can be told apart by goroutine"
    )]
    OldGo {
        /// The image.
        path: String,
        /// What buildinfo says.
        version: String,
    },
    /// A return probe would kill the target.
    #[error(
        "--exit-probe uretprobe would crash this Go program: its runtime walks and moves stacks; leave the option out"
    )]
    UretprobeOnGo,
}

/// Matches the patterns of `args` in `image` and plans what they match.
pub fn prepare(image: &Image, args: &TraceArgs) -> Result<Prepared> {
    if let Some(go) = image.go() {
        if !go.register_abi() {
            let (path, version) = (image.path().display().to_string(), go.version.clone());
            return Err(Failure::usage(PrepareError::OldGo { path, version }));
        }
        if args.exit_probe == ExitMode::Uretprobe {
            return Err(Failure::usage(PrepareError::UretprobeOnGo));
        }
    }
    let groups = matched(image, args)?;
    if groups.len() > MAX_FUNCTIONS {
        return Err(Failure::usage(PrepareError::TooMany(groups.len())));
    }
    let planner = ImagePlanner::new(image);
    let mut prepared = Prepared {
        functions: Vec::new(),
        described: Vec::new(),
        warnings: Vec::new(),
    };
    let mut refusal = None;
    for group in &groups {
        match plan_group(&planner, group, &mut prepared.warnings) {
            Ok(plans) => {
                prepared.warnings.extend(inlined_elsewhere(image, group));
                prepared.add(image, group, plans, args.exit_probe);
            }
            Err(reason) => {
                prepared
                    .warnings
                    .push(format!("{} is not traced: {reason}", group.name));
                refusal.get_or_insert(PrepareError::Refused {
                    name: group.name.clone(),
                    reason,
                });
            }
        }
    }
    match refusal {
        Some(refusal) if prepared.functions.is_empty() => Err(Failure::usage(refusal)),
        _ => {
            prepared.warn_of_uretprobes(image, args.exit_probe);
            Ok(prepared)
        }
    }
}

/// The distinct logical functions that the patterns name, each once.
fn matched<'i>(image: &'i Image, args: &TraceArgs) -> Result<Vec<Group<'i>>> {
    let mut groups: Vec<Group<'i>> = Vec::new();
    for text in &args.functions {
        let found = pattern::find(image, text)
            .and_then(|matches| matches.select(args.all))
            .map_err(Failure::usage)?;
        for group in found {
            let known = groups
                .iter()
                .any(|other| other.functions.iter().any(|f| group.functions.contains(f)));
            if !known {
                groups.push(group);
            }
        }
    }
    Ok(groups)
}

/// Calls that no probe can see, because the compiler copied the function into its caller.
fn inlined_elsewhere(image: &Image, group: &Group<'_>) -> Option<String> {
    let callers = group
        .functions
        .iter()
        .map(|function| image.inlined_into(function))
        .max()
        .unwrap_or(0);
    let places = if callers == 1 {
        "1 caller"
    } else {
        &*format!("{callers} callers")
    };
    (callers > 0).then(|| {
        format!(
            "{} is also inlined into {places}: those calls are not seen; trace the callers, or build it with inlining off",
            group.name
        )
    })
}

/// Plans every instance of a function; instances that are refused are left out with a warning,
/// unless all are.
fn plan_group(
    planner: &ImagePlanner<'_>,
    group: &Group<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<FunctionPlan>, String> {
    let mut plans = Vec::new();
    let mut refused: Vec<(&Function, String)> = Vec::new();
    for function in &group.functions {
        match planner.plan(function) {
            Ok(plan) => plans.push(plan),
            Err(reason) => refused.push((function, reason.to_string())),
        }
    }
    if plans.is_empty() {
        let reason = refused.into_iter().next().map(|(_, reason)| reason);
        return Err(reason.unwrap_or_else(|| "it has no code".to_owned()));
    }
    for (function, reason) in refused {
        warnings.push(format!(
            "one instance of {} is not traced, so its calls are missing: {} ({reason})",
            group.name, function.linkage_name
        ));
    }
    Ok(plans)
}

impl Prepared {
    fn add(&mut self, image: &Image, group: &Group<'_>, plans: Vec<FunctionPlan>, mode: ExitMode) {
        let name = match group.label {
            Some(label) => format!("{} ({label})", group.name),
            None => group.name.clone(),
        };
        let exit = match mode {
            ExitMode::Auto | ExitMode::Ret => ExitProbe::Ret,
            ExitMode::Uretprobe => ExitProbe::Uretprobe,
        };
        if exit == ExitProbe::Ret && plans.iter().all(|plan| plan.exits.is_empty()) {
            self.warnings.push(format!(
                "{name} has no return instruction: its calls are counted as unwound or in flight, never as completed"
            ));
        }
        let planned = PlannedFunction {
            name: name.clone(),
            image: Arc::from(image.path()),
            plans,
            go: image.go().is_some(),
            exit,
        };
        let instance = group.functions.first();
        self.described.push(NewFunction {
            name,
            linkage_name: instance.map_or_else(String::new, |f| f.linkage_name.clone()),
            image: image.path().display().to_string(),
            file: None,
            line: None,
            entry_address: planned.plans.first().map_or(0, |plan| plan.entry.address),
            exit,
            // Known once the programs are loaded.
            cost_ns: 0,
            floor_ns: 0,
            sites: planned.sites() as u32,
            cost_class: planned
                .plans
                .iter()
                .map(FunctionPlan::cost_class)
                .max()
                .unwrap_or(CostClass::SingleStep),
        });
        self.functions.push(planned);
    }

    fn warn_of_uretprobes(&mut self, image: &Image, mode: ExitMode) {
        if mode == ExitMode::Uretprobe && matches!(image.language(), Language::Rust | Language::Cpp)
        {
            self.warnings.push(
                "--exit-probe uretprobe: a panic or an exception that passes a traced function ends the target"
                    .to_owned(),
            );
        }
    }
}
