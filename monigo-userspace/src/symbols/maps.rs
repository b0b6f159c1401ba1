//! A process's address space: which file, and which part of it, is where.

use std::{
    ffi::OsString,
    fs, io,
    ops::Range,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use super::ImageId;

/// What a mapping shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file, under the path it had in the mount namespace of the process.
    File {
        /// Without the kernel's " (deleted)".
        path: PathBuf,
        /// It has no name any more.
        deleted: bool,
    },
    /// The kernel's own code in user space.
    Vdso,
    /// Where the kernel keeps copies of probed instructions, and what return probes return to.
    Probes,
    /// Memory without a file: heap, stacks, code written at run time.
    Anonymous,
}

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Addresses in the process.
    pub range: Range<u64>,
    /// Offset of the first byte in the file.
    pub file_offset: u64,
    /// Whether code can run there.
    pub executable: bool,
    /// Inode number; 0 without a file. The device that the kernel shows beside it differs from
    /// what `stat` says on some file systems, so it is no identity.
    pub inode: u64,
    /// What it shows.
    pub backing: Backing,
}

impl Mapping {
    /// Path for people: `[vdso]` and `[jit]` stand for what has none.
    pub fn show_path(&self) -> PathBuf {
        match &self.backing {
            Backing::File { path, .. } => path.clone(),
            Backing::Vdso => PathBuf::from("[vdso]"),
            Backing::Probes => PathBuf::from("[uprobes]"),
            Backing::Anonymous => PathBuf::from("[jit]"),
        }
    }

    /// Offset in the file of the byte at `address`.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        self.range
            .contains(&address)
            .then(|| self.file_offset.checked_add(address - self.range.start))
            .flatten()
    }
}

/// The mappings of a process at one moment, by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessMaps {
    pid: u32,
    mappings: Vec<Mapping>,
}

impl ProcessMaps {
    /// Takes a snapshot.
    pub fn read(pid: u32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/maps"))?;
        Ok(Self::parse(pid, &text))
    }

    /// The same of a process that lives; one that has ended and was not collected yet has empty maps.
    pub fn of_living(pid: u32) -> Option<Self> {
        let maps = Self::read(pid).ok()?;
        maps.code().next()?;
        Some(maps)
    }

    /// Parses the text of `/proc/PID/maps`; lines that make no sense are skipped.
    pub fn parse(pid: u32, text: &[u8]) -> Self {
        let mut mappings: Vec<Mapping> = text
            .split(|byte| *byte == b'\n')
            .filter_map(parse_line)
            .collect();
        mappings.sort_by_key(|mapping| mapping.range.start);
        Self { pid, mappings }
    }

    /// Whose they are.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The mapping at `address`.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        let end = self
            .mappings
            .partition_point(|mapping| mapping.range.start <= address);
        self.mappings
            .get(end.checked_sub(1)?)
            .filter(|mapping| mapping.range.contains(&address))
    }

    /// All mappings, by address.
    pub fn all(&self) -> impl Iterator<Item = &Mapping> {
        self.mappings.iter()
    }

    /// The mappings that hold code of files.
    pub fn code(&self) -> impl Iterator<Item = &Mapping> {
        self.mappings
            .iter()
            .filter(|mapping| mapping.executable && matches!(mapping.backing, Backing::File { .. }))
    }

    /// Addresses of the first mapping that shows this.
    pub(super) fn range_of(&self, backing: &Backing) -> Option<Range<u64>> {
        let mut mappings = self.mappings.iter();
        let found = mappings.find(|mapping| mapping.backing == *backing)?;
        Some(found.range.clone())
    }

    /// The mapping that holds code of this file.
    pub fn find_image(&self, image: ImageId) -> Option<&Mapping> {
        self.code().find(|mapping| {
            mapping.inode == image.inode && self.id(mapping).is_some_and(|id| id == image)
        })
    }

    /// Which file a mapping shows, for as long as the process lives.
    pub fn id(&self, mapping: &Mapping) -> Option<ImageId> {
        ImageId::of(&self.open_path(mapping)).ok()
    }

    /// A path that leads to the mapped file, whatever its name leads to by now: its own if that
    /// is still the same file, else the way through `/proc` while the process lives.
    pub fn open_path(&self, mapping: &Mapping) -> PathBuf {
        // This link leads to the mapped file itself, but only privileged users may follow it.
        let direct = PathBuf::from(format!(
            "/proc/{}/map_files/{:x}-{:x}",
            self.pid, mapping.range.start, mapping.range.end
        ));
        let Backing::File { path, .. } = &mapping.backing else {
            return direct;
        };
        let relative = path.strip_prefix("/").unwrap_or(path);
        let inside = PathBuf::from(format!("/proc/{}/root", self.pid)).join(relative);
        match ImageId::of(&direct) {
            Ok(id) => [path, &inside]
                .into_iter()
                .find(|path| ImageId::of(path).ok() == Some(id))
                .cloned()
                .unwrap_or(direct),
            Err(_) if ImageId::of(&inside).is_ok_and(|id| id.inode == mapping.inode) => inside,
            // Whoever may not follow that link may follow the one to the program itself.
            Err(_) => {
                let program = PathBuf::from(format!("/proc/{}/exe", self.pid));
                let is = |path: &Path| ImageId::of(path).is_ok_and(|id| id.inode == mapping.inode);
                // Of a process that has ended, the name is what is left.
                [program, path.clone()]
                    .into_iter()
                    .find(|path| is(path))
                    .unwrap_or(direct)
            }
        }
    }
}

fn parse_line(line: &[u8]) -> Option<Mapping> {
    // start-end perms offset device inode, then spaces and an optional path that may have spaces.
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        rest = &rest[start..];
        let end = rest
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(rest.len());
        let (field, after) = rest.split_at(end);
        rest = after;
        std::str::from_utf8(field).ok()
    };
    let (start, end) = field()?.split_once('-')?;
    let permissions = field()?;
    let file_offset = u64::from_str_radix(field()?, 16).ok()?;
    let _device = field()?;
    let inode: u64 = field()?.parse().ok()?;
    let name = rest.trim_ascii();
    let backing = if name == b"[vdso]" {
        Backing::Vdso
    } else if name.starts_with(b"[uprobes") {
        Backing::Probes
    } else if inode == 0 || !name.starts_with(b"/") {
        Backing::Anonymous
    } else {
        let (name, deleted) = match name.strip_suffix(b" (deleted)") {
            Some(name) => (name, true),
            None => (name, false),
        };
        Backing::File {
            path: unescaped(name),
            deleted,
        }
    };
    Some(Mapping {
        range: u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?,
        file_offset,
        executable: permissions.as_bytes().get(2) == Some(&b'x'),
        inode,
        backing,
    })
}

/// The kernel writes a newline in a path as `\012`.
fn unescaped(name: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(br"\012") {
            out.push(b'\n');
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    Path::new(&OsString::from_vec(out)).to_path_buf()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        process::{Command, Stdio},
    };

    use super::*;

    const MAPS: &[u8] = b"\
5581a0a00000-5581a0a01000 r--p 00000000 08:01 42                         /usr/bin/a b (deleted)
5581a0a01000-5581a0a05000 r-xp 00001000 08:01 42                         /usr/bin/a b (deleted)
5581a0b00000-5581a0b01000 rwxp 00000000 00:00 0
5581a0c00000-5581a0c01000 rw-p 00000000 00:00 0                          [heap]
nonsense
7ffc9f1f2000-7ffc9f1f4000 r-xp 00000000 00:00 0                          [vdso]
7fffffffe000-7ffffffff000 --xp 00000000 00:00 0                          [uprobes]
";

    #[test]
    fn lines() {
        let maps = ProcessMaps::parse(1, MAPS);
        let code = maps.find(0x5581_a0a0_1010).unwrap();
        assert_eq!(code.offset_of(0x5581_a0a0_1010), Some(0x1010));
        assert!(code.executable);
        assert_eq!(
            code.backing,
            Backing::File {
                path: "/usr/bin/a b".into(),
                deleted: true
            }
        );
        assert!(!maps.find(0x5581_a0a0_0000).unwrap().executable);
        assert_eq!(maps.find(0x5581_a0a0_5000), None);
        assert_eq!(maps.find(0), None);
        assert_eq!(
            maps.find(0x5581_a0b0_0000).unwrap().show_path(),
            Path::new("[jit]")
        );
        assert_eq!(maps.find(0x7ffc_9f1f_2000).unwrap().backing, Backing::Vdso);
        let copies = maps.find(0x7fff_ffff_e000).unwrap();
        assert_eq!(copies.backing, Backing::Probes);
        assert_eq!(maps.code().count(), 1);
    }

    #[test]
    fn newline_in_path() {
        let maps = ProcessMaps::parse(1, b"1000-2000 r-xp 0 00:01 5 /a\\012b\n");
        assert_eq!(maps.find(0x1000).unwrap().show_path(), Path::new("/a\nb"));
    }

    #[test]
    fn own_code_is_mapped() {
        let maps = ProcessMaps::read(std::process::id()).unwrap();
        let mapping = maps.find(own_code_is_mapped as *const () as u64).unwrap();
        assert!(mapping.executable);
        let exe = std::env::current_exe().unwrap();
        assert_eq!(maps.open_path(mapping), exe);
        let id = ImageId::of(&exe).unwrap();
        assert!(maps.find_image(id).is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_accepted(text in proptest::collection::vec(0_u8..128, 0..300)) {
            let _ = ProcessMaps::parse(1, &text);
        }
    }
    #[test]
    fn files_of_a_process_that_has_ended() {
        let mut command = Command::new("cat");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It has its libraries once it answers.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let maps = ProcessMaps::read(child.id()).unwrap();
        let ids = || maps.code().map(|mapping| maps.id(mapping));
        let living: Vec<_> = ids().collect();
        assert!(living.len() > 1 && living.iter().all(Option::is_some));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(ids().collect::<Vec<_>>(), living);
    }
}
