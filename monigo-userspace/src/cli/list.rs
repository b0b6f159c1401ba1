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
    plan::{CostClass, ImagePlanner},
    symbols::{Function, FunctionKind, Image, ImageError, Language, pattern},
    target::{self, Target, TargetError},
};

/// Runs the subcommand.
pub fn run(args: &ListArgs) -> Result<()> {
    let target = target::resolve(&args.target, None).map_err(target_failure)?;
    let own = Arc::new(open(&target)?);
    let Selection { images, picks } = select(&target, own, args.pattern.as_deref())?;
    // Without a pattern, everything in the target itself.
    let (image, pattern) = match picks.first() {
        Some(pick) => (&*images[pick.image], Some(pick.pattern.as_str())),
        None => (&*images[0], None),
    };
    let functions = pattern::list(image, pattern).map_err(Failure::usage)?;
    if args.pattern.is_none() && !image.has_symtab() && image.go().is_none() {
        eprintln!(
            "monigo: {} has no symbol table (stripped): only exported functions have names",
            image.path().display()
        );
    }
    let planner = ImagePlanner::new(image);
    let mut rows: Vec<Row> = functions
        .iter()
        .map(|function| Row::new(&planner, function))
        .collect();
    // What has no code comes last: libraries leave thousands of inlined functions.
    let key = |row: &Row| (row.address.is_none(), row.name.clone(), row.address.clone());
    rows.sort_by_cached_key(key);
    let mut out = BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Table => table(&mut out, &rows)?,
        Format::Json => json(&mut out, image, &target, &rows)?,
        Format::Csv => csv(&mut out, &rows)?,
    }
    out.flush()?;
    Ok(())
}

/// Opens the image of a resolved target; errors get their exit status.
pub(super) fn open(target: &Target) -> Result<Image> {
    Image::open_as(&target.open_path, &target.show_path).map_err(|error| match error {
        ImageError::Permission { .. } => Failure::not_allowed(error),
        other => Failure::usage(other),
    })
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
    sites: Option<usize>,
}

impl Row {
    fn new(planner: &ImagePlanner<'_>, function: &Function) -> Self {
        let has_address = !matches!(
            function.kind,
            FunctionKind::Imported { .. } | FunctionKind::Inlined { .. }
        );
        let mut row = Self {
            name: function.name().to_owned(),
            linkage_name: function.linkage_name.clone(),
            address: function
                .entry()
                .filter(|_| has_address)
                .map(|entry| format!("{entry:#x}")),
            size_bytes: function.size_bytes(),
            probeable: false,
            reason: function.kind.refusal(),
            cost_class: None,
            sites: None,
        };
        if row.reason.is_none() {
            match planner.plan(function) {
                Ok(plan) => {
                    row.cost_class = Some(plan.cost_class());
                    row.sites = Some(1 + plan.exits.len());
                }
                Err(reason) => row.reason = Some(reason.to_string()),
            }
        }
        row.probeable = row.reason.is_none();
        row
    }

    fn cost(&self) -> String {
        match self.cost_class {
            None => "yes".to_owned(),
            Some(CostClass::Nop5) => "nop5".to_owned(),
            Some(CostClass::Emulated) => "emulated".to_owned(),
            Some(CostClass::SingleStep) => "single-step".to_owned(),
        }
    }
}

/// The name comes last: it is what grows.
fn table(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
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
        let sites = row.sites.map_or_else(|| "-".to_owned(), |n| n.to_string());
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
    }
    let probeable = rows.iter().filter(|row| row.probeable).count();
    eprintln!("{} functions, {probeable} can be probed", rows.len());
    Ok(())
}

#[derive(Serialize)]
struct Listing<'a> {
    target: ListedTarget<'a>,
    functions: &'a [Row],
}

#[derive(Serialize)]
struct ListedTarget<'a> {
    path: String,
    pids: &'a [u32],
    language: Language,
    build_id: Option<&'a str>,
    go_version: Option<&'a str>,
}

fn json(out: &mut impl Write, image: &Image, target: &Target, rows: &[Row]) -> Result<()> {
    let listing = Listing {
        target: ListedTarget {
            path: image.path().display().to_string(),
            pids: &target.pids,
            language: image.language(),
            build_id: image.build_id(),
            go_version: image.go().map(|go| go.version.as_str()),
        },
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
        let cost = row.cost_class.map_or_else(String::new, |_| row.cost());
        writer.write_record([
            &row.name,
            &row.linkage_name,
            row.address.as_deref().unwrap_or(""),
            &row.size_bytes.to_string(),
            &row.probeable.to_string(),
            row.reason.as_deref().unwrap_or(""),
            &cost,
            &row.sites.map_or_else(String::new, |n| n.to_string()),
        ])?;
    }
    writer.flush()?;
    Ok(())
}
