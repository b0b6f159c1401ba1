//! Where the debug file of an image may be, as pure functions over paths.

use std::path::{Path, PathBuf};

/// How a file proves that it belongs to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Identity {
    /// By the same build id.
    BuildId,
    /// By this CRC-32 of its bytes, unless both have build ids.
    Crc(u32),
}

/// A place to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Place {
    pub open: PathBuf,
    pub show: PathBuf,
    pub identity: Identity,
}

/// The image that a debug file is wanted for.
pub(in super::super) struct Wanted<'i> {
    pub build_id: Option<&'i str>,
    pub image: &'i Path,
}

/// `/proc/PID/root`, if an image is opened through `/proc/PID/`: its own debug files are in the mount
/// namespace of that process.
fn namespace_root(open_path: &Path) -> Option<PathBuf> {
    let mut parts = open_path.strip_prefix("/proc").ok()?.components();
    let pid = parts.next()?.as_os_str().to_str()?;
    pid.parse::<u32>().ok()?;
    Some(Path::new("/proc").join(pid).join("root"))
}

/// `path` below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// `.build-id/xx/yyyy.debug`; `None` for what is no build id.
pub(super) fn by_build_id(build_id: &str) -> Option<PathBuf> {
    // Shorter ones are no hashes of anything.
    let plain = build_id.len() >= 8 && build_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (first, rest) = plain.then(|| build_id.split_at(2))?;
    Some(
        Path::new(".build-id")
            .join(first)
            .join(format!("{rest}.debug")),
    )
}

/// Places to look at, best first. `link` is what `.gnu_debuglink` says: a file name and a CRC.
pub(in super::super) fn places(
    open_path: &Path,
    show_path: &Path,
    build_id: Option<&str>,
    link: Option<(&str, u32)>,
    folders: &[PathBuf],
) -> Vec<Place> {
    let root = namespace_root(open_path);
    let mut places: Vec<Place> = Vec::new();
    let mut add = |path: PathBuf, identity: &Identity| {
        let here = Place {
            open: path.clone(),
            show: path.clone(),
            identity: identity.clone(),
        };
        let inside = root.as_ref().map(|root| Place {
            open: below(root, &path),
            ..here.clone()
        });
        // The target's own files first; those of this mount namespace may be of another system.
        for place in inside.into_iter().chain([here]) {
            if places.iter().all(|known| known.open != place.open) {
                places.push(place);
            }
        }
    };
    if let Some(relative) = build_id.and_then(by_build_id) {
        for folder in folders {
            add(folder.join(&relative), &Identity::BuildId);
        }
    }
    // A hostile image could name any file.
    let link = link.filter(|(name, _)| {
        !name.is_empty() && !name.contains(['/', '\0']) && *name != "." && *name != ".."
    });
    if let (Some((name, crc)), Some(directory)) = (link, show_path.parent()) {
        let identity = Identity::Crc(crc);
        add(directory.join(name), &identity);
        add(directory.join(".debug").join(name), &identity);
        for folder in folders {
            add(below(folder, directory).join(name), &identity);
            add(folder.join(name), &identity);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(open: &str, show: &str, build_id: Option<&str>, link: Option<&str>) -> Vec<String> {
        let folders = [
            PathBuf::from("/usr/lib/debug"),
            PathBuf::from("/srv/symbols"),
        ];
        let link = link.map(|name| (name, 7));
        places(Path::new(open), Path::new(show), build_id, link, &folders)
            .into_iter()
            .map(|place| place.open.display().to_string())
            .collect()
    }

    #[test]
    fn build_id_then_link() {
        let id = Some("abcdef0123456789");
        let expected = [
            "/usr/lib/debug/.build-id/ab/cdef0123456789.debug",
            "/srv/symbols/.build-id/ab/cdef0123456789.debug",
            "/opt/app/app.dbg",
            "/opt/app/.debug/app.dbg",
            "/usr/lib/debug/opt/app/app.dbg",
            "/usr/lib/debug/app.dbg",
            "/srv/symbols/opt/app/app.dbg",
            "/srv/symbols/app.dbg",
        ];
        let path = "/opt/app/app";
        assert_eq!(shown(path, path, id, Some("app.dbg")), expected);
    }

    #[test]
    fn containers_have_files_of_their_own() {
        let found = shown("/proc/42/root/app", "/app", None, Some("app.dbg"));
        assert_eq!(found[0], "/proc/42/root/app.dbg");
        assert_eq!(found[1], "/app.dbg");
        let deleted = shown("/proc/42/exe", "/bin/app", Some("abcdef01"), None);
        let expected = "/proc/42/root/usr/lib/debug/.build-id/ab/cdef01.debug";
        assert_eq!(deleted[0], expected);
        assert_eq!(shown("/proc/self/exe", "/app", None, Some("x"))[0], "/x");
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["../../etc/shadow", "/dev/watchdog", "..", ".", "", "a\0b"] {
            assert!(
                shown("/app", "/app", None, Some(name)).is_empty(),
                "{name:?}"
            );
        }
        for id in ["", "ab", "../../etc", "abcdefg/h"] {
            assert!(shown("/app", "/app", Some(id), None).is_empty(), "{id:?}");
        }
    }
}
