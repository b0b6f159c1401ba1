//! Names of code that a process makes as it runs, from the file that its runtime writes for
//! profilers: `/tmp/perf-PID.map` (`node --perf-basic-prof`, Java when `jcmd` asks it to, .NET, `LuaJIT`).
//!
//! The file is another user's, and is read with root's rights: it is opened without following
//! links, must belong to that user or to root, and is read up to a bound.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};

/// Most bytes that are read.
const MOST_BYTES: u64 = 64 << 20;
/// Most functions that are kept.
const MOST_FUNCTIONS: usize = 1 << 20;
/// Longest name, bytes; longer ones are cut.
const LONGEST_NAME: usize = 1024;
/// Least time between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A function in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    start: u64,
    end: u64,
    name: Box<str>,
}

/// Functions in memory, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerfMap {
    entries: Vec<Entry>,
}

impl PerfMap {
    /// Parses `START SIZE NAME` lines, numbers in hex. Lines that make no sense are skipped, as is
    /// what goes beyond a million functions. Where code replaced other code, the later line counts.
    pub fn parse(text: &[u8]) -> Self {
        let mut entries: Vec<Entry> = text
            .split(|byte| *byte == b'\n')
            .filter_map(parse_line)
            .take(MOST_FUNCTIONS)
            .collect();
        // Later lines come first, and the others of the same start go.
        entries.reverse();
        entries.sort_by_key(|entry| entry.start);
        entries.dedup_by_key(|entry| entry.start);
        Self { entries }
    }

    /// Name of the function at `address`.
    pub fn find(&self, address: u64) -> Option<&str> {
        /// Old entries can lie inside of newer, larger ones.
        const OVERLAPPING: usize = 16;
        let behind = self.entries.partition_point(|entry| entry.start <= address);
        let entry = self.entries[..behind]
            .iter()
            .rev()
            .take(OVERLAPPING)
            .find(|entry| address < entry.end)?;
        Some(&entry.name)
    }
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let mut number = || {
        let text = std::str::from_utf8(parts.next()?).ok()?;
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = parts.next()?.trim_ascii();
    let name = &name[..name.len().min(LONGEST_NAME)];
    let end = start.checked_add(size)?;
    (end > start && !name.is_empty()).then(|| Entry {
        start,
        end,
        name: String::from_utf8_lossy(name).into(),
    })
}

/// The perf map of a process, read again when it lacks an address.
#[derive(Debug, Default)]
pub struct LiveMap {
    map: PerfMap,
    looked: Option<Instant>,
    /// Size and time of the last change of what was read.
    stamp: Option<(u64, i64, i64)>,
}

impl LiveMap {
    /// Name of the code of process `pid` at `address`, which makes code as it runs.
    pub fn find(&mut self, pid: u32, address: u64) -> Option<&str> {
        if self.map.find(address).is_none() {
            self.refresh(pid, Instant::now());
        }
        self.map.find(address)
    }

    /// Whether the process writes such a file.
    pub fn exists(&self) -> bool {
        self.stamp.is_some()
    }

    fn refresh(&mut self, pid: u32, now: Instant) {
        let soon = |looked: Instant| now.saturating_duration_since(looked) < LOOK_EVERY;
        if self.looked.is_some_and(soon) {
            return;
        }
        self.looked = Some(now);
        let (file, metadata) = match open(pid) {
            Ok(opened) => opened,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound && !self.exists() {
                    tracing::info!("no perf map of process {pid}: {error}");
                }
                return;
            }
        };
        let stamp = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        if self.stamp == Some(stamp) {
            return;
        }
        let mut text = Vec::new();
        if file.take(MOST_BYTES).read_to_end(&mut text).is_ok() {
            // The last line may be half written.
            let complete = text
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            self.map = PerfMap::parse(&text[..complete]);
            self.stamp = Some(stamp);
        }
    }
}

/// Opens the file that process `pid` writes, in its own mount and process namespaces.
fn open(pid: u32) -> io::Result<(File, Metadata)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let (own_pid, user) = identity(&status)
        .ok_or_else(|| io::Error::other("its status in /proc cannot be understood"))?;
    let root = File::open(format!("/proc/{pid}/root"))?;
    // Nothing in the way may be a link, which could lead anywhere.
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH);
    let path = format!("tmp/perf-{own_pid}.map");
    let name = File::from(openat2(&root, path.as_str(), how).map_err(io::Error::from)?);
    let metadata = name.metadata()?;
    check(&metadata, user)?;
    let file = File::open(format!("/proc/self/fd/{}", name.as_raw_fd()))?;
    Ok((file, metadata))
}

/// Whether a file can be believed to be from the process: it is its user's or root's.
fn check(metadata: &Metadata, user: u32) -> io::Result<()> {
    let reason = if !metadata.is_file() {
        "it is not a regular file"
    } else if metadata.uid() != user && metadata.uid() != 0 {
        "it belongs to a user that is neither the process's nor root"
    } else if metadata.mode() & 0o002 != 0 {
        "everybody may write it"
    } else {
        return Ok(());
    };
    Err(io::Error::other(reason))
}

/// Process id in the innermost namespace, and effective user id, from `/proc/PID/status`.
fn identity(status: &str) -> Option<(u32, u32)> {
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line[name.len()..].split_ascii_whitespace())
    };
    let pid = field("NSpid:").or_else(|| field("Pid:"))?.last()?;
    let user = field("Uid:")?.nth(1)?;
    Some((pid.parse().ok()?, user.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn later_lines_replace_earlier_ones() {
        let text = b"1000 10 first\n1000 20 second part\nnonsense\n3000 0 empty\n0x2000 8 hex\n\
                     ffffffffffffffff 10 beyond\n1018 4 inside";
        let map = PerfMap::parse(text);
        assert_eq!(map.find(0x1008), Some("second part"));
        assert_eq!(map.find(0x101a), Some("inside"));
        assert_eq!(map.find(0x101d), Some("second part"));
        assert_eq!(map.find(0x2000), Some("hex"));
        for nowhere in [0, 0xfff, 0x1020, 0x2008, 0x3000, u64::MAX] {
            assert_eq!(map.find(nowhere), None, "{nowhere:#x}");
        }
    }

    #[test]
    fn java_names_are_whole() {
        // As `jcmd PID Compiler.perfmap` and perf-map-agent write them.
        let text = b"0x00007fad4ced2da0 0x00000000000003c8 int Shop.handle(java.io.RandomAccessFile, byte[], int)\n\
            0x00007fad4ced44a0 0x0000000000000318 int Shop$$Lambda$1/0x00007face0000c08.run(int)\n\
            0x00007fad4c96d200 0x00000000000001c8 I2C/C2I adapters\n\
            7fad4541fe80 430 LShop;::handle(Ljava/lang/String;[B)V\n";
        let map = PerfMap::parse(text);
        for (address, name) in [
            (
                0x7fad_4ced_2da0,
                "int Shop.handle(java.io.RandomAccessFile, byte[], int)",
            ),
            (
                0x7fad_4ced_44a1,
                "int Shop$$Lambda$1/0x00007face0000c08.run(int)",
            ),
            (0x7fad_4c96_d3c7, "I2C/C2I adapters"),
            (0x7fad_4542_02af, "LShop;::handle(Ljava/lang/String;[B)V"),
        ] {
            assert_eq!(map.find(address), Some(name));
        }
        assert_eq!(map.find(0x7fad_4542_02b0), None);
    }

    #[test]
    fn who_a_process_is() {
        let status = "Name:\tnode\nPid:\t4711\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t4711\t52\t7\n";
        assert_eq!(identity(status), Some((7, 1001)));
        assert_eq!(identity("Pid:\t3\nUid:\t0\t0\t0\t0\n"), Some((3, 0)));
        assert_eq!(identity("Pid:\nUid:\n"), None);
    }

    /// Removes a file of this process's name in `/tmp` again.
    struct Own(String);

    impl Drop for Own {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn only_files_of_the_process_are_read_and_read_again() {
        let pid = std::process::id();
        let own = Own(format!("/tmp/perf-{pid}.map"));
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = directory.path().join("map");
        fs::write(&elsewhere, "1000 10 elsewhere\n").unwrap();
        symlink(&elsewhere, &own.0).unwrap();
        let mut live = LiveMap::default();
        assert_eq!(live.find(pid, 0x1000), None, "a link is not followed");
        assert!(!live.exists());
        fs::remove_file(&own.0).unwrap();

        fs::write(&own.0, "1000 10 early\n2000 10 half writ").unwrap();
        assert_eq!(live.find(pid, 0x1000), None, "it was looked at just now");
        live.looked = None;
        assert_eq!(live.find(pid, 0x1000), Some("early"));
        assert_eq!(live.find(pid, 0x2000), None);
        fs::write(&own.0, "1000 10 early\n2000 10 half written\n").unwrap();
        live.looked = None;
        assert_eq!(live.find(pid, 0x2000), Some("half written"));

        fs::set_permissions(&own.0, fs::Permissions::from_mode(0o666)).unwrap();
        let mut other = LiveMap::default();
        assert_eq!(
            other.find(pid, 0x1000),
            None,
            "everybody may have written it"
        );
        if nix::unistd::geteuid().is_root() {
            fs::set_permissions(&own.0, fs::Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&own.0, Some(65_534), None).unwrap();
            let mut other = LiveMap::default();
            assert_eq!(other.find(pid, 0x1000), None, "it is somebody else's");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_accepted(
            text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            address: u64,
        ) {
            let _ = PerfMap::parse(&text).find(address);
        }

        #[test]
        fn what_is_found_is_in_the_file(
            lines in proptest::collection::vec((0_u64..64, 1_u64..8), 0..40),
            address in 0_u64..80,
        ) {
            let lines_of_text: Vec<String> = lines
                .iter()
                .enumerate()
                .map(|(at, (start, size))| format!("{start:x} {size:x} f{at}\n"))
                .collect();
            let text = lines_of_text.concat();
            let map = PerfMap::parse(text.as_bytes());
            let found = map.find(address).map(str::to_owned);
            let covers = |name: &str| {
                let (start, size) = lines[name[1..].parse::<usize>().unwrap()];
                (start..start + size).contains(&address)
            };
            if let Some(name) = found {
                proptest::prop_assert!(covers(&name));
            }
        }
    }
}
