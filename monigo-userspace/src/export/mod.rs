//! What leaves monigo as text or files: tables, JSON, CSV, folded stacks and flame graphs.

mod discovery;
mod figures;
mod folded;
pub mod format;
mod html;
mod notes;
mod output;
mod parquet;
mod profile;
mod summary;
mod svg;
mod table;

pub use self::{
    discovery::{basis, discovery_csv, discovery_table},
    folded::folded,
    html::{HtmlFlames, flames, html},
    output::{EXTENSIONS, OutputError, check_name, subject, write_output, write_output_of},
    profile::{Profile, pprof, speedscope},
    summary::{Events, FunctionSummary, Overhead, Summary, TargetSummary},
    svg::{FlameCaption, flame_svg},
    table::{functions_csv, sql_csv, sql_table, summary_table},
};

#[cfg(test)]
mod tests;
