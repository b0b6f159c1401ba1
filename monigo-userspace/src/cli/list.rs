//! `monigo list`.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use anyhow::Result;
use serde::Serialize;

use super::{
    args::{Format, ListArgs},
    exit::Failure,
    select::{Selection, select},
};
use crate::{
    plan::{CostClass, FunctionPlan, ImagePlanner, Site, Unplannable},
    symbols::{Function, FunctionKind, Image, ImageError, Language, Machine, pattern},
    target::{self, Target, TargetError},
};

/// Runs the subcommand.
pub fn run(args: &ListArgs, verbose: bool) -> Result<()> {
    args.symbols.install()?;
    let target = target::resolve(&args.target, None).map_err(target_failure)?;
    let own = Arc::new(open_to_read(&target)?);
    let Selection { images, picks } = select(&target, own, args.pattern.as_deref())?;
    // Without a pattern, everything in the target itself.
    let (image, pattern) = match picks.first() {
        Some(pick) => (&*images[pick.image], Some(pick.pattern.as_str())),
        None => (&*images[0], None),
    };
    let functions = pattern::list(image, pattern);
    for remark in image.debug_remarks() {
        eprintln!("monigo: {remark}");
    }
    let functions = functions.map_err(Failure::usage)?;
    if args.pattern.is_none() && !image.has_symtab() && image.go().is_none() {
        eprintln!(
            "monigo: {} has no symbol table (stripped): only exported functions have names",
            image.path().display()
        );
    }
    if image.machine() != Machine::HOST {
        eprintln!(
            "monigo: {} is built for {}, and this host is {}: sites and their cost are those of {}, but nothing can be traced here",
            image.path().display(),
            image.machine().name(),
            Machine::HOST.name(),
            image.machine().name(),
        );
    }
    let planner = ImagePlanner::new(image);
    let with_sites = verbose || args.format == Format::Json;
    let references: Vec<&Function> = functions.iter().collect();
    let plans = planner.plan_all(&references).into_iter();
    let mut rows: Vec<Row> = functions
        .iter()
        .zip(plans)
        .map(|(function, plan)| Row::new(&planner, function, plan, with_sites))
        .collect();
    // What has no code comes last: libraries leave thousands of inlined functions.
    let key = |row: &Row| (row.address.is_none(), row.name.clone(), row.address.clone());
    rows.sort_by_cached_key(key);
    let mut out = BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Table => table(&mut out, image, &rows, verbose)?,
        Format::Json => json(&mut out, &images[0], image, &target, &rows)?,
        Format::Csv => csv(&mut out, &rows)?,
    }
    out.flush()?;
    Ok(())
}

/// Opens the image of a resolved target to trace it; errors get their exit status.
pub(super) fn open(target: &Target) -> Result<Image> {
    Image::open_as(&target.open_path, &target.show_path).map_err(image_failure)
}

/// Opens it to look at, whatever machine it is for.
fn open_to_read(target: &Target) -> Result<Image> {
    Image::open_to_read(&target.open_path, &target.show_path).map_err(image_failure)
}

fn image_failure(error: ImageError) -> anyhow::Error {
    match error {
        ImageError::Permission { .. } => Failure::not_allowed(error),
        other => Failure::usage(other),
    }
}

/// The exit status of a target that could not be resolved.
pub(super) fn target_failure(error: TargetError) -> anyhow::Error {
    match error {
        TargetError::Permission { .. } => Failure::not_allowed(error),
        other => Failure::usage(other),
    }
}

/// A function as listed.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    linkage_name: String,
    /// Entry, in hex, if it has one.
    address: Option<String>,
    size_bytes: u64,
    probeable: bool,
    /// Why it cannot be probed.
    reason: Option<String>,
    cost_class: Option<CostClass>,
    #[serde(skip)]
    site_count: Option<usize>,
    sites: Vec<SiteRow>,
}

/// An instruction to probe, as listed.
#[derive(Debug, Serialize)]
struct SiteRow {
    /// Hex.
    address: String,
    kind: &'static str,
    cost_class: CostClass,
    instruction: String,
}

impl Row {
    fn new(
        planner: &ImagePlanner<'_>,
        function: &Function,
        plan: Result<FunctionPlan, Unplannable>,
        with_sites: bool,
    ) -> Self {
        let has_address = !matches!(
            function.kind,
            FunctionKind::Imported { .. } | FunctionKind::Inlined { .. }
        );
        let mut row = Self {
            name: function.name().to_owned(),
            linkage_name: function.linkage_name.to_string(),
            address: function
                .entry()
                .filter(|_| has_address)
                .map(|entry| format!("{entry:#x}")),
            size_bytes: function.size_bytes(),
            probeable: false,
            reason: function.kind.refusal(),
            cost_class: None,
            site_count: None,
            sites: Vec::new(),
        };
        if row.reason.is_none() {
            match plan {
                Ok(plan) => {
                    row.cost_class = Some(plan.cost_class());
                    row.site_count = Some(1 + plan.exits.len());
                    if with_sites {
                        let sites = std::iter::once(&plan.entry).chain(&plan.exits);
                        row.sites = sites.map(|site| SiteRow::new(planner, site)).collect();
                    }
                }
                Err(reason) => row.reason = Some(reason.to_string()),
            }
        }
        row.probeable = row.reason.is_none();
        row
    }

    fn cost(&self) -> &'static str {
        self.cost_class.map_or("yes", cost_name)
    }
}

impl SiteRow {
    fn new(planner: &ImagePlanner<'_>, site: &Site) -> Self {
        Self {
            address: format!("{:#x}", site.address),
            kind: site.kind.name(),
            cost_class: site.cost,
            instruction: planner.instruction(site.address).unwrap_or_default(),
        }
    }
}

fn cost_name(class: CostClass) -> &'static str {
    match class {
        CostClass::Nop5 => "nop5",
        CostClass::Emulated => "emulated",
        CostClass::SingleStep => "single-step",
    }
}

/// The name comes last: it is what grows.
fn table(out: &mut impl Write, image: &Image, rows: &[Row], verbose: bool) -> io::Result<()> {
    if verbose {
        writeln!(out, "{}", image.path().display())?;
    }
    writeln!(
        out,
        "{:>18} {:>9} {:>5}  {:<11}  FUNCTION",
        "ADDRESS", "BYTES", "SITES", "PROBE"
    )?;
    for row in rows {
        let address = row.address.as_deref().unwrap_or("-");
        let size = if row.size_bytes > 0 {
            row.size_bytes.to_string()
        } else {
            "-".to_owned()
        };
        let sites = row
            .site_count
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        match &row.reason {
            None => writeln!(
                out,
                "{address:>18} {size:>9} {sites:>5}  {:<11}  {}",
                row.cost(),
                row.name
            )?,
            Some(reason) => writeln!(
                out,
                "{address:>18} {size:>9} {:>5}  {:<11}  {}  ({reason})",
                "-", "no", row.name
            )?,
        }
        for site in &row.sites {
            writeln!(
                out,
                "{:>18} {:>16}  {:<11}  {:<26}  {}",
                site.address,
                "",
                cost_name(site.cost_class),
                site.kind,
                site.instruction
            )?;
        }
    }
    let probeable = rows.iter().filter(|row| row.probeable).count();
    eprintln!("{} functions, {probeable} can be probed", rows.len());
    Ok(())
}

#[derive(Serialize)]
struct Listing<'a> {
    target: ListedTarget<'a>,
    /// Where the functions are: the target itself, or a library of it.
    image: String,
    functions: &'a [Row],
}

#[derive(Serialize)]
struct ListedTarget<'a> {
    path: String,
    pids: &'a [u32],
    language: Language,
    /// `x86-64` or `arm64`.
    machine: &'static str,
    build_id: Option<&'a str>,
    go_version: Option<&'a str>,
}

fn json(
    out: &mut impl Write,
    own: &Image,
    image: &Image,
    target: &Target,
    rows: &[Row],
) -> Result<()> {
    let listing = Listing {
        target: ListedTarget {
            path: own.path().display().to_string(),
            pids: &target.pids,
            language: own.language(),
            machine: own.machine().name(),
            build_id: own.build_id(),
            go_version: own.go().map(|go| go.version.as_str()),
        },
        image: image.path().display().to_string(),
        functions: rows,
    };
    serde_json::to_writer_pretty(&mut *out, &listing)?;
    writeln!(out)?;
    Ok(())
}

fn csv(out: &mut impl Write, rows: &[Row]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "name",
        "linkage_name",
        "address",
        "size_bytes",
        "probeable",
        "reason",
        "cost_class",
        "sites",
    ])?;
    for row in rows {
        let cost = row.cost_class.map_or("", cost_name);
        writer.write_record([
            &row.name,
            &row.linkage_name,
            row.address.as_deref().unwrap_or(""),
            &row.size_bytes.to_string(),
            &row.probeable.to_string(),
            row.reason.as_deref().unwrap_or(""),
            cost,
            &row.site_count.map_or_else(String::new, |n| n.to_string()),
        ])?;
    }
    writer.flush()?;
    Ok(())
}
