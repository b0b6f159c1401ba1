//! `monigo config`.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow};

use super::{
    args::{ConfigArgs, ConfigCommand, Format},
    exit::Failure,
};
use crate::{
    config::{Sources, template},
    lifecycle::Webhook,
};

/// Runs the subcommand.
pub fn run(args: &ConfigArgs) -> Result<()> {
    match &args.command {
        ConfigCommand::Check { config } => check(config.as_deref()),
        ConfigCommand::Show { config, format } => show(config.as_deref(), *format),
        ConfigCommand::Init { file } => init(file),
    }
}

fn check(file: Option<&Path>) -> Result<()> {
    let sources = Sources::of_process(file, Vec::new());
    let loaded = sources.load().map_err(Failure::usage)?;
    // Files that it names are read, and nothing is sent.
    Webhook::new(&loaded.config.webhook).map_err(Failure::usage)?;
    for remark in &loaded.remarks {
        eprintln!("monigo: {remark}");
    }
    match sources.file {
        Some(path) => println!("{} is valid", path.display()),
        None => println!("no configuration file; the MONIGO_* variables are valid"),
    }
    Ok(())
}

fn show(file: Option<&Path>, format: Format) -> Result<()> {
    let sources = Sources::of_process(file, Vec::new());
    let loaded = sources.load().map_err(Failure::usage)?;
    match format {
        Format::Table => print!("{loaded}"),
        Format::Json => println!("{:#}", loaded.tree()),
        Format::Csv => {
            let text = "a configuration is no table; write --format json, or leave it out for TOML";
            return Err(Failure::usage(anyhow!(text)));
        }
    }
    Ok(())
}

fn init(file: &Path) -> Result<()> {
    // Fails if anything is there, a link without a target included.
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    let mut opened = opened.map_err(|error| {
        let path = file.display();
        if error.kind() == ErrorKind::AlreadyExists {
            let text = "exists, and is not written over; name another file";
            Failure::usage(anyhow!("{path} {text}"))
        } else {
            Failure::usage(anyhow!("cannot write {path}: {error}"))
        }
    })?;
    opened
        .write_all(template().as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!(
        "wrote {}; every setting in it is commented out",
        file.display()
    );
    Ok(())
}
