//! Programs for another machine: `list` shows what could be probed in them, and nothing traces them.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    monigo::run,
    targets::{self, Go, GoVersion},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Listing {
    target: Target,
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Target {
    language: String,
    machine: String,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    address: Option<String>,
    size_bytes: u64,
    probeable: bool,
    reason: Option<String>,
    cost_class: Option<String>,
    sites: Vec<Site>,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
struct Site {
    address: String,
    kind: String,
    cost_class: String,
    instruction: String,
}

fn list(program: &Path) -> Result<Listing> {
    let path = program.to_str().context("path is not UTF-8")?;
    let outcome = run(["list", path, "--format", "json"])?;
    ensure!(outcome.status == Some(0), "{}", outcome.stderr);
    let note = "is built for arm64, and this host is x86-64";
    ensure!(outcome.stderr.contains(note), "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).context("the JSON is not as agreed")
}

fn of(version: GoVersion, flags: &'static [&'static str]) -> Result<Listing> {
    let program = targets::go_scenarios_for("arm64", Go { version, flags })?;
    let listing = list(&program)?;
    ensure!(listing.target.machine == "arm64" && listing.target.language == "go");
    Ok(listing)
}

/// Functions of the program itself, by name.
fn own(listing: &Listing) -> BTreeMap<&str, &Function> {
    let named = listing.functions.iter();
    let own = named.filter(|function| function.name.starts_with("main."));
    own.map(|function| (function.name.as_str(), function))
        .collect()
}

#[test]
fn sites_in_arm64_code() -> Result<()> {
    for version in [GoVersion::Distribution, GoVersion::Current] {
        let listing = of(version, &[])?;
        let functions = own(&listing);
        for name in ["main.leaf", "main.caller", "main.(*Server).Handle"] {
            let function = functions.get(name).context(name)?;
            ensure!(function.probeable, "{name}: {:?}", function.reason);
            let [entry, exits @ ..] = &*function.sites else {
                anyhow::bail!("{name} has no sites");
            };
            ensure!(entry.kind == "entry", "{entry:?}");
            // `leaf` has no frame; the others save the link register when they make theirs.
            let frame = entry.instruction.contains("x30") && entry.instruction.contains("sp");
            ensure!(frame != (name == "main.leaf"), "{name}: {entry:?}");
            ensure!(!exits.is_empty(), "{name} never returns");
            for exit in exits {
                // Simulated, not executed out of line as on x86-64.
                let seen = (&*exit.kind, &*exit.cost_class, &*exit.instruction);
                ensure!(seen == ("return", "emulated", "ret"), "{name}: {exit:?}");
            }
        }
        // Most of the runtime can be probed, and each function that cannot says why.
        let with_code = || listing.functions.iter().filter(|f| f.address.is_some());
        let probeable = with_code().filter(|function| function.probeable).count();
        ensure!(
            probeable * 10 > with_code().count() * 9,
            "{probeable} of {}",
            with_code().count()
        );
        ensure!(with_code().all(|function| function.probeable == function.reason.is_none()));
        ensure!(with_code().all(|function| function.probeable == function.cost_class.is_some()));
    }
    Ok(())
}

/// The function table alone gives the same functions and sites as the symbol table.
#[test]
fn stripped_arm64_code() -> Result<()> {
    let full = of(GoVersion::Current, &[])?;
    let stripped = of(GoVersion::Current, &["-ldflags=-s -w"])?;
    let (full, stripped) = (own(&full), own(&stripped));
    for (name, function) in &full {
        if function.address.is_none() || name.contains('[') {
            // Inlined, which DWARF tells, or with generic arguments that the table leaves out.
            continue;
        }
        let same = stripped.get(name).context(format!("{name} is missing"))?;
        ensure!(
            (same.size_bytes, same.sites.len()) == (function.size_bytes, function.sites.len()),
            "{name}: {:?}, stripped {:?}",
            function.sites,
            same.sites
        );
    }
    let moved = of(GoVersion::Current, &["-buildmode=pie", "-ldflags=-s -w"])?;
    ensure!(own(&moved).contains_key("main.caller"));
    Ok(())
}

#[test]
fn arm64_programs_are_not_traced() -> Result<()> {
    let how = Go {
        version: GoVersion::Current,
        flags: &[],
    };
    let program = targets::go_scenarios_for("arm64", how)?;
    let path = program.to_str().context("path is not UTF-8")?;
    for arguments in [
        &["attach", path, "--fn", "main.caller", "--headless"][..],
        &["run", "--fn", "main.caller", "--headless", "--", path],
        &["discover", path],
    ] {
        let named = ["arm64", "x86-64", "monigo list"];
        run(arguments)?.expect_error(2, &named)?;
    }
    Ok(())
}
