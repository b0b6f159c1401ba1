//! Writing files, in the format that their extension names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{FlameCaption, Summary, flame_svg, folded, format, functions_csv};
use crate::query::{FunctionRow, QueryError, Source, Weight, Window};

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The extension names no format.
    #[error("{}: the name must end in .svg, .folded, .csv or .json", path.display())]
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

/// Writes what `source` knows of the whole session to `path`, in the format of its extension:
/// `.svg` and `.folded` hold the stacks of all functions, `.csv` the table of functions, `.json`
/// the summary.
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
    let content = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => svg(source, function, weight)?,
        Some("folded") => {
            let text = folded(&source.flame(function, Window::default(), weight)?);
            if text.is_empty() {
                return Err(OutputError::nothing(weight));
            }
            text
        }
        Some("csv") => functions_csv(&functions(source, function)?),
        Some("json") => {
            let summary = Summary::from((source.overview()?, functions(source, function)?));
            let mut text = serde_json::to_string_pretty(&summary)
                .map_err(|error| QueryError::Store(error.to_string()))?;
            text.push('\n');
            text
        }
        _ => return Err(OutputError::UnknownFormat { path: path.into() }),
    };
    replace(path, content.as_bytes()).map_err(|source| OutputError::Io {
        path: path.into(),
        source,
    })
}

fn functions(source: &dyn Source, function: Option<u32>) -> Result<Vec<FunctionRow>, QueryError> {
    let mut rows = source.functions(Window::default())?;
    rows.retain(|row| function.is_none_or(|function| function == row.id));
    Ok(rows)
}

fn svg(source: &dyn Source, function: Option<u32>, weight: Weight) -> Result<String, OutputError> {
    let overview = source.overview()?;
    let rows = functions(source, function)?;
    let root = source.flame(function, Window::default(), weight)?;
    let subject = match rows.as_slice() {
        [row] => row.name.clone(),
        rows => format!("{} functions", format::count(rows.len() as u64)),
    };
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
