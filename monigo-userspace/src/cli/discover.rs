//! `monigo discover`.

use std::{
    io::{self, IsTerminal as _, Write},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;

use super::{
    args::{DiscoverArgs, Format, RankBy},
    exit::Failure,
    interrupts,
    list::{open, target_failure},
};
use crate::{
    discover::{self, Catalogue, DiscoverError, Found, Options, Ranking, Stage},
    export::{discovery_csv, discovery_table, format::count},
    symbols::{Image, ImageError, Language},
    system,
    target::{self, Libraries, Target},
};

/// How many of the functions found the next step names.
const SUGGESTED: usize = 3;

/// Runs the subcommand.
pub fn run(args: &DiscoverArgs) -> Result<()> {
    args.symbols.install()?;
    let target = target::resolve(&args.target, args.pid).map_err(target_failure)?;
    let image = open(&target)?;
    if target.pids.is_empty() {
        let path = target.show_path.display().to_string();
        return Err(Failure::usage(DiscoverError::NotRunning { path }));
    }
    check_go(&image)?;
    let libraries = libraries(args, &target, &image)?;
    system::require_attach().map_err(Failure::not_allowed)?;
    interrupts::hold();
    let started = Instant::now();
    let catalogue = catalogue(&image, &libraries, args.runtime);
    eprintln!(
        "monigo: watching {} functions of {} for {} s{}",
        count(catalogue.functions.len() as u64),
        target.show_path.display(),
        args.seconds,
        if catalogue.runtime > 0 {
            "; --runtime adds those of the language's runtime"
        } else {
            ""
        }
    );
    tracing::info!("planned in {:?}", started.elapsed());
    let options = Options {
        length: Duration::from_secs_f64(args.seconds),
        features: args.features.into(),
    };
    let mut progress = Progress::default();
    let mut ranking = discover::discover(
        &target,
        catalogue,
        options,
        &interrupts::CAME,
        &mut |ranking| {
            progress.show(ranking);
        },
    )
    .map_err(|error| match error {
        DiscoverError::Probe(error) => error.into(),
        error @ DiscoverError::NoMultiLinks { .. } => Failure::not_allowed(error),
        other => Failure::usage(other),
    })?;
    progress.clear();
    if args.by == RankBy::Calls {
        let calls = |found: &Found| found.figures.calls_per_second;
        ranking
            .functions
            .sort_by(|a, b| calls(b).total_cmp(&calls(a)));
    }
    print(args, &target, &image, &ranking)?;
    Ok(())
}

/// Functions of the image and of libraries, by the names given for them.
fn catalogue(image: &Image, libraries: &[(String, Image)], runtime: bool) -> Catalogue {
    let libraries: Vec<(String, &Image)> = libraries
        .iter()
        .map(|(name, image)| (name.clone(), image))
        .collect();
    discover::catalogue(image, &libraries, runtime)
}

/// Goroutines cannot be told apart in older Go, so their calls cannot be timed.
fn check_go(image: &Image) -> Result<()> {
    match image.go() {
        Some(go) if !go.register_abi() => Err(Failure::usage(anyhow::anyhow!(
            "{} is built by {}; monigo traces Go 1.17 and later, whose calls can be told apart by goroutine",
            image.path().display(),
            go.version
        ))),
        _ => Ok(()),
    }
}

fn libraries(args: &DiscoverArgs, target: &Target, image: &Image) -> Result<Vec<(String, Image)>> {
    let known = (!args.libraries.is_empty()).then(|| Libraries::of(target, image));
    let mut images = Vec::new();
    for name in &args.libraries {
        let Some(known) = &known else { break };
        for library in known.find(name).map_err(Failure::usage)? {
            let image = Image::open_as(&library.open_path, &library.show_path).map_err(
                |error| match error {
                    ImageError::Permission { .. } => Failure::not_allowed(error),
                    other => Failure::usage(other),
                },
            )?;
            images.push((name.clone(), image));
        }
    }
    Ok(images)
}

fn print(args: &DiscoverArgs, target: &Target, image: &Image, ranking: &Ranking) -> Result<()> {
    let next = next_step(args, ranking);
    let mut out = io::stdout().lock();
    let top = args.top as usize;
    match args.format {
        Format::Table => {
            let width = super::recording::terminal_width();
            write!(out, "{}", discovery_table(ranking, top, width))?;
            if let Some(next) = next {
                writeln!(out, "\nTo trace the first ones:\n  {next}")?;
            }
        }
        Format::Json => {
            let report = Report {
                target: ReportTarget {
                    path: target.show_path.display().to_string(),
                    pids: &target.pids,
                    language: image.language(),
                },
                next,
                total: ranking.functions.len(),
                ranking: &Ranking {
                    functions: ranking.functions.iter().take(top).cloned().collect(),
                    ..ranking.clone()
                },
            };
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        }
        Format::Csv => write!(out, "{}", discovery_csv(ranking, top)?)?,
    }
    out.flush()?;
    Ok(())
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    target: ReportTarget<'a>,
    #[serde(flatten)]
    ranking: &'a Ranking,
    /// Functions with calls, those that are not listed included.
    total: usize,
    /// The command that traces the first ones.
    next: Option<String>,
}

#[derive(Serialize)]
struct ReportTarget<'a> {
    path: String,
    pids: &'a [u32],
    language: Language,
}

/// The command that traces the functions at the top, as far as they cost little enough.
fn next_step(args: &DiscoverArgs, ranking: &Ranking) -> Option<String> {
    /// More than half of a CPU for probes is no good start.
    const DEAR: f64 = 0.5;
    let affordable = ranking.functions.iter().filter(|f| f.cost_share < DEAR);
    let names: Vec<String> = affordable
        .chain(&ranking.functions)
        .take(SUGGESTED.min(ranking.functions.len()))
        .map(|found| format!("--fn {}", quoted(&found.name)))
        .collect();
    if names.is_empty() {
        return None;
    }
    let pid = args
        .pid
        .map_or_else(String::new, |pid| format!(" --pid {pid}"));
    Some(format!(
        "monigo attach {}{pid} {}",
        quoted(&args.target),
        names.join(" ")
    ))
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,+=@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// One line on a terminal that says how far it is.
#[derive(Default)]
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&mut self, ranking: &Ranking) {
        if !io::stderr().is_terminal() {
            return;
        }
        let stage = match ranking.stage {
            Stage::Scan => "counting calls",
            Stage::Timing => "timing what is called",
            Stage::Watching => "watching for rare calls",
            Stage::Done => return,
        };
        eprint!(
            "\r\x1b[Kmonigo: {stage}, {} functions called so far, {:.1} s",
            ranking.functions.len(),
            ranking.elapsed_ns as f64 / 1e9
        );
        self.shown = true;
    }

    fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("main.work"), "main.work");
        assert_eq!(quoted("app::work"), "app::work");
        assert_eq!(quoted("main.(*Server).Handle"), "'main.(*Server).Handle'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
