//! Debug information that is kept apart from the image it belongs to.
//!
//! Distributions strip programs and put symbol table and DWARF into a file of their own. It is found
//! by the image's build id or by the name in `.gnu_debuglink`, and believed only if it proves to be
//! of this very build: an address looked up in another build's symbols gets a wrong name, and a
//! probe there would be planted in the middle of an instruction.

mod file;
mod places;
pub mod remote;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, RwLock},
};

use object::Object as _;

pub(super) use self::file::DebugFile;
use self::{file::Rejection, places::Identity, remote::Remote};
use super::{Image, cache::Cache};

/// Where distributions keep debug files.
pub const SYSTEM_FOLDER: &str = "/usr/lib/debug";

/// Where debug files are looked for.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Folders laid out as [`SYSTEM_FOLDER`], in the order in which they are searched.
    pub folders: Vec<PathBuf>,
    /// Servers to ask for what no folder has.
    pub remote: Option<Arc<Remote>>,
    /// Where function lists of large images are kept.
    pub cache: Option<Cache>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            folders: vec![PathBuf::from(SYSTEM_FOLDER)],
            remote: None,
            cache: None,
        }
    }
}

static SOURCES: OnceLock<RwLock<Arc<Sources>>> = OnceLock::new();

impl Sources {
    /// Makes these the ones of every image that is opened from now on.
    pub fn install(self) {
        let place = SOURCES.get_or_init(RwLock::default);
        let mut current = place
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *current = Arc::new(self);
    }

    /// Those of this process.
    pub(super) fn current() -> Arc<Self> {
        let place = SOURCES.get_or_init(RwLock::default);
        place
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// What the search for an image's debug file came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The file.
    pub file: Option<DebugFile>,
    /// Why files that were found are not used, and why none could be fetched; sentences.
    pub remarks: Vec<String>,
}

/// Looks for the debug file of `image`, on the disk and then on the network.
pub(super) fn search(image: &Image, sources: &Sources) -> Found {
    let mut found = Found::default();
    let Some(elf) = image.elf() else { return found };
    let link = elf.gnu_debuglink().ok().flatten();
    let link = link.and_then(|(name, crc)| Some((std::str::from_utf8(name).ok()?, crc)));
    let places = places::places(
        image.open_path(),
        image.path(),
        image.build_id(),
        link,
        &sources.folders,
    );
    let wanted = places::Wanted {
        build_id: image.build_id(),
        image: image.path(),
    };
    for place in places {
        // Not its own: a link can name the file that it is in.
        if super::ImageId::of(&place.open).is_ok_and(|id| id == image.id()) {
            continue;
        }
        match DebugFile::open(&place.open, &place.show).and_then(|mut file| {
            file.check(&wanted, &place.identity)?;
            file.add_supplement(&sources.folders);
            Ok(file)
        }) {
            Ok(file) => {
                tracing::info!(
                    "{}: symbols of {}",
                    wanted.image.display(),
                    place.show.display()
                );
                found.remarks.clear();
                found.file = Some(file);
                return found;
            }
            Err(Rejection::Absent) => {}
            Err(rejection) => found.remarks.push(rejection.sentence(&place.show, &wanted)),
        }
    }
    if let (Some(remote), Some(build_id)) = (&sources.remote, image.build_id()) {
        fetch(remote, build_id, &wanted, sources, &mut found);
    }
    found
}

fn fetch(
    remote: &Remote,
    build_id: &str,
    wanted: &places::Wanted<'_>,
    sources: &Sources,
    found: &mut Found,
) {
    let opened = match remote.debug_file(build_id) {
        Ok(Some(path)) => DebugFile::open(&path, &path).and_then(|mut file| {
            file.check(wanted, &Identity::BuildId)?;
            file.add_supplement(&sources.folders);
            Ok((path, file))
        }),
        Ok(None) => return,
        Err(error) => {
            found
                .remarks
                .push(format!("{}: {error}", wanted.image.display()));
            return;
        }
    };
    match opened {
        Ok((path, file)) => {
            tracing::info!("{}: symbols of {}", wanted.image.display(), path.display());
            found.remarks.clear();
            found.file = Some(file);
        }
        Err(rejection) => {
            let show = Path::new("the file from the debuginfod server");
            found.remarks.push(rejection.sentence(show, wanted));
        }
    }
}

#[cfg(test)]
mod tests;
