//! From patterns to functions that can be attached.

mod prepared;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::Result;
use monigo_common::cookie::MAX_FUNCTIONS;

pub use self::prepared::Prepared;
use super::{
    TraceOptions,
    executions::{self, Chosen, Executions, Layouts},
    exits::Exits,
    inlined::InlinedLater,
    instances,
    remarks::Remarks,
};
use crate::{
    cli::{
        args::ExitMode,
        exit::{Failure, say},
        select::{Selection, select},
    },
    plan::{FunctionPlan, ImagePlanner, Unplannable},
    probe::PlannedFunction,
    store::{ExitProbe, NewFunction},
    symbols::{
        Function, Image, Language,
        pattern::{self, Group, Tier},
    },
    sync::join,
    target::{Target, return_probes},
};

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
    /// Whose calls of a library count is only known once it runs.
    #[error(
        "no process runs {path}, so monigo cannot tell whose calls of {library} to count: start it first, or let monigo start it: monigo run --fn '{pattern}' -- {path}"
    )]
    NotRunning {
        /// The target.
        path: String,
        /// The library.
        library: String,
        /// The first pattern that names one.
        pattern: String,
    },
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

/// Matches the patterns of `args` in `target`, whose image is `image`, and in its libraries, and
/// plans what they match.
///
/// `running` are the processes whose libraries are known.
pub fn prepare(
    target: &Target,
    image: Arc<Image>,
    running: &[u32],
    args: &TraceOptions,
) -> Result<Prepared> {
    let patterns = args.functions.iter().map(String::as_str);
    let Selection { images, picks, .. } = select(target, image, patterns)?;
    let mut prepared = Prepared {
        images: Vec::new(),
        functions: Vec::new(),
        described: Vec::new(),
        warnings: Vec::new(),
        later: InlinedLater::default(),
        running: running.to_vec(),
    };
    let mut refusal = None;
    for (index, image) in images.iter().enumerate() {
        let of_image = picks.iter().filter(|pick| pick.image == index);
        let patterns: Vec<&str> = of_image.map(|pick| pick.pattern.as_str()).collect();
        if !patterns.is_empty() {
            refusal = prepared.add_image(image, &patterns, args)?.or(refusal);
        }
    }
    prepared.name_apart();
    prepared.images = images;
    match refusal {
        Some(refusal) if prepared.functions.is_empty() => Err(Failure::usage(refusal)),
        _ => Ok(prepared),
    }
}

/// The distinct logical functions that the patterns name, each once.
fn matched<'i>(
    layouts: &mut Layouts<'i>,
    image: &'i Image,
    patterns: &[&str],
    args: &TraceOptions,
) -> Result<Vec<Group<'i>>> {
    let mut found = Vec::new();
    for text in patterns {
        let matches = pattern::find(image, text).map_err(Failure::usage)?;
        // Whoever asks for a function by its name wants to know how long it takes.
        let by_name = matches!(matches.tier, Tier::Raw | Tier::Full | Tier::Suffix);
        let groups = matches.select(args.all).map_err(Failure::usage)?;
        found.extend(groups.into_iter().map(|group| (group, by_name)));
    }
    let mut groups: Vec<Group<'i>> = Vec::new();
    let mut known: HashSet<u64> = HashSet::new();
    for group in executions::polled(layouts, found) {
        let entries = || group.functions.iter().filter_map(|f| f.entry());
        if entries().all(|entry| !known.contains(&entry)) {
            known.extend(entries());
            groups.push(group);
        }
    }
    if args.by_instance {
        groups = groups.into_iter().flat_map(instances::apart).collect();
    }
    Ok(groups)
}

/// Refuses what cannot be traced in a Go program.
fn check_go(image: &Image, args: &TraceOptions) -> Result<()> {
    let Some(go) = image.go() else { return Ok(()) };
    if !go.register_abi() {
        let (path, version) = (image.path().display().to_string(), go.version.clone());
        return Err(Failure::usage(PrepareError::OldGo { path, version }));
    }
    if args.exit_probe == ExitMode::Uretprobe {
        return Err(Failure::usage(PrepareError::UretprobeOnGo));
    }
    Ok(())
}

/// The plans of a group's functions, taken in order from those of all. Instances that are refused
/// are left out with a remark; `None` if all are.
fn plans_of(
    group: &Group<'_>,
    planned: &mut impl Iterator<Item = Result<FunctionPlan, Unplannable>>,
    remarks: &mut Remarks,
) -> Option<Vec<FunctionPlan>> {
    let mut plans = Vec::new();
    let mut refused: Vec<(&Function, Unplannable)> = Vec::new();
    for (function, plan) in group.functions.iter().zip(planned) {
        match plan {
            Ok(plan) => plans.push(plan),
            Err(reason) => refused.push((function, reason)),
        }
    }
    if plans.is_empty() {
        let (_, reason) = refused.into_iter().next()?;
        remarks.refused(&group.name, reason);
        return None;
    }
    for (function, reason) in refused {
        remarks.partly_refused(&group.name, &function.linkage_name, &reason);
    }
    Some(plans)
}

impl Prepared {
    /// Plans what `patterns` match in one image. If some of it cannot be probed, that is among the
    /// warnings, and the first reason is returned.
    fn add_image(
        &mut self,
        image: &Arc<Image>,
        patterns: &[&str],
        args: &TraceOptions,
    ) -> Result<Option<PrepareError>> {
        check_go(image, args)?;
        let exits = Exits::new(image, args.exit_probe, self.running.clone());
        let mut layouts = Layouts::new(image);
        // Unwind tables and the code of a large image are read while its symbols are.
        let (groups, planner, obstacle) = thread::scope(|scope| {
            let others = scope.spawn(|| {
                let planner = ImagePlanner::new(image);
                let early = image.is_slow() && args.exit_probe == ExitMode::Auto;
                let obstacle = early.then(|| return_probes::obstacle(image, &self.running));
                (planner, obstacle)
            });
            let groups = matched(&mut layouts, image, patterns, args);
            let (planner, obstacle) = join(others);
            (groups, planner, obstacle)
        });
        if let Some(obstacle) = obstacle {
            exits.set_obstacle(obstacle);
        }
        let groups = groups.inspect_err(|_| {
            // Often why nothing matches.
            for remark in image.debug_remarks() {
                say!("{remark}");
            }
        })?;
        self.warnings.extend_from_slice(image.debug_remarks());
        let total = self.functions.len() + groups.len();
        if total > MAX_FUNCTIONS {
            return Err(Failure::usage(PrepareError::TooMany(total)));
        }
        let functions: Vec<&Function> = groups
            .iter()
            .flat_map(|group| group.functions.iter().copied())
            .collect();
        let mut all_plans = planner.plan_all(&functions).into_iter();
        let mut remarks = Remarks::default();
        let mut chosen = Vec::new();
        for group in &groups {
            let Some(plans) = plans_of(group, &mut all_plans, &mut remarks) else {
                continue;
            };
            // Calls that no probe can see, because the compiler copied the function into its caller.
            if image.is_slow() {
                self.later.add(image, group);
            } else {
                let callers = group.functions.iter().map(|f| image.inlined_into(f)).max();
                if let Some(callers) = callers.filter(|callers| *callers > 0) {
                    remarks.inlined(&group.name, callers);
                }
            }
            let exit = exits.choose(group, &plans);
            if exit == ExitProbe::Ret && !plans.iter().any(FunctionPlan::has_end) {
                remarks.endless(&group.name);
            }
            chosen.push(Chosen { group, plans, exit });
        }
        let executions = executions::of(&mut layouts, &chosen, &mut remarks);
        for (chosen, executions) in chosen.into_iter().zip(executions) {
            self.add(image, chosen, executions);
        }
        let refusal = remarks
            .first_refusal()
            .map(|(name, reason)| PrepareError::Refused { name, reason });
        let shown = image.path().display().to_string();
        self.warnings
            .extend(remarks.sentences(groups.len(), &shown));
        self.warn_of_uretprobes(image, args.exit_probe);
        Ok(refusal)
    }

    /// Functions of one name in different images get the file name of theirs in front.
    fn name_apart(&mut self) {
        let mut images: HashMap<&str, HashSet<&str>> = HashMap::new();
        for function in &self.described {
            let known = images.entry(&function.name).or_default();
            known.insert(&function.image);
        }
        let apart: HashSet<String> = images
            .into_iter()
            .filter(|(_, images)| images.len() > 1)
            .map(|(name, _)| name.to_owned())
            .collect();
        for (planned, described) in self.functions.iter_mut().zip(&mut self.described) {
            if apart.contains(&described.name) {
                let file = Path::new(&described.image).file_name().unwrap_or_default();
                described.name = format!("{}:{}", file.to_string_lossy(), described.name);
                planned.name.clone_from(&described.name);
            }
        }
    }

    fn add(&mut self, image: &Image, chosen: Chosen<'_, '_>, executions: Executions) {
        let Chosen { group, plans, exit } = chosen;
        let name = match group.label.filter(|_| !executions.plain) {
            Some(label) => format!("{} ({label})", group.name),
            None => group.name.clone(),
        };
        let planned = PlannedFunction {
            name: name.clone(),
            image: Arc::from(image.open_path()),
            plans,
            go: image.go().is_some(),
            exit,
            futures: executions.layouts,
            executions: false,
        };
        let instance = group.functions.first();
        self.described.push(NewFunction {
            name,
            linkage_name: instance.map_or_else(String::new, |f| f.linkage_name.to_string()),
            image: image.path().display().to_string(),
            file: None,
            line: None,
            entry_address: planned.plans.first().map_or(0, |plan| plan.entry.address),
            exit,
            // Known once the programs are loaded.
            cost_ns: 0,
            floor_ns: 0,
            count_ns: 0,
            sites: planned.sites() as u32,
            cost_class: planned.cost_class(),
            instances: instances::described(image, &planned),
        });
        let followed = planned.has_executions().then(|| PlannedFunction {
            name: executions::name(group),
            plans: Vec::new(),
            futures: Vec::new(),
            executions: true,
            ..planned.clone()
        });
        self.functions.push(planned);
        if let Some(followed) = followed
            && let Some(polls) = self.described.last().cloned()
        {
            self.described.push(NewFunction {
                name: followed.name.clone(),
                sites: 0,
                instances: Vec::new(),
                ..polls
            });
            self.functions.push(followed);
        }
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
