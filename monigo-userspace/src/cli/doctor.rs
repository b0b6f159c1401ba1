//! `monigo doctor`.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use super::{
    args::{DoctorArgs, Format},
    exit::Failure,
};
use crate::system::{Check, HostFacts, Severity, checks, judge};

/// Runs the subcommand: exits with 0 if monigo can attach here, with 77 if not.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let facts = HostFacts::read();
    let report = checks::evaluate(&facts);
    let verdict = judge(&report);
    let mut out = io::stdout().lock();
    match args.format {
        Format::Table => write_table(&mut out, &report, verdict.is_ok())?,
        Format::Json => {
            serde_json::to_writer_pretty(
                &mut out,
                &Json {
                    can_attach: verdict.is_ok(),
                    kernel: &facts.kernel_release,
                    checks: &report,
                },
            )?;
            writeln!(out)?;
        }
        Format::Csv => write_csv(&mut out, &report)?,
    }
    verdict.map_err(|error| {
        let names: Vec<&str> = error.blocking.iter().map(|check| check.name).collect();
        Failure::not_allowed(anyhow::anyhow!(
            "this host does not allow attaching: {}",
            names.join(", ")
        ))
    })
}

#[derive(Serialize)]
struct Json<'a> {
    can_attach: bool,
    kernel: &'a str,
    checks: &'a [Check],
}

fn write_table(out: &mut impl io::Write, report: &[Check], can_attach: bool) -> io::Result<()> {
    let color = io::stdout().is_terminal();
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["check", "status", "found"]);
    for check in report {
        let status = Cell::new(check.severity);
        let status = if color {
            status.fg(match check.severity {
                Severity::Ok => Color::Green,
                Severity::Warning => Color::Yellow,
                Severity::Missing => Color::Red,
            })
        } else {
            status
        };
        table.add_row([Cell::new(check.name), status, Cell::new(&check.found)]);
    }
    writeln!(out, "{table}")?;
    for check in report {
        if check.severity == Severity::Ok {
            continue;
        }
        write!(out, "\n{}: {}, {}", check.severity, check.name, check.found)?;
        for line in [&check.consequence, &check.remedy] {
            if !line.is_empty() {
                write!(out, "\n    {line}")?;
            }
        }
        writeln!(out)?;
    }
    let verdict = if can_attach {
        "monigo can attach to programs on this host."
    } else {
        "monigo cannot attach to programs on this host; see \"missing\" above."
    };
    writeln!(out, "\n{verdict}")
}

fn write_csv(out: &mut impl io::Write, report: &[Check]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    for check in report {
        writer.serialize(check)?;
    }
    writer.flush()?;
    Ok(())
}
