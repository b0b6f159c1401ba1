//! The images of a target beside the one it is named after: what its processes have loaded or,
//! when none runs, what the loader will load.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::{Target, process::proc_path};
use crate::symbols::{Image, ImageId, loader, maps::ProcessMaps};

/// A library of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Path to open and to give to the kernel; may go through `/proc/PID/`.
    pub open_path: PathBuf,
    /// Path to show: the one in the mount namespace of the process.
    pub show_path: PathBuf,
    id: ImageId,
}

impl Library {
    fn file_name(&self) -> String {
        let name = self.show_path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// Why a text names no library of a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// None of that name.
    #[error("{}", unknown(name, program, *running, known))]
    Unknown {
        /// As given.
        name: String,
        /// The target.
        program: PathBuf,
        /// Whether the libraries are those that a process has loaded.
        running: bool,
        /// File names of those there are.
        known: Vec<String>,
    },
    /// A path that leads nowhere.
    #[error("{path}: no such file, neither here nor where the target sees it; check the path")]
    NoSuchFile {
        /// As given.
        path: String,
    },
    /// Several with that stem.
    #[error("'{name}' may be any of {}; write the whole file name", candidates.join(", "))]
    Ambiguous {
        /// As given.
        name: String,
        /// Their file names.
        candidates: Vec<String>,
    },
}

fn unknown(name: &str, program: &Path, running: bool, known: &[String]) -> String {
    const LISTED: usize = 20;
    let verb = if running { "has loaded" } else { "needs" };
    let mut text = format!("{} {verb} no library '{name}'", program.display());
    if known.is_empty() {
        let _ = write!(text, ", nor any other; it is linked statically");
        return text;
    }
    let listed = known.iter().take(LISTED).cloned().collect::<Vec<_>>();
    let _ = write!(text, "; it {verb} {}", listed.join(", "));
    if known.len() > LISTED {
        let _ = write!(text, " and {} more", known.len() - LISTED);
    }
    text
}

/// The libraries of a target.
#[derive(Clone, Debug)]
pub struct Libraries {
    program: PathBuf,
    all: Vec<Library>,
    /// Processes that run the target's image.
    pids: Vec<u32>,
}

impl Libraries {
    /// Reads what the processes of `target`, whose image is `image`, have mapped. If none of them
    /// runs it yet, finds what the image needs.
    pub fn of(target: &Target, image: &Image) -> Self {
        let mut libraries = Vec::new();
        let mut pids = Vec::new();
        let mut seen = HashSet::from([image.id()]);
        for pid in &target.pids {
            let Ok(maps) = ProcessMaps::read(*pid) else {
                continue;
            };
            // A command that waits to be started still has monigo's image.
            if maps.find_image(image.id()).is_none() {
                continue;
            }
            pids.push(*pid);
            for mapping in maps.code() {
                let open_path = maps.open_path(mapping);
                let Ok(id) = ImageId::of(&open_path) else {
                    continue;
                };
                if seen.insert(id) {
                    libraries.push(Library {
                        open_path,
                        show_path: mapping.show_path(),
                        id,
                    });
                }
            }
        }
        if pids.is_empty() {
            let needed = loader::needed(image).into_iter();
            libraries.extend(needed.filter_map(|library| at(&library.path)));
        }
        Self {
            program: image.path().to_path_buf(),
            all: libraries,
            pids,
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Library] {
        &self.all
    }

    /// Whether a process runs the target.
    pub fn is_running(&self) -> bool {
        !self.pids.is_empty()
    }

    /// The libraries that `name` means: a path if it has a `/`, else a file name, a soname, or
    /// either without what follows `.so` or the version (`libc`). More than one only where
    /// processes have different files of one name; never none.
    pub fn find(&self, name: &str) -> Result<Vec<Library>, LibraryError> {
        if name.contains('/') {
            return self.at_path(name);
        }
        let same = |form: fn(&str) -> &str| {
            let named = move |library: &&Library| form(&library.file_name()) == name;
            self.all.iter().filter(named).cloned().collect()
        };
        let found: Vec<Library> = [whole, before_so, before_version, before_dot]
            .into_iter()
            .map(same)
            .find(|found: &Vec<Library>| !found.is_empty())
            .unwrap_or_else(|| self.by_soname(name));
        let mut candidates: Vec<String> = found.iter().map(Library::file_name).collect();
        candidates.sort();
        candidates.dedup();
        match candidates.len() {
            0 => Err(self.unknown(name)),
            1 => Ok(found),
            _ => Err(LibraryError::Ambiguous {
                name: name.to_owned(),
                candidates,
            }),
        }
    }

    fn by_soname(&self, name: &str) -> Vec<Library> {
        let named = |library: &&Library| {
            let image = Image::open_as(&library.open_path, &library.show_path).ok();
            let soname = image.as_ref().and_then(Image::soname);
            soname.is_some_and(|soname| soname == name || before_so(soname) == name)
        };
        self.all.iter().filter(named).cloned().collect()
    }

    fn at_path(&self, path: &str) -> Result<Vec<Library>, LibraryError> {
        let shown = |library: &&Library| library.show_path == Path::new(path);
        let found: Vec<Library> = self.all.iter().filter(shown).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // Not loaded, or by another name; the mount namespace of the process decides.
        let inside = self.pids.iter().filter_map(|pid| {
            let relative = Path::new(path).strip_prefix("/").ok()?;
            let library = at(&proc_path(*pid, "root").join(relative))?;
            let here = at(Path::new(path)).filter(|here| here.id == library.id);
            Some(here.unwrap_or(Library {
                show_path: PathBuf::from(path),
                ..library
            }))
        });
        let mut found: Vec<Library> = Vec::new();
        for library in inside {
            if found.iter().all(|other| other.id != library.id) {
                found.push(library);
            }
        }
        if found.is_empty() {
            found.extend(at(Path::new(path)));
        }
        if found.is_empty() {
            let path = path.to_owned();
            return Err(LibraryError::NoSuchFile { path });
        }
        Ok(found)
    }

    fn unknown(&self, name: &str) -> LibraryError {
        let mut known: Vec<String> = self.all.iter().map(Library::file_name).collect();
        known.sort();
        known.dedup();
        LibraryError::Unknown {
            name: name.to_owned(),
            program: self.program.clone(),
            running: self.is_running(),
            known,
        }
    }
}

/// The file at `path`, links followed.
fn at(path: &Path) -> Option<Library> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() {
        return None;
    }
    let id = ImageId::from(&metadata);
    // A link inside `/proc` may lead out of the namespace that its path is in.
    let resolved = if path.starts_with("/proc") {
        path.to_path_buf()
    } else {
        fs::canonicalize(path).ok()?
    };
    Some(Library {
        show_path: resolved.clone(),
        open_path: resolved,
        id,
    })
}

fn whole(file_name: &str) -> &str {
    file_name
}

/// `libc` of `libc.so.6`.
fn before_so(file_name: &str) -> &str {
    file_name
        .find(".so")
        .map_or(file_name, |end| &file_name[..end])
}

/// `libc` of `libc-2.31.so`.
fn before_version(file_name: &str) -> &str {
    let stem = before_so(file_name);
    match stem.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => stem,
    }
}

/// `libpython3` of `libpython3.11.so.1.0`.
fn before_dot(file_name: &str) -> &str {
    file_name.split('.').next().unwrap_or(file_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scope;

    fn own() -> (Target, Image) {
        let path = std::env::current_exe().unwrap();
        let image = Image::open(&path).unwrap();
        let target = Target {
            open_path: path.clone(),
            show_path: path,
            scope: Scope::Everyone,
            pids: vec![std::process::id()],
        };
        (target, image)
    }

    #[test]
    fn stems() {
        for (file_name, stem) in [
            ("libc.so.6", "libc"),
            ("libc-2.31.so", "libc"),
            ("libstdc++.so.6.0.30", "libstdc++"),
            ("libgtk-x11-2.0.so.0", "libgtk-x11"),
            ("x", "x"),
        ] {
            assert_eq!(before_version(file_name), stem, "{file_name}");
        }
        assert_eq!(before_so("libpython3.11.so.1.0"), "libpython3.11");
        assert_eq!(before_dot("libpython3.11.so.1.0"), "libpython3");
    }

    #[test]
    fn loaded_and_needed_libraries_are_the_same_files() {
        let (target, image) = own();
        let loaded = Libraries::of(&target, &image);
        assert!(loaded.is_running());
        let idle = Target {
            pids: Vec::new(),
            ..target
        };
        let needed = Libraries::of(&idle, &image);
        assert!(!needed.is_running());
        for name in ["libc", "libc.so.6", "libm"] {
            let a = loaded.find(name).unwrap();
            let b = needed.find(name).unwrap();
            assert_eq!((a.len(), b.len()), (1, 1));
            assert_eq!(a[0].id, b[0].id, "{name}");
        }
        let path = loaded.find("libc").unwrap().remove(0).show_path;
        assert_eq!(loaded.find(path.to_str().unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let (target, image) = own();
        let libraries = Libraries::of(&target, &image);
        let text = libraries.find("libnothing").unwrap_err().to_string();
        assert!(
            text.contains("has loaded no library 'libnothing'"),
            "{text}"
        );
        assert!(text.contains("libc.so.6"), "{text}");
        let text = libraries.find("/no/such.so").unwrap_err().to_string();
        assert!(text.starts_with("/no/such.so: no such file"), "{text}");
    }
}
