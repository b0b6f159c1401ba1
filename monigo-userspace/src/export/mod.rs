//! What leaves monigo as text or files: tables, JSON, CSV, folded stacks and flame graphs.

mod discovery;
mod figures;
mod folded;
pub mod format;
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
    output::{EXTENSIONS, OutputError, check_name, write_output, write_output_of},
    summary::{Events, FunctionSummary, Overhead, Summary, TargetSummary},
    svg::{FlameCaption, flame_svg},
    table::{functions_csv, sql_csv, sql_table, summary_table},
};

#[cfg(test)]
mod tests;
