//! Arguments about slow calls and differences.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{DbArgs, FlameMode, Format, parse_duration, parse_output};
use crate::query::{Percentile, Root};

/// Which calls are slow.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct SlowArgs {
    /// Only calls that take at least this, for example 10ms
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub slower_than: Option<Duration>,
    /// Only calls from this percentile of the function's durations on, for example 99
    #[arg(long, value_name = "P", conflicts_with = "slower_than")]
    pub percentile: Option<Percentile>,
}

impl SlowArgs {
    /// Whether anything was asked for.
    pub fn any(&self) -> bool {
        self.slower_than.is_some() || self.percentile.is_some()
    }

    /// The duration in ns.
    pub fn slower_than_ns(&self) -> Option<u64> {
        let duration = self.slower_than?;
        Some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// `--root`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RootMode {
    /// At the outermost caller
    Callers,
    /// At the traced function; wall-clock time is then shown by what was sampled inside
    Function,
}

impl From<RootMode> for Root {
    fn from(mode: RootMode) -> Self {
        match mode {
            RootMode::Callers => Self::Callers,
            RootMode::Function => Self::Function,
        }
    }
}

/// `monigo why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The recording.
    #[command(flatten)]
    pub db: DbArgs,
    /// The function (default: the one that takes most time)
    #[arg(long = "fn", value_name = "NAME")]
    pub function: Option<String>,
    /// Which calls are slow (default: from the 99th percentile on); they are compared with those up to the
    /// median, or with all that are faster than the time given.
    #[command(flatten)]
    pub slow: SlowArgs,
    /// Most causes to name
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub top: usize,
    /// Write the difference as a flame graph, .svg
    #[arg(short, long = "output", value_name = "FILE", value_parser = parse_svg)]
    pub output: Option<PathBuf>,
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

/// `monigo diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The recording to look at
    #[arg(long, value_name = "FILE")]
    pub db: PathBuf,
    /// Session in it (default: the latest)
    #[arg(long, value_name = "ID")]
    pub session: Option<i64>,
    /// The recording to compare with (default: the same file)
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
    /// Session to compare with (default: the one before in the same file, the latest of another)
    #[arg(long, value_name = "ID")]
    pub against: Option<i64>,
    /// Look at calls from this time on: seconds after the start of the recording, or 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_offset)]
    pub from: Option<Duration>,
    /// Look at calls before this time
    #[arg(long, value_name = "TIME", value_parser = parse_offset)]
    pub to: Option<Duration>,
    /// Compare with calls from this time on
    #[arg(long, value_name = "TIME", value_parser = parse_offset)]
    pub against_from: Option<Duration>,
    /// Compare with calls before this time
    #[arg(long, value_name = "TIME", value_parser = parse_offset)]
    pub against_to: Option<Duration>,
    /// Only this function (default: all)
    #[arg(long = "fn", value_name = "NAME")]
    pub function: Option<String>,
    /// What the flame graph weighs
    #[arg(long, value_enum, default_value_t = FlameMode::Time)]
    pub flame: FlameMode,
    /// Write the difference as a flame graph, .svg
    #[arg(short, long = "output", value_name = "FILE", value_parser = parse_svg)]
    pub output: Option<PathBuf>,
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `monigo story`.
#[derive(Debug, Args)]
pub struct StoryArgs {
    /// The recording.
    #[command(flatten)]
    pub db: DbArgs,
    /// Of the calls of this function (default: the one that takes most time)
    #[arg(long = "fn", value_name = "NAME")]
    pub function: Option<String>,
    /// The slowest recorded call, or the second slowest, and so on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub slowest: u32,
    /// This call, as an earlier `monigo story` named it
    #[arg(long, value_name = "ID", conflicts_with_all = ["slowest", "function"])]
    pub call: Option<crate::query::CallKey>,
    /// Write a trace that ui.perfetto.dev and Chrome open, .json
    #[arg(short, long = "output", value_name = "FILE", value_parser = parse_trace)]
    pub output: Option<PathBuf>,
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

/// `--format` where there are sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For people
    Text,
    /// One object, and nothing else
    Json,
}

fn with_extension(text: &str, extension: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|found| found == extension) {
        Ok(path)
    } else {
        Err(format!("the file name must end in .{extension}"))
    }
}

fn parse_svg(text: &str) -> Result<PathBuf, String> {
    with_extension(text, "svg")
}

fn parse_trace(text: &str) -> Result<PathBuf, String> {
    with_extension(text, "json")
}

/// A time after the start of a recording; 0 is allowed, and a bare number is in seconds.
fn parse_offset(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| "it must not be negative or too long".to_owned()),
        Err(_) => parse_duration(text),
    }
}

/// `monigo flamegraph`.
#[derive(Debug, Args)]
pub struct FlamegraphArgs {
    /// The recording.
    #[command(flatten)]
    pub db: DbArgs,
    /// Only stacks of this function (default: all traced functions)
    #[arg(long = "fn", value_name = "NAME")]
    pub function: Option<String>,
    /// Only slow calls.
    #[command(flatten)]
    pub slow: SlowArgs,
    /// What widths mean
    #[arg(long, value_enum, default_value_t = FlameMode::Wall)]
    pub flame: FlameMode,
    /// Where stacks begin
    #[arg(long, value_enum, default_value_t = RootMode::Callers)]
    pub root: RootMode,
    /// File to write; .svg .html .folded .pb.gz .speedscope.json .firefox.json .parquet .csv .json
    #[arg(short, long = "output", value_name = "FILE", value_parser = parse_output, default_value = "flamegraph.svg")]
    pub output: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_may_be_plain_seconds() {
        assert_eq!(parse_offset("0"), Ok(Duration::ZERO));
        assert_eq!(parse_offset("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(parse_offset("1m"), Ok(Duration::from_mins(1)));
        assert!(parse_offset("-1").is_err());
        assert!(parse_offset("soon").is_err());
    }
}
