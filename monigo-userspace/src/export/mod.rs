//! What leaves monigo as text or files: tables, JSON, CSV, folded stacks and flame graphs.

mod comparison;
mod difference;
mod discovery;
mod figures;
mod folded;
pub mod format;
mod html;
mod notes;
mod output;
mod parquet;
mod profile;
mod story;
mod summary;
mod svg;
mod table;
mod tail;
mod times;
mod trace;

pub use self::{
    comparison::{comparison_csv, comparison_table},
    difference::{comparison_svg, tail_svg},
    discovery::{basis, discovery_csv, discovery_table},
    folded::folded,
    html::{HtmlFlames, flames, html},
    output::{
        EXTENSIONS, OutputError, check_name, has_stacks, is_table, selection_page,
        selection_summary, selection_svg, write_file, write_output,
    },
    profile::{Profile, WEIGHTS, WeighedStack, pprof, speedscope},
    story::story_text,
    summary::{Events, FunctionSummary, Overhead, Summary, TargetSummary, TimeSummary},
    svg::{FlameCaption, flame_svg},
    table::{functions_csv, sql_csv, sql_table, summary_table},
    tail::tail_text,
    times::{named_parts, time_table},
    trace::trace_of,
};

#[cfg(test)]
mod explained_tests;
#[cfg(test)]
mod tests;
