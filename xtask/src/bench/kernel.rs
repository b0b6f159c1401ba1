//! The `bpf` system call: an empty program on a set of sites, and what programs take.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use nix::libc;

const PROG_LOAD: libc::c_long = 5;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const LINK_CREATE: libc::c_long = 28;
const TYPE_KPROBE: u32 = 2;
const TYPE_TRACEPOINT: u32 = 5;
const TYPE_RAW_TRACEPOINT: u32 = 17;
/// `BPF_TRACE_UPROBE_MULTI`, Linux 6.6.
const MULTI: u32 = 48;
/// `BPF_TRACE_UPROBE_SESSION`, Linux 6.13.
const SESSION: u32 = 57;
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Bytes of `union bpf_attr` that are used here. The kernel wants the rest to be zero.
struct Attributes([u8; 128]);

impl Attributes {
    fn new() -> Self {
        Self([0; 128])
    }

    fn with(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn u32(self, offset: usize, value: u32) -> Self {
        self.with(offset, &value.to_ne_bytes())
    }

    fn u64(self, offset: usize, value: u64) -> Self {
        self.with(offset, &value.to_ne_bytes())
    }

    /// For a command that returns a file descriptor.
    fn open(&self, command: libc::c_long, bytes: usize) -> io::Result<OwnedFd> {
        // SAFETY: the attributes outlive the call, and so do the buffers that callers point to.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), bytes) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
    }
}

/// How a call's end is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Probes on the exit instructions.
    Sites,
    /// The kernel replaces the return address.
    Returns,
}

/// A program that does nothing, attached as monigo attaches its own: the least that probes on
/// these sites can cost.
pub struct Empty {
    _link: OwnedFd,
    program: OwnedFd,
}

impl Empty {
    /// Attaches to file `offsets` of `path` in process `pid`.
    pub fn attach(path: &Path, offsets: &[u64], ends: Ends, pid: u32) -> Result<Self> {
        let kind = match ends {
            Ends::Sites => MULTI,
            Ends::Returns => SESSION,
        };
        // r0 = 0; exit
        let instructions: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
        let license = c"GPL";
        let program = Attributes::new()
            .u32(0, TYPE_KPROBE)
            .u32(4, instructions.len() as u32)
            .u64(8, instructions.as_ptr() as u64)
            .u64(16, license.as_ptr() as u64)
            .with(48, b"bench_empty")
            .u32(68, kind)
            .open(PROG_LOAD, 72)
            .context("the kernel refused the empty program")?;
        let path = CString::new(path.as_os_str().as_bytes())?;
        let link = Attributes::new()
            .u32(0, program.as_raw_fd() as u32)
            .u32(8, kind)
            .u64(16, path.as_ptr() as u64)
            .u64(24, offsets.as_ptr() as u64)
            .u32(48, offsets.len() as u32)
            .u32(56, pid)
            .open(LINK_CREATE, 64)
            .context(
                "the kernel has no uprobe_multi link (Linux 6.6), or none for sessions (6.13)",
            )?;
        Ok(Self {
            _link: link,
            program,
        })
    }

    /// The program's counters.
    pub fn usage(&self) -> Result<Usage> {
        usage_of(&self.program)
    }
}

/// `kernel.bpf_stats_enabled` while this value lives; as it was afterwards.
pub struct Statistics {
    before: String,
}

impl Statistics {
    /// Switches it on. Every run of a program is a little slower then.
    pub fn enable() -> Result<Self> {
        let before = fs::read_to_string(STATISTICS).with_context(|| format!("no {STATISTICS}"))?;
        fs::write(STATISTICS, "1").with_context(|| format!("cannot write {STATISTICS}"))?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Err(error) = fs::write(STATISTICS, self.before.trim()) {
            eprintln!(
                "xtask: {STATISTICS} could not be restored to {:?}: {error}",
                self.before
            );
        }
    }
}

/// What programs have used up since they were loaded, while statistics were on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds in the programs.
    pub time_ns: u64,
    /// Runs of them.
    pub runs: u64,
}

impl Usage {
    /// What came on top since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            time_ns: self.time_ns.saturating_sub(before.time_ns),
            runs: self.runs.saturating_sub(before.runs),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            time_ns: self.time_ns + other.time_ns,
            runs: self.runs + other.runs,
        }
    }
}

/// The probe programs that a process keeps loaded.
pub struct Programs(Vec<OwnedFd>);

impl Programs {
    /// Finds them through the process's descriptors of programs and links.
    pub fn of(pid: u32) -> Result<Self> {
        Self::of_types(pid, &[TYPE_KPROBE])
    }

    /// The same for those on tracepoints.
    pub fn on_tracepoints(pid: u32) -> Result<Self> {
        Self::of_types(pid, &[TYPE_TRACEPOINT, TYPE_RAW_TRACEPOINT])
    }

    fn of_types(pid: u32, kinds: &[u32]) -> Result<Self> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
            let text = fs::read_to_string(entry?.path()).unwrap_or_default();
            ids.extend(field(&text, "prog_id"));
        }
        ids.sort_unstable();
        ids.dedup();
        let mut programs = Vec::new();
        for id in ids {
            let program = Attributes::new()
                .u32(0, id as u32)
                .open(PROG_GET_FD_BY_ID, 12)
                .with_context(|| format!("program {id}"))?;
            let kind = field(&about(&program)?, "prog_type");
            if kinds.iter().any(|&wanted| kind == Some(u64::from(wanted))) {
                programs.push(program);
            }
        }
        ensure!(!programs.is_empty(), "process {pid} has no such programs");
        Ok(Self(programs))
    }

    /// Their counters together.
    pub fn usage(&self) -> Result<Usage> {
        self.0.iter().try_fold(Usage::default(), |sum, program| {
            Ok(sum.plus(usage_of(program)?))
        })
    }
}

fn about(program: &OwnedFd) -> Result<String> {
    Ok(fs::read_to_string(format!(
        "/proc/self/fdinfo/{}",
        program.as_raw_fd()
    ))?)
}

fn usage_of(program: &OwnedFd) -> Result<Usage> {
    let text = about(program)?;
    Ok(Usage {
        time_ns: field(&text, "run_time_ns").context("no run_time_ns in fdinfo")?,
        runs: field(&text, "run_cnt").context("no run_cnt in fdinfo")?,
    })
}

/// The number behind `name:` in what `/proc/PID/fdinfo/FD` says.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(':')?
            .trim()
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_fdinfo() {
        let text = "pos:\t0\nprog_type:\t2\nprog_id:\t17\nrun_time_ns:\t1200\nrun_cnt:\t3\n";
        assert_eq!(field(text, "prog_id"), Some(17));
        assert_eq!(field(text, "run_time_ns"), Some(1200));
        assert_eq!(field(text, "prog"), None);
    }
}
