//! Writing files, in the format that their extension names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    FlameCaption, Summary, TimeSummary, flame_svg, folded, format, functions_csv,
    html::{HtmlFlames, flames, html},
    parquet::calls_parquet,
    profile::{Profile, firefox, pprof, speedscope},
    svg::calls_like,
};
use crate::query::{FunctionRow, QueryError, SelectedFigures, Selection, Source, Weight, Window};

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
        "nothing was sampled {0} the traced functions; let it run longer, and look for warnings when the recording began: a host can forbid it, and --stacks off, --cpu-hz 0 and --no-off-cpu turn it off"
    )]
    NoSamples(&'static str),
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
            Weight::Cpu => Self::NoSamples("running inside"),
            Weight::OffCpu => Self::NoSamples("waiting inside"),
            Weight::Time => Self::NoSamples("inside"),
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

/// Whether a file of this name holds stacks.
pub fn has_stacks(path: &Path) -> bool {
    !matches!(
        Format::of(path),
        None | Some(Format::Csv | Format::Json | Format::Parquet)
    )
}

/// Whether a file of this name is a plain table, without room for a sentence about its figures.
pub fn is_table(path: &Path) -> bool {
    Format::of(path) == Some(Format::Csv)
}

/// Checks that a file of this name can be written.
pub fn check_name(path: &Path) -> Result<(), OutputError> {
    match Format::of(path) {
        Some(_) => Ok(()),
        None => Err(OutputError::UnknownFormat { path: path.into() }),
    }
}

/// Writes what `source` knows of `selection` to `path`, in the format that its name ends in: its
/// stacks, the table of its functions (`.csv`), the summary (`.json`), or the recorded calls (`.parquet`).
/// With a range of durations, all of them are about the calls in it.
pub fn write_output(
    path: &Path,
    source: &dyn Source,
    selection: &Selection,
) -> Result<(), OutputError> {
    let weight = selection.shown_weight();
    let format =
        Format::of(path).ok_or_else(|| OutputError::UnknownFormat { path: path.into() })?;
    let profile = || {
        let profile = Profile::read(source, selection)?;
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
        Format::Svg => selection_svg(source, selection)?.into_bytes(),
        Format::Html => selection_page(source, selection)?.into_bytes(),
        Format::Folded => {
            let text = folded(&source.flame(selection)?);
            if text.is_empty() {
                return Err(OutputError::nothing(weight));
            }
            text.into_bytes()
        }
        Format::Pprof => pprof(&profile()?).map_err(failed)?,
        Format::Speedscope => speedscope(&profile()?)
            .map_err(|error| json(&error))?
            .into_bytes(),
        Format::Firefox => {
            let calls = source.selected(selection)?.calls;
            firefox(source, &profile()?, &calls)?.into_bytes()
        }
        Format::Parquet => calls_parquet(source, &source.selected(selection)?.calls)?,
        Format::Csv => functions_csv(&functions(source, selection)?).into_bytes(),
        Format::Json => {
            let summary = selection_summary(source, selection)?;
            let mut text = serde_json::to_string_pretty(&summary).map_err(|error| json(&error))?;
            text.push('\n');
            text.into_bytes()
        }
    };
    write_file(path, &content)
}

/// Writes a whole file, or leaves what was there.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), OutputError> {
    replace(path, content).map_err(|source| OutputError::Io {
        path: path.into(),
        source,
    })
}

fn json(error: &serde_json::Error) -> QueryError {
    QueryError::Store(error.to_string())
}

/// The summary, of the calls in a range of durations if the selection has one.
pub fn selection_summary(
    source: &dyn Source,
    selection: &Selection,
) -> Result<Summary, QueryError> {
    let overview = source.overview()?;
    if !selection.is_ranged() {
        let rows = functions(source, selection)?;
        return Ok(Summary::new(
            overview,
            rows,
            source.breakdown(selection.window)?,
        ));
    }
    let Some(found) = source.selected(selection)?.figures else {
        return Ok(Summary::new(overview, Vec::new(), Vec::new()));
    };
    let remark = found.remark(selection);
    let mut summary = Summary::new(overview, vec![found.row], Vec::new());
    for function in &mut summary.functions {
        function.time_ns = found.time.clone().map(TimeSummary::from);
    }
    summary.warnings.push(remark);
    Ok(summary)
}

impl SelectedFigures {
    /// What the figures are about, and how they were made.
    pub fn remark(&self, selection: &Selection) -> String {
        let estimated = if self.row.calls_error > 0 {
            ", which stand for all like them"
        } else {
            ""
        };
        format!(
            "figures of {} are of a part of its calls{}: the {} that were recorded{estimated}",
            self.row.name,
            calls_like(selection),
            format::count(self.recorded)
        )
    }
}

fn functions(source: &dyn Source, selection: &Selection) -> Result<Vec<FunctionRow>, QueryError> {
    if selection.is_ranged() {
        let figures = source.selected(selection)?.figures;
        return Ok(figures.map(|found| found.row).into_iter().collect());
    }
    let mut rows = source.functions(selection.window)?;
    rows.retain(|row| selection.function.is_none_or(|function| function == row.id));
    Ok(rows)
}

/// The page of the flame graphs of `selection`.
pub fn selection_page(source: &dyn Source, selection: &Selection) -> Result<String, OutputError> {
    let overview = source.overview()?;
    let rows = functions(source, selection)?;
    let title = whole_subject(&rows, selection);
    html(&HtmlFlames {
        title: &title,
        subtitle: &format!(
            "{}, {}{}",
            overview.target,
            format::duration_ns(overview.duration_ns()),
            calls_like(selection)
        ),
        first: selection.shown_weight(),
        flames: flames(source, selection)?,
        traced: rows.into_iter().map(|row| row.name).collect(),
    })
}

/// What a flame graph is of, and that it is of a part, if it is.
fn whole_subject(rows: &[FunctionRow], selection: &Selection) -> String {
    let mut subject = subject(rows);
    if selection.window != Window::default() {
        subject.push_str(", part of the recording");
    }
    subject
}

/// A function's name, or how many there are.
fn subject(rows: &[FunctionRow]) -> String {
    match rows {
        [row] => row.name.clone(),
        rows => format!("{} functions", format::count(rows.len() as u64)),
    }
}

/// The flame graph of `selection`.
pub fn selection_svg(source: &dyn Source, selection: &Selection) -> Result<String, OutputError> {
    let overview = source.overview()?;
    let rows = functions(source, selection)?;
    let root = source.flame(selection)?;
    let caption = FlameCaption {
        overview: &overview,
        subject: &whole_subject(&rows, selection),
        calls: rows.iter().map(|row| row.calls).sum(),
        selection,
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
