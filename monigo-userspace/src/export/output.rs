//! Writing files, in the format that their extension names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    FlameCaption, Summary, flame_svg, folded, format, functions_csv,
    html::{HtmlFlames, flames, html},
    parquet::calls_parquet,
    profile::{Profile, firefox, pprof, speedscope},
};
use crate::query::{FunctionRow, QueryError, Source, Weight, Window};

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The extension names no format.
    #[error("{}: the name must end in one of {}", path.display(), EXTENSIONS.join(" "))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to draw.
    #[error(
        "no call was recorded that could be drawn; let it run longer, or record more calls with --sample-rate 1"
    )]
    NoStacks,
    /// No sample to draw.
    #[error(
        "nothing was sampled {0} the traced functions; let it run longer, and look for warnings when the recording began: a host can forbid it, and --stacks off, --cpu-hz 0 and --no-off-cpu turn it off{1}"
    )]
    NoSamples(&'static str, &'static str),
    /// Drawing failed.
    #[error("drawing the flame graph failed: {0}")]
    Draw(String),
    /// The figures could not be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The file could not be written.
    #[error("writing {} failed: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OutputError {
    /// There is nothing to draw that weighs anything.
    pub(super) const fn nothing(weight: Weight) -> Self {
        match weight {
            Weight::Wall | Weight::Calls => Self::NoStacks,
            Weight::Cpu => Self::NoSamples("running inside", ""),
            Weight::OffCpu => Self::NoSamples(
                "waiting inside",
                ". Goroutines wait without leaving a thread, so there is nothing for Go",
            ),
        }
    }
}

/// Names of files that can be written, by how they end.
pub const EXTENSIONS: [&str; 9] = [
    ".svg",
    ".html",
    ".folded",
    ".pb.gz",
    ".speedscope.json",
    ".firefox.json",
    ".parquet",
    ".csv",
    ".json",
];

/// What a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A flame graph.
    Svg,
    /// Flame graphs to explore.
    Html,
    /// Stacks as text.
    Folded,
    /// For `go tool pprof`.
    Pprof,
    /// For speedscope.
    Speedscope,
    /// For the Firefox Profiler.
    Firefox,
    /// Recorded calls.
    Parquet,
    /// Table of functions.
    Csv,
    /// The summary.
    Json,
}

impl Format {
    /// In the order of [`EXTENSIONS`].
    const ALL: [Self; EXTENSIONS.len()] = [
        Self::Svg,
        Self::Html,
        Self::Folded,
        Self::Pprof,
        Self::Speedscope,
        Self::Firefox,
        Self::Parquet,
        Self::Csv,
        Self::Json,
    ];

    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let found = EXTENSIONS.iter().position(|end| name.ends_with(end))?;
        Some(Self::ALL[found])
    }
}

/// Checks that a file of this name can be written.
pub fn check_name(path: &Path) -> Result<(), OutputError> {
    match Format::of(path) {
        Some(_) => Ok(()),
        None => Err(OutputError::UnknownFormat { path: path.into() }),
    }
}

/// Writes what `source` knows of the whole session to `path`, in the format that its name ends in:
/// stacks of all functions, the table of functions (`.csv`), the summary (`.json`), or the
/// recorded calls (`.parquet`).
pub fn write_output(path: &Path, source: &dyn Source, weight: Weight) -> Result<(), OutputError> {
    write_output_of(path, source, None, weight)
}

/// As [`write_output`], of one function only when `function` is given.
pub fn write_output_of(
    path: &Path,
    source: &dyn Source,
    function: Option<u32>,
    weight: Weight,
) -> Result<(), OutputError> {
    let format =
        Format::of(path).ok_or_else(|| OutputError::UnknownFormat { path: path.into() })?;
    let profile = || {
        let profile = Profile::read(source, function, Window::default(), weight)?;
        if profile.is_empty() {
            return Err(OutputError::nothing(weight));
        }
        Ok(profile)
    };
    let failed = |source| OutputError::Io {
        path: path.into(),
        source,
    };
    let content = match format {
        Format::Svg => svg(source, function, weight)?.into_bytes(),
        Format::Html => page(source, function, weight)?.into_bytes(),
        Format::Folded => {
            let text = folded(&source.flame(function, Window::default(), weight)?);
            if text.is_empty() {
                return Err(OutputError::nothing(weight));
            }
            text.into_bytes()
        }
        Format::Pprof => pprof(&profile()?).map_err(failed)?,
        Format::Speedscope => speedscope(&profile()?)
            .map_err(|error| json(&error))?
            .into_bytes(),
        Format::Firefox => firefox(source, &profile()?, function)?.into_bytes(),
        Format::Parquet => calls_parquet(source, function)?,
        Format::Csv => functions_csv(&functions(source, function)?).into_bytes(),
        Format::Json => {
            let summary = Summary::from((source.overview()?, functions(source, function)?));
            let mut text = serde_json::to_string_pretty(&summary).map_err(|error| json(&error))?;
            text.push('\n');
            text.into_bytes()
        }
    };
    replace(path, &content).map_err(failed)
}

fn json(error: &serde_json::Error) -> QueryError {
    QueryError::Store(error.to_string())
}

fn functions(source: &dyn Source, function: Option<u32>) -> Result<Vec<FunctionRow>, QueryError> {
    let mut rows = source.functions(Window::default())?;
    rows.retain(|row| function.is_none_or(|function| function == row.id));
    Ok(rows)
}

fn page(source: &dyn Source, function: Option<u32>, weight: Weight) -> Result<String, OutputError> {
    let overview = source.overview()?;
    let rows = functions(source, function)?;
    html(&HtmlFlames {
        title: &subject(&rows),
        subtitle: &format!(
            "{}, {}",
            overview.target,
            format::duration_ns(overview.duration_ns())
        ),
        first: weight,
        flames: flames(|weight| source.flame(function, Window::default(), weight))?,
        traced: rows.into_iter().map(|row| row.name).collect(),
    })
}

/// A function's name, or how many there are.
pub fn subject(rows: &[FunctionRow]) -> String {
    match rows {
        [row] => row.name.clone(),
        rows => format!("{} functions", format::count(rows.len() as u64)),
    }
}

fn svg(source: &dyn Source, function: Option<u32>, weight: Weight) -> Result<String, OutputError> {
    let overview = source.overview()?;
    let rows = functions(source, function)?;
    let root = source.flame(function, Window::default(), weight)?;
    let subject = subject(&rows);
    let caption = FlameCaption {
        overview: &overview,
        subject: &subject,
        calls: rows.iter().map(|row| row.calls).sum(),
        weight,
    };
    flame_svg(&root, &caption)
}

/// Writes the whole file or leaves what was there: nobody reads a half-written graph. What is no
/// ordinary file (a pipe, a terminal) is written to directly.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let ordinary = fs::symlink_metadata(path).map_or(true, |found| found.is_file());
    let Some(name) = path.file_name().filter(|_| ordinary) else {
        return fs::write(path, content);
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    fs::write(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
}
