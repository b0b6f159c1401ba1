//! Why probing failed.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError};

/// What can go wrong between monigo and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The object with the kernel programs could not be loaded.
    #[error("the kernel refused monigo's maps: {}", chain(.0))]
    Maps(#[source] Box<EbpfError>),
    /// A program did not pass the verifier or could not be loaded.
    #[error("the kernel refused the program {program}: {}; `monigo doctor` shows what is missing", chain(.source))]
    Load {
        /// Name of the program.
        program: &'static str,
        /// The kernel's answer.
        source: Box<ProgramError>,
    },
    /// A program is missing from the object: a broken build.
    #[error("the kernel program {0} is missing from this build of monigo")]
    Missing(&'static str),
    /// One site could not be probed.
    #[error("the kernel refused the probe at {offset:#x} of {path} (function {function}): {}", chain(.source))]
    Attach {
        /// Function the site belongs to.
        function: String,
        /// File the site is in.
        path: PathBuf,
        /// Offset in the file.
        offset: u64,
        /// The kernel's answer.
        source: Box<ProgramError>,
    },
    /// A process or thread event could not be watched.
    #[error("the kernel refused to watch {event}: {}", chain(.source))]
    Watch {
        /// Name of the tracepoint.
        event: &'static str,
        /// The kernel's answer.
        source: Box<ProgramError>,
    },
    /// The CPUs of the host are not known.
    #[error("reading which CPUs are online failed: {0}")]
    Cpus(#[source] io::Error),
    /// Records cannot be waited for.
    #[error("waiting for what the kernel side records failed: {0}")]
    Ring(#[source] io::Error),
    /// Tracefs is needed and could not be read or mounted.
    #[error(
        "reading {path} failed: {source}; mount tracefs with `mount -t tracefs nodev /sys/kernel/tracing`"
    )]
    Tracefs {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel describes an event in a way this version does not understand.
    #[error("the kernel's description of {event} has no field {field}")]
    EventFormat {
        /// Event name.
        event: &'static str,
        /// Field looked for.
        field: &'static str,
    },
    /// A map could not be read or written.
    #[error("the map {map} could not be used: {source}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// The kernel's answer.
        source: MapError,
    },
    /// More functions than the maps were made for.
    #[error("this session has room for {room} functions, not for {functions}")]
    NoRoom {
        /// Wanted.
        functions: u32,
        /// Possible.
        room: u32,
    },
    /// The probes of the calibration did not work as expected.
    #[error("measuring the cost of probes failed: {0}")]
    Calibration(String),
    /// The process to trace is gone.
    #[error("process {0} ended before it could be traced")]
    ProcessGone(u32),
}

/// An error with its causes on one line; aya's messages leave the causes out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    brief(text)
}

/// Of the verifier's log, which has a line for each instruction, only why it refuses.
fn brief(text: String) -> String {
    const BEGIN: &str = "Verifier output: ";
    /// Lines after the reason begin like this.
    const FIGURES: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let Some((before, log)) = text.split_once(BEGIN) else {
        return text;
    };
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let reason = lines.rfind(|line| !FIGURES.iter().any(|begin| line.starts_with(begin)));
    tracing::debug!("{text}");
    reason.map_or_else(
        || before.trim_end().to_owned(),
        |reason| format!("{before}The verifier says: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_verifier_only_the_reason_is_told() {
        let log = "0: (b7) r1 = 0  ; R1=0\n; match self { @ option.rs:662\n1303: (57) r2 &= 767\nR2 !read_ok\n\
                   verification time 3754 usec\nstack depth 200+0\nprocessed 866 insns\n";
        let text = format!("it returned Permission denied. Verifier output: {log}");
        assert_eq!(
            brief(text),
            "it returned Permission denied. The verifier says: R2 !read_ok"
        );
        assert_eq!(brief("no log. Verifier output: ".to_owned()), "no log.");
        assert_eq!(brief("other".to_owned()), "other");
    }
}
