//! Programs on events of the scheduler, and where the fields of those events are.

use std::{fs, path::PathBuf};

use aya::{
    Ebpf,
    programs::{RawTracePoint, TracePoint},
};

use super::{
    ProbeError,
    programs::{load, program},
};

/// Loads a program for a scheduler event whose fields it reads by itself, and attaches it.
pub(super) fn watch(
    ebpf: &mut Ebpf,
    name: &'static str,
    event: &'static str,
) -> Result<(), ProbeError> {
    load(ebpf, name)?;
    let program: &mut RawTracePoint = program(ebpf, name)?;
    program.attach(event).map_err(|source| ProbeError::Watch {
        event,
        source: Box::new(source),
    })?;
    Ok(())
}

/// The same, where tracefs tells the program where the fields are.
pub(super) fn trace(
    ebpf: &mut Ebpf,
    name: &'static str,
    event: &'static str,
) -> Result<(), ProbeError> {
    load(ebpf, name)?;
    let program: &mut TracePoint = program(ebpf, name)?;
    program
        .attach("sched", event)
        .map_err(|source| ProbeError::Watch {
            event,
            source: Box::new(source),
        })?;
    Ok(())
}

/// Where tracefs is, mounting it when nobody has.
fn tracefs() -> PathBuf {
    let usual = PathBuf::from("/sys/kernel/tracing");
    if usual.join("events").exists() {
        return usual;
    }
    let old = PathBuf::from("/sys/kernel/debug/tracing");
    if old.join("events").exists() {
        return old;
    }
    // A failure shows when the file is read.
    let _ = nix::mount::mount(
        Some("nodev"),
        &usual,
        Some("tracefs"),
        nix::mount::MsFlags::empty(),
        None::<&str>,
    );
    usual
}

/// Offset in bytes of a field of a scheduler event; tracefs describes it.
pub(super) fn event_field_offset(
    event: &'static str,
    field: &'static str,
) -> Result<u32, ProbeError> {
    let path = tracefs().join(format!("events/sched/{event}/format"));
    let format =
        fs::read_to_string(&path).map_err(|source| ProbeError::Tracefs { path, source })?;
    field_offset(&format, field).ok_or(ProbeError::EventFormat { event, field })
}

/// Offset in bytes of a field in a tracepoint's `format` file.
fn field_offset(format: &str, field: &str) -> Option<u32> {
    format.lines().find_map(|line| {
        let mut parts = line
            .trim()
            .strip_prefix("field:")?
            .split(';')
            .map(str::trim);
        let name = parts.next()?.rsplit([' ', '*']).next()?;
        if name != field {
            return None;
        }
        parts
            .find_map(|part| part.strip_prefix("offset:"))?
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests {
    use super::field_offset;

    #[test]
    fn offset_is_found_in_either_layout() {
        let old = "name: sched_process_fork\n\tfield:char parent_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
                   \tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;\n";
        assert_eq!(field_offset(old, "child_pid"), Some(44));
        assert_eq!(field_offset(old, "pid"), None);
        assert_eq!(field_offset("", "child_pid"), None);
        let switch = "\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;\n";
        assert_eq!(field_offset(switch, "prev_state"), Some(32));
    }
}
