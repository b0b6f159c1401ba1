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
    api::check::sentence,
    config::{ConfigError, Problem, Sources, template},
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
    let http = loaded.config.http();
    let wrong = http.check().into_iter();
    let mut wrong: Vec<Problem> = wrong
        .map(|(key, message)| loaded.problem(&key, message))
        .collect();
    if let Err(error) = Webhook::new(&loaded.config.webhook) {
        let setting = error.setting();
        wrong.push(loaded.problem(&setting, sentence(&error, &setting)));
    }
    if !wrong.is_empty() {
        return Err(Failure::usage(ConfigError::Problems(wrong)));
    }
    for remark in &loaded.remarks {
        eprintln!("monigo: {remark}");
    }
    if let Some(remark) = http.remark().filter(|_| !loaded.config.service.headless) {
        eprintln!("monigo: {}", loaded.problem("listen.address", remark));
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
