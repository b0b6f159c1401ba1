//! Opening files that somebody else may have put there.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{
            DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
        },
    },
    path::Path,
};

/// Opens a regular file for reading. What is something else is not opened at all: opening a pipe
/// waits for its other end, and opening some devices does something.
pub(super) fn open_regular(path: &Path, follow: bool) -> io::Result<(File, Metadata)> {
    let no_follow = if follow { 0 } else { libc::O_NOFOLLOW };
    // The flags of `O_PATH` stand for "do not open": only the name is looked up.
    let name = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC | no_follow)
        .open(path)?;
    let metadata = name.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = File::open(format!("/proc/self/fd/{}", name.as_raw_fd()))?;
    Ok((file, metadata))
}

/// Makes a folder that only this user may look into. One that belongs to somebody else, or that others
/// may write to, is refused.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() || metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Opens a regular file that this user has written, and that nobody else may write.
pub(super) fn open_own(path: &Path) -> Option<File> {
    let (file, metadata) = open_regular(path, false).ok()?;
    let own = metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    own.then_some(file)
}
