//! `--slower-than`, `--percentile` and `--root` while recording.

use std::path::PathBuf;

use anyhow::{Result, anyhow};

use super::TraceOptions;
use crate::{
    cli::{
        args::{LatencyMode, RootMode, StackMode},
        exit::Failure,
    },
    collect::Collector,
    export,
    query::{Root, Selection, Source, Weight, Window},
};

/// Refuses what cannot be answered at the end. `functions` are traced.
pub fn check(args: &TraceOptions, functions: usize) -> Result<()> {
    let wrong = |text: String| Err(Failure::usage(anyhow!(text)));
    let option = match (args.slow.slower_than, args.slow.percentile, args.root) {
        (Some(_), ..) => "--slower-than",
        (None, Some(_), _) => "--percentile",
        (None, None, RootMode::Function) => "--root function",
        (None, None, RootMode::Callers) => return Ok(()),
    };
    let limited = |path: &PathBuf| args.slow.any() || export::has_stacks(path);
    if functions != 1
        && let Some(path) = args.output.iter().find(|path| limited(path))
    {
        return wrong(format!(
            "{} with {option} is about one function, and {functions} are traced; trace one, or record with --db and use `monigo flamegraph --fn`",
            path.display()
        ));
    }
    if args.slow.any() && args.latency == LatencyMode::Windows {
        return wrong(format!(
            "{option} needs every call timed, and --latency windows times a part of them"
        ));
    }
    if args.slow.any() && args.stacks == StackMode::Off {
        return wrong(format!(
            "{option} needs stacks, and --stacks off takes none"
        ));
    }
    Ok(())
}

/// What exported files hold.
pub fn selection(source: &dyn Source, args: &TraceOptions) -> Result<Selection> {
    let rows = source.functions(Window::default())?;
    let all = Selection::of(None, Window::default(), Weight::from(args.flame));
    let root = Root::from(args.root);
    let function = match rows.as_slice() {
        [row] if args.slow.any() || root == Root::Function => row.id,
        _ => return Ok(all),
    };
    Ok(Selection {
        function: Some(function),
        slower_than_ns: args.slow.slower_than_ns(),
        percentile: args.slow.percentile,
        root,
        ..all
    })
}

/// Has slow calls recorded, all of them, and samples of recorded calls only.
pub fn keep(collector: &mut Collector, args: &TraceOptions) -> Result<()> {
    if let Some(ns) = args.slow.slower_than_ns() {
        collector.keep_slow(ns)?;
    }
    Ok(())
}
