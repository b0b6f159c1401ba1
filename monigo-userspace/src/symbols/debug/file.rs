//! A debug file, and the proof that it belongs to an image.

use std::{
    io,
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use object::{LittleEndian, Object as _, read::elf::ElfFile64};

use super::{
    super::{
        cache::stamps,
        elf::{self, hex},
        files::open_regular,
    },
    places::{Identity, Wanted, by_build_id},
};

/// Larger files are not read.
const LARGEST_BYTES: u64 = 8 << 30;

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum Rejection {
    Absent,
    Unreadable(io::Error),
    NotElf,
    Damaged,
    OtherBuild(Option<String>),
    OtherBytes { found: u32, wanted: u32 },
}

impl Rejection {
    pub(super) fn sentence(&self, path: &Path, wanted: &Wanted<'_>) -> String {
        let reason = match self {
            Self::Absent => "it is not there".to_owned(),
            Self::Unreadable(error) => format!("it cannot be read ({error})"),
            Self::NotElf => "it is no 64-bit ELF file".to_owned(),
            Self::Damaged => "its compressed sections claim impossible sizes".to_owned(),
            Self::OtherBuild(found) => format!(
                "it belongs to another build (build id {}, not {})",
                found.as_deref().unwrap_or("none"),
                wanted.build_id.unwrap_or("none"),
            ),
            Self::OtherBytes { found, wanted } => {
                format!("it belongs to another build (checksum {found:08x}, not {wanted:08x})")
            }
        };
        format!(
            "the debug file {} of {} is not used: {reason}; install the one of this build",
            path.display(),
            wanted.image.display(),
        )
    }
}

/// An open debug file.
pub(in super::super) struct DebugFile {
    path: PathBuf,
    data: Mmap,
    stamps: [u64; 6],
    /// What dwz has moved out of several debug files into one.
    supplement: Option<Box<DebugFile>>,
}

impl std::fmt::Debug for DebugFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DebugFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl DebugFile {
    /// Opens a regular file, and nothing else: the path may be another user's, who may have put a
    /// pipe or a device there.
    pub(super) fn open(path: &Path, show: &Path) -> Result<Self, Rejection> {
        let (file, metadata) = open_regular(path, true).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Rejection::Absent,
            _ => Rejection::Unreadable(error),
        })?;
        if metadata.len() > LARGEST_BYTES || metadata.len() == 0 {
            return Err(Rejection::NotElf);
        }
        // SAFETY: the mapping is private and read-only. Who truncates the file in place can end
        // monigo with SIGBUS; that takes write access to the debug information that is in use.
        let data = unsafe { Mmap::map(&file) }.map_err(Rejection::Unreadable)?;
        let file = Self {
            path: show.to_owned(),
            data,
            stamps: stamps(&metadata),
            supplement: None,
        };
        match file.elf().map(|elf| elf::is_decompressible(&elf)) {
            Some(true) => Ok(file),
            Some(false) => Err(Rejection::Damaged),
            None => Err(Rejection::NotElf),
        }
    }

    /// Where it is.
    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is, and in which state.
    pub(in super::super) fn stamps(&self) -> [u64; 6] {
        self.stamps
    }

    /// Its size, bytes.
    pub(in super::super) fn size_bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// The file parsed.
    pub(in super::super) fn elf(&self) -> Option<ElfFile64<'_, LittleEndian>> {
        ElfFile64::parse(&*self.data).ok()
    }

    /// What dwz moved elsewhere.
    pub(in super::super) fn supplement(&self) -> Option<&Self> {
        self.supplement.as_deref()
    }

    fn build_id(&self) -> Option<String> {
        self.elf()?.build_id().ok().flatten().map(hex)
    }

    /// Whether it belongs to the image that is `wanted`.
    pub(super) fn check(&self, wanted: &Wanted<'_>, identity: &Identity) -> Result<(), Rejection> {
        let build_id = self.build_id();
        match (identity, wanted.build_id, &build_id) {
            (_, Some(wanted), Some(found)) if wanted == found => Ok(()),
            (_, Some(_), Some(_)) | (Identity::BuildId, ..) => Err(Rejection::OtherBuild(build_id)),
            (Identity::Crc(wanted), ..) => {
                let found = crc32fast::hash(&self.data);
                if found == *wanted {
                    return Ok(());
                }
                let wanted = *wanted;
                Err(Rejection::OtherBytes { found, wanted })
            }
        }
    }

    /// Opens the file that `.gnu_debugaltlink` names, if that is there. Without it, some names and
    /// lines are missing.
    pub(super) fn add_supplement(&mut self, folders: &[PathBuf]) {
        let Some(elf) = self.elf() else { return };
        let Ok(Some((name, id))) = elf.gnu_debugaltlink() else {
            return;
        };
        let id = hex(id);
        let mut places: Vec<PathBuf> = Vec::new();
        if let Some(relative) = by_build_id(&id) {
            places.extend(folders.iter().map(|folder| folder.join(&relative)));
        }
        // A path of its own is believed inside the folders only.
        if let (Ok(name), Some(directory)) = (std::str::from_utf8(name), self.path.parent()) {
            let path = normal(&directory.join(name));
            if folders.iter().any(|folder| path.starts_with(folder)) {
                places.push(path);
            }
        }
        let supplement = places.into_iter().find_map(|path| {
            let file = Self::open(&path, &path).ok()?;
            (file.build_id().as_deref() == Some(&*id)).then(|| Box::new(file))
        });
        drop(elf);
        self.supplement = supplement;
    }
}

/// Without `.` and `..`, by name alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
