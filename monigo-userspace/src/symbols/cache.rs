//! Function lists of large images, kept on the disk.
//!
//! Reading half a million symbols, choosing among the names of one address and joining cold parts takes most of
//! what is needed before a large program's functions can be named; the outcome is the same each time.
//!
//! An entry is named by build id, and holds for one file only: the same inode, size and times of change.
//! The build id alone would let any program that carries another one's build id say where that
//! one's functions are, and probes would be planted there.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arcstr::ArcStr;
use prost::Message as _;

use super::{
    Function, FunctionKind,
    files::{open_own, private_folder},
};

/// Changes with what is stored, and with how functions are found.
const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"monigosy";
/// Magic, version, checksum.
const HEADER_BYTES: usize = 16;
/// Larger entries are not read.
const LARGEST_BYTES: u64 = 1 << 30;
/// What all entries together may take, bytes; the oldest go.
const MOST_BYTES: u64 = 1 << 30;

/// Which files an entry was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Build id of the image.
    pub build_id: String,
    /// Device, inode, size and times of the image, and of its debug file.
    pub stamps: Vec<u64>,
}

/// What `stat` says that changes with a file's content. Nobody can set the time of the last change.
pub(super) fn stamps(metadata: &fs::Metadata) -> [u64; 6] {
    [
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime() as u64,
        metadata.ctime() as u64,
        metadata.ctime_nsec() as u64,
    ]
}

/// A folder of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    most_bytes: u64,
}

/// Columns, since half a million messages would take longer to read than the symbols.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(string, tag = "1")]
    build_id: String,
    #[prost(uint64, repeated, tag = "2")]
    stamps: Vec<u64>,
    #[prost(bool, tag = "3")]
    from_debug_file: bool,
    /// All names one after the other; for each function its linkage name, then the aliases.
    #[prost(string, tag = "4")]
    names: String,
    #[prost(uint32, repeated, tag = "5")]
    name_lengths: Vec<u32>,
    /// Names of each function.
    #[prost(uint32, repeated, tag = "6")]
    name_counts: Vec<u32>,
    /// 0 code, 1 IFUNC, 2 imported, 3 not code.
    #[prost(uint32, repeated, tag = "7")]
    kinds: Vec<u32>,
    /// Start and length of all ranges one after the other.
    #[prost(uint64, repeated, tag = "8")]
    ranges: Vec<u64>,
    #[prost(uint32, repeated, tag = "9")]
    range_counts: Vec<u32>,
}

impl Cache {
    /// Entries are kept in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            most_bytes: MOST_BYTES,
        }
    }

    fn path(&self, origin: &Origin) -> Option<PathBuf> {
        let id = &origin.build_id;
        let plain = id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| self.folder.join(format!("{id}.functions")))
    }

    /// The functions that were stored for `origin`, and whether they are from a debug file; `libraries` are
    /// those that it is linked to.
    pub(super) fn load(
        &self,
        origin: &Origin,
        libraries: &[String],
    ) -> Option<(Vec<Function>, bool)> {
        let mut bytes = Vec::new();
        let file = open_own(&self.path(origin)?)?;
        file.take(LARGEST_BYTES).read_to_end(&mut bytes).ok()?;
        let stored = decode(&bytes)?;
        let same = stored.build_id == origin.build_id && stored.stamps == origin.stamps;
        let from_debug_file = stored.from_debug_file;
        let functions = same.then(|| stored.functions(libraries)).flatten()?;
        Some((functions, from_debug_file))
    }

    /// Stores functions; a failure only costs time later.
    pub(super) fn save(&self, origin: &Origin, functions: &[Function], from_debug_file: bool) {
        let Some(path) = self.path(origin) else {
            return;
        };
        let Some(stored) = Stored::of(origin, functions, from_debug_file) else {
            return;
        };
        if let Err(error) = self.write(&path, &encode(&stored)) {
            tracing::info!("symbols are not cached in {}: {error}", path.display());
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        private_folder(&self.folder)?;
        self.make_room(bytes.len() as u64)?;
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let _ = fs::remove_file(&part);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)?;
        let done = file.write_all(bytes).and_then(|()| fs::rename(&part, path));
        if done.is_err() {
            let _ = fs::remove_file(&part);
        }
        done
    }

    /// Removes the oldest entries until there is room for `bytes`.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                entries.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        entries.sort();
        let mut total: u64 = bytes + entries.iter().map(|(_, size, _)| size).sum::<u64>();
        for (_, size, path) in entries {
            if total <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }
}

/// An entry as it is stored, for whoever wants to damage one.
pub fn to_bytes(build_id: &str, functions: &[Function]) -> Option<Vec<u8>> {
    let origin = Origin {
        build_id: build_id.to_owned(),
        stamps: Vec::new(),
    };
    Stored::of(&origin, functions, false).map(|stored| encode(&stored))
}

/// The functions in an entry, whichever image it was made from.
pub fn from_bytes(bytes: &[u8]) -> Option<Vec<Function>> {
    decode(bytes)?.functions(&[])
}

fn encode(stored: &Stored) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + stored.encoded_len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(stored.encode_to_vec());
    let checksum = crc32fast::hash(&bytes[HEADER_BYTES..]);
    bytes[12..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Stored> {
    let (header, payload) = bytes.split_at_checked(HEADER_BYTES)?;
    let rest = header.strip_prefix(MAGIC)?;
    let (version, checksum) = rest.split_at(4);
    let right =
        version == VERSION.to_le_bytes() && checksum == crc32fast::hash(payload).to_le_bytes();
    right.then(|| Stored::decode(payload).ok()).flatten()
}

impl Stored {
    /// `None` if something does not fit.
    fn of(origin: &Origin, functions: &[Function], from_debug_file: bool) -> Option<Self> {
        let mut stored = Self {
            build_id: origin.build_id.clone(),
            stamps: origin.stamps.clone(),
            from_debug_file,
            ..Self::default()
        };
        for function in functions {
            stored.kinds.push(match function.kind {
                FunctionKind::Code => 0,
                FunctionKind::Ifunc => 1,
                FunctionKind::Imported { .. } => 2,
                FunctionKind::NotCode => 3,
                FunctionKind::Inlined { .. } => return None,
            });
            let mut names = 0;
            for name in function.linkage_names() {
                stored.names.push_str(name);
                stored.name_lengths.push(u32::try_from(name.len()).ok()?);
                names += 1;
            }
            stored.name_counts.push(names);
            for range in &function.ranges {
                stored
                    .ranges
                    .extend([range.start, range.end.checked_sub(range.start)?]);
            }
            let ranges = u32::try_from(function.ranges.len()).ok()?;
            stored.range_counts.push(ranges);
        }
        Some(stored)
    }

    /// `None` if the columns do not belong together.
    fn functions(&self, libraries: &[String]) -> Option<Vec<Function>> {
        if self.name_counts.len() != self.kinds.len() || self.range_counts.len() != self.kinds.len()
        {
            return None;
        }
        let mut lengths = self.name_lengths.iter();
        let mut at = 0_usize;
        let text = ArcStr::from(self.names.as_str());
        u32::try_from(text.len()).ok()?;
        let mut name = || {
            let start = at;
            at = at.checked_add(*lengths.next()? as usize)?;
            text.get(start..at).map(|_| text.substr(start..at))
        };
        let libraries: Arc<[String]> = libraries.into();
        let mut pairs = self.ranges.chunks_exact(2);
        let mut functions = Vec::with_capacity(self.kinds.len());
        let counts = self.name_counts.iter().zip(&self.range_counts);
        for (kind, (names, ranges)) in self.kinds.iter().zip(counts) {
            let kind = match kind {
                0 => FunctionKind::Code,
                1 => FunctionKind::Ifunc,
                2 => FunctionKind::Imported {
                    libraries: Arc::clone(&libraries),
                },
                3 => FunctionKind::NotCode,
                _ => return None,
            };
            let mut function = Function::new(name()?, None, kind);
            for _ in 1..*names {
                function.aliases.push(name()?);
            }
            for _ in 0..*ranges {
                let pair = pairs.next()?;
                function.ranges.push(pair[0]..pair[0].checked_add(pair[1])?);
            }
            functions.push(function);
        }
        Some(functions)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::symbols::{Image, tests::samples};

    fn origin(number: u64) -> Origin {
        Origin {
            build_id: format!("{number:016x}"),
            stamps: vec![number, 2, 3],
        }
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("symbols"));
        for sample in [samples::c(&["-O2", "-g"]), samples::cpp(&["-O2", "-g"])] {
            let image = Image::open(sample).unwrap();
            let libraries = image.needed();
            assert_eq!(cache.load(&origin(1), libraries), None);
            cache.save(&origin(1), image.functions(), true);
            let loaded = cache.load(&origin(1), libraries);
            assert_eq!(loaded, Some((image.functions().to_vec(), true)));
            let path = cache.path(&origin(1)).unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn entries_of_others_and_damaged_ones_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        let image = Image::open(samples::c(&["-O2"])).unwrap();
        let functions = image.functions();
        cache.save(&origin(1), functions, false);
        let path = cache.path(&origin(1)).unwrap();
        // The same build id in another file.
        let other = Origin {
            stamps: vec![9],
            ..origin(1)
        };
        assert_eq!(cache.load(&other, &[]), None);
        let whole = fs::read(&path).unwrap();
        for at in [0, 9, 13, 20, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x11;
            fs::write(&path, bytes).unwrap();
            assert_eq!(cache.load(&origin(1), &[]), None, "byte {at}");
        }
        for length in [0, 7, HEADER_BYTES, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.load(&origin(1), &[]), None, "{length} bytes");
        }
        fs::write(&path, &whole).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        assert_eq!(cache.load(&origin(1), &[]), None);
        // It is written again.
        cache.save(&origin(1), functions, false);
        assert!(cache.load(&origin(1), image.needed()).is_some());
        let unusable = Origin {
            build_id: "../../etc/passwd".to_owned(),
            stamps: Vec::new(),
        };
        assert_eq!(cache.path(&unusable), None);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::open(samples::c(&["-O2"])).unwrap();
        let mut cache = Cache::new(folder.path().to_owned());
        cache.save(&origin(0), image.functions(), false);
        let size = fs::metadata(cache.path(&origin(0)).unwrap()).unwrap().len();
        cache.most_bytes = size * 7 / 2;
        for number in 1..8 {
            cache.save(&origin(number), image.functions(), false);
        }
        let kept = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(kept, 3);
        assert!(cache.load(&origin(7), image.needed()).is_some());
        assert_eq!(cache.load(&origin(0), image.needed()), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_accepted(
            payload in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        ) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(VERSION.to_le_bytes());
            bytes.extend(crc32fast::hash(&payload).to_le_bytes());
            bytes.extend(payload);
            if let Some(functions) = from_bytes(&bytes) {
                // What is read can be stored, and comes back.
                let again = to_bytes("", &functions).expect("stored");
                proptest::prop_assert_eq!(from_bytes(&again), Some(functions));
            }
        }
    }
}
