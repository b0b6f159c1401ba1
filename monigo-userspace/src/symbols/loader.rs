//! Where the dynamic loader finds the libraries that an image needs (`ld.so(8)`).

use std::{
    collections::{HashSet, VecDeque},
    env,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{
    Image, ImageId, Machine,
    bytes::{text_at, u32_at, u64_at},
};

/// Searched last, after everything that is configured.
const DIRECTORIES: [&str; 9] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// Most libraries that are followed from one image.
const MOST: usize = 512;

/// A library that an image needs, directly or through others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// As in `DT_NEEDED`.
    pub name: String,
    /// Where it was found.
    pub path: PathBuf,
}

/// Every library that `image` needs and that is found, those needed directly first.
pub fn needed(image: &Image) -> Vec<Needed> {
    if image.machine() != Machine::HOST {
        return Vec::new();
    }
    let mut loader = Loader::new();
    let mut seen: HashSet<ImageId> = HashSet::from([image.id()]);
    let mut found = Vec::new();
    let mut waiting: VecDeque<Needed> = loader.direct(image);
    while let Some(library) = waiting.pop_front() {
        let Ok(id) = ImageId::of(&library.path) else {
            continue;
        };
        if !seen.insert(id) || found.len() == MOST {
            continue;
        }
        // The loader goes on when a file is of another architecture.
        let Ok(image) = Image::open(&library.path) else {
            continue;
        };
        waiting.extend(loader.direct(&image));
        found.push(library);
    }
    found
}

/// Where the loader finds the library `name` on behalf of `image`.
pub fn find(image: &Image, name: &str) -> Option<PathBuf> {
    Loader::new().find(image, name)
}

struct Loader {
    environment: Vec<PathBuf>,
    cache: Cache,
}

impl Loader {
    fn new() -> Self {
        let environment = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        Self {
            environment: directories(&environment, Path::new("/")),
            cache: Cache::read(),
        }
    }

    fn direct(&mut self, image: &Image) -> VecDeque<Needed> {
        let libraries = image.needed().iter();
        libraries
            .filter_map(|name| {
                let path = self.find(image, name)?;
                let name = name.clone();
                Some(Needed { name, path })
            })
            .collect()
    }

    fn find(&self, image: &Image, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(|path| path.is_file());
        }
        let origin = image.path().parent().unwrap_or(Path::new("/"));
        let (before, after) = image.run_paths();
        let before = directories(OsStr::new(before), origin);
        let after = directories(OsStr::new(after), origin);
        let listed = before.iter().chain(&self.environment).chain(&after);
        let usable = |path: &PathBuf| path.is_file();
        listed
            .map(|directory| directory.join(name))
            .find(usable)
            .or_else(|| self.cache.find(name).filter(usable))
            .or_else(|| {
                let usual = DIRECTORIES.iter().map(Path::new);
                usual.map(|directory| directory.join(name)).find(usable)
            })
    }
}

/// The directories of a search path. Empty ones stand for the current directory, which nobody
/// means.
fn directories(list: &OsStr, origin: &Path) -> Vec<PathBuf> {
    env::split_paths(list)
        .filter(|directory| !directory.as_os_str().is_empty())
        .map(|directory| match directory.to_str() {
            Some(text) => {
                let origin = origin.to_string_lossy();
                let text = text
                    .replace("$ORIGIN", &origin)
                    .replace("${ORIGIN}", &origin);
                PathBuf::from(text)
            }
            None => directory,
        })
        .collect()
}

/// `/etc/ld.so.cache`: what `ldconfig` found. Layout: glibc `sysdeps/generic/dl-cache.h`.
struct Cache(Vec<u8>);

impl Cache {
    const MAGIC: &'static [u8] = b"glibc-ld.so.cache1.1";
    const HEADER_BYTES: usize = 48;
    const ENTRY_BYTES: usize = 24;
    /// A library of glibc 2 for this architecture.
    const KIND: u32 = if cfg!(target_arch = "aarch64") {
        0x0a03
    } else {
        0x0303
    };

    fn read() -> Self {
        Self(fs::read("/etc/ld.so.cache").unwrap_or_default())
    }

    /// Variants for particular processors are left out.
    fn find(&self, name: &str) -> Option<PathBuf> {
        // An old table may precede it, aligned.
        let start = (0..self.0.len().min(1 << 22))
            .step_by(4)
            .find(|at| self.0[*at..].starts_with(Self::MAGIC))?;
        let data = &self.0[start..];
        let count = u32_at(data, Self::MAGIC.len())? as usize;
        let text = |offset: u32| text_at(data, offset as usize);
        (0..count)
            .map_while(|index| {
                let at = index
                    .checked_mul(Self::ENTRY_BYTES)?
                    .checked_add(Self::HEADER_BYTES)?;
                data.get(at..at.checked_add(Self::ENTRY_BYTES)?)
            })
            .find(|entry| {
                u32_at(entry, 0) == Some(Self::KIND)
                    && u64_at(entry, 16) == Some(0)
                    && u32_at(entry, 4).and_then(text) == Some(name)
            })
            .and_then(|entry| text(u32_at(entry, 8)?))
            .map(|path| PathBuf::from(OsStr::from_bytes(path.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::tests::samples;

    #[test]
    fn libraries_of_a_program_are_found() {
        let image = Image::open(samples::cpp(&["-O2", "-g"])).unwrap();
        let found = needed(&image);
        for name in ["libstdc++.so.6", "libc.so.6", "libm.so.6"] {
            let library = found.iter().find(|library| library.name == name);
            let path = &library.unwrap_or_else(|| panic!("{name}: {found:?}")).path;
            assert!(Image::open(path).is_ok(), "{}", path.display());
        }
        assert_eq!(find(&image, "libnothing.so.99"), None);
    }

    #[test]
    fn the_cache_knows_the_c_library() {
        let cache = Cache::read();
        let path = cache.find("libc.so.6").unwrap();
        assert!(path.is_file(), "{}", path.display());
        assert_eq!(cache.find("libc.so"), None);
        assert_eq!(Cache(Vec::new()).find("libc.so.6"), None);
        assert_eq!(Cache(Cache::MAGIC.to_vec()).find("libc.so.6"), None);
    }

    #[test]
    fn origin_is_where_the_image_is() {
        let origin = Path::new("/opt/app/bin");
        assert_eq!(
            directories(OsStr::new("$ORIGIN/../lib::${ORIGIN}:/x"), origin),
            ["/opt/app/bin/../lib", "/opt/app/bin", "/x"].map(PathBuf::from)
        );
    }
}
