//! Arguments of every subcommand.

mod explain;
mod otlp;
mod settings;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::explain::{
    DiffArgs, FlamegraphArgs, RootMode, SlowArgs, StoryArgs, TextFormat, WhyArgs,
};
pub use self::otlp::OtlpArgs;
pub use self::settings::{
    AgentArgs, CommonArgs, ConfigArgs, ConfigCommand, HealthArgs, ListenArgs,
};
use super::symbols::SymbolArgs;
pub use crate::config::{ExitMode, LatencyMode, Share, StackMode};
use crate::{
    config::{Size, Span, ValueError},
    export::check_name,
    probe::Features,
    query::Weight,
};

/// Trace functions of running programs: exact call counts, true latency, and the stacks behind them.
#[derive(Debug, Parser)]
#[command(
    name = "monigo",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Say more on stderr, or list the sites of each function; repeat for more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace functions of a program that runs, or will
    Attach(AttachArgs),
    /// Start a command and trace it from its first instruction
    Run(RunArgs),
    /// Find the functions of a running program that are called most or take most time
    Discover(DiscoverArgs),
    /// List the functions of a program, and why one cannot be probed
    List(ListArgs),
    /// Print the summary of a recorded session
    Report(ReportArgs),
    /// Write a flame graph of a recorded session
    Flamegraph(FlamegraphArgs),
    /// Say why the slow calls of a function are slow
    Why(WhyArgs),
    /// Show what happened during one recorded call
    Story(StoryArgs),
    /// Compare two sessions, or two parts of one
    Diff(DiffArgs),
    /// Show a recorded session in the web dashboard
    Serve(ServeArgs),
    /// Trace several targets as a service, as a configuration file says
    Agent(AgentArgs),
    /// Check, show or begin a configuration
    Config(ConfigArgs),
    /// Run SQL over a recorded session
    Query(QueryArgs),
    /// Check what this host allows, and what to do about the rest
    Doctor(DoctorArgs),
    /// Hash a password from stdin for the file of the dashboard's users
    HashPassword,
    /// Write shell completions or man pages, for packages
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// `monigo attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Path of an executable or library, a PID, or a process name
    pub target: String,
    /// Trace only this process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
    /// What to trace and how.
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// `monigo run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to trace and how.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Options shared by `attach` and `run`.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the command line"
)]
pub struct TraceArgs {
    /// Function to trace: a name, a suffix at `::` `.` or `/`, a glob, /regex/ or file.c:42; LIB:NAME for one of a library; repeatable
    #[arg(long = "fn", value_name = "PATTERN", required = true)]
    pub functions: Vec<String>,
    /// Trace every function that the patterns match, even several distinct ones
    #[arg(long)]
    pub all: bool,
    /// A row for each instance of a function: generic instances, clones, statics of the same name
    #[arg(long)]
    pub by_instance: bool,
    /// Stop after this long, for example 30s, 5m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Stop after exactly this many calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_calls: Option<u64>,
    /// Keep the measurements in this DuckDB file
    #[arg(long, value_name = "FILE", conflicts_with = "in_memory")]
    pub db: Option<PathBuf>,
    /// Keep the measurements in memory only (the default without --db)
    #[arg(long)]
    pub in_memory: bool,
    /// Delete measurements older than this, for example 12h, 7d, 1w or 3month (default: 7d)
    #[arg(long, value_name = "TIME")]
    pub retention: Option<Span>,
    /// Delete the oldest measurements when the database takes more than this, for example 2GiB
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Time between writes to the database (default: 1s)
    #[arg(long, value_name = "TIME", value_parser = parse_flush)]
    pub flush: Option<Span>,
    /// Record 1 call in N in full (default: adapts to the rate of calls)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample_rate: Option<u32>,
    /// How recorded calls and samples get their stacks (default: auto)
    #[arg(long, value_enum)]
    pub stacks: Option<StackMode>,
    /// Look N times a second at what each CPU runs inside traced functions; 0 for never (default: 99)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub cpu_hz: Option<u32>,
    /// Do not record what threads and goroutines wait for inside traced functions
    #[arg(long)]
    pub no_off_cpu: bool,
    /// What of the kernel to use.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// Share of one CPU that the probes may take from each traced process, or off; beyond it,
    /// monigo measures less and says what (default: 5%)
    #[arg(long, value_name = "SHARE")]
    pub max_overhead: Option<Share>,
    /// Time every call, or count every call and time those in short windows (default: exact)
    #[arg(long, value_enum, conflicts_with = "max_calls")]
    pub latency: Option<LatencyMode>,
    /// How the end of a call is seen (default: auto)
    #[arg(long, value_enum)]
    pub exit_probe: Option<ExitMode>,
    /// Where symbols come from.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// No terminal interface
    #[arg(long)]
    pub no_tui: bool,
    /// No terminal interface and no dashboard
    #[arg(long)]
    pub headless: bool,
    /// The server.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// The OTLP exporter.
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// What is not about tracing.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Health.
    #[command(flatten)]
    pub health: HealthArgs,
    /// Go on as this user, with what privileges tracing needs, once the probes are in
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// What exported flame graphs weigh
    #[arg(long, value_enum, default_value_t = FlameMode::Wall)]
    pub flame: FlameMode,
    /// Where the stacks of exported flame graphs begin
    #[arg(long, value_enum, default_value_t = RootMode::Callers)]
    pub root: RootMode,
    /// What exported flame graphs hold, and what the summary explains.
    #[command(flatten)]
    pub slow: SlowArgs,
    /// Write a file at the end; .svg .html .folded .pb.gz .speedscope.json .firefox.json .parquet .csv .json; repeatable
    #[arg(short, long = "output", value_name = "FILE", value_parser = parse_output)]
    pub output: Vec<PathBuf>,
    /// Format of the summary on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// For tests: what older kernels do not have is not used.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct FeatureArgs {
    /// Attach by perf events, as on kernels without `uprobe_multi`
    #[arg(long, hide = true)]
    pub perf_links: bool,
    /// Use the kernel programs for kernels before 5.17
    #[arg(long, hide = true)]
    pub portable_programs: bool,
}

impl From<FeatureArgs> for Features {
    fn from(args: FeatureArgs) -> Self {
        Self {
            perf_links: args.perf_links,
            portable_programs: args.portable_programs,
        }
    }
}

/// `monigo discover`.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// Path of an executable or library, a PID, or a process name
    pub target: String,
    /// Look at this process only
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
    /// How long to watch; longer finds rarer calls
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// What the functions are ranked by
    #[arg(long, value_enum, default_value_t = RankBy::Time)]
    pub by: RankBy,
    /// How many functions to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// Also the functions of this library of the target, for example libssl; repeatable
    #[arg(long = "lib", value_name = "NAME")]
    pub libraries: Vec<String>,
    /// Also functions of the language's runtime and standard library
    #[arg(long)]
    pub runtime: bool,
    /// What of the kernel to use.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// Where symbols come from.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `monigo list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Path of an executable or library, a PID, or a process name
    pub target: String,
    /// Only functions that match: a name, a suffix, a glob, /regex/ or file.c:42; LIB:NAME looks in a library
    pub pattern: Option<String>,
    /// Where symbols come from.
    #[command(flatten)]
    pub symbols: SymbolArgs,
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Which recording to read.
#[derive(Debug, Args)]
pub struct DbArgs {
    /// DuckDB file; one that a running monigo writes is read through that monigo
    #[arg(long, value_name = "FILE")]
    pub db: PathBuf,
    /// Session in the file (default: the latest)
    #[arg(long, value_name = "ID")]
    pub session: Option<i64>,
}

/// `monigo report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The recording.
    #[command(flatten)]
    pub db: DbArgs,
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `monigo serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The recording.
    #[command(flatten)]
    pub db: DbArgs,
    /// The server.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// What is not about tracing.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// `monigo query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The recording.
    #[command(flatten)]
    pub db: DbArgs,
    /// A SELECT statement; `monigo query --db FILE "SHOW TABLES"` lists the tables
    pub sql: String,
    /// Most rows to print
    #[arg(long, default_value_t = 10_000)]
    pub limit: u32,
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `monigo doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Format on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `monigo generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What to generate.
    #[command(subcommand)]
    pub what: Generate,
}

/// What `monigo generate` writes.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Print a completion script on stdout
    Completions {
        /// The shell that reads it
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for each subcommand
    Man {
        /// Directory to write them to; made if missing
        directory: PathBuf,
    },
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One object, and nothing else
    Json,
    /// Comma-separated with a header
    Csv,
}

/// `--by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RankBy {
    /// Time in their calls
    Time,
    /// Number of calls
    Calls,
}

/// `--flame`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlameMode {
    /// Wall-clock time in the calls, by the stack at their end
    Wall,
    /// Time running inside the functions, by the code that ran
    Cpu,
    /// Time waited inside the functions, by what they waited in
    Offcpu,
    /// Number of calls
    Calls,
    /// Time inside the functions, running or waiting, by what they did
    Time,
}

impl From<FlameMode> for Weight {
    fn from(mode: FlameMode) -> Self {
        match mode {
            FlameMode::Wall => Self::Wall,
            FlameMode::Cpu => Self::Cpu,
            FlameMode::Offcpu => Self::OffCpu,
            FlameMode::Calls => Self::Calls,
            FlameMode::Time => Self::Time,
        }
    }
}

fn parse_output(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    check_name(&path).map_err(|error| error.to_string())?;
    Ok(path)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: Span = text
        .parse()
        .map_err(|error: ValueError| error.to_string())?;
    Ok(span.duration())
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.5..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it must be a number of seconds between 0.5 and 3600".to_owned()),
    }
}

fn parse_flush(text: &str) -> Result<Span, String> {
    let flush: Span = text
        .parse()
        .map_err(|error: ValueError| error.to_string())?;
    let range = Duration::from_millis(100)..=Duration::from_mins(10);
    if !range.contains(&flush.duration()) {
        return Err("it must be between 100ms and 10m".to_owned());
    }
    Ok(flush)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flush_is_bounded() {
        assert!(parse_flush("50ms").is_err());
        assert!(parse_flush("11m").is_err());
        assert_eq!(parse_flush("1m"), Ok(Span::from_secs(60)));
    }
}
