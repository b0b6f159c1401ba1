//! The file beside a database that keeps batches until they are in its tables: should this process be killed,
//! whoever opens the database next puts them there.
//!
//! The file starts with [`MAGIC`], then come records: length and CRC-32 of what follows (`u32`, little-endian),
//! then a batch with its place in [postcard](https://postcard.jamesmunns.com)'s format. A record that is cut off
//! or damaged ends what can be read. It is not synced: what a host that fails had not written is lost.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::rows::Flush;

/// Its last byte grows when [`Flush`] or what it holds gets another format.
const MAGIC: [u8; 8] = *b"monigo\0\x01";
const HEAD_BYTES: usize = 8;

/// A journal that is written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    /// Length of the file, bytes.
    length: u64,
}

impl Journal {
    /// Of the database at `database`. The file comes with the first batch.
    pub fn new(database: &Path) -> Self {
        Self {
            path: path(database),
            file: None,
            length: 0,
        }
    }

    /// Adds a batch: all of it, or nothing.
    pub fn append(&mut self, flush: &Flush<'_>) -> io::Result<()> {
        let payload = postcard::to_stdvec(flush).map_err(io::Error::other)?;
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(HEAD_BYTES + payload.len());
        record.extend(length.to_le_bytes());
        record.extend(crc32fast::hash(&payload).to_le_bytes());
        record.extend(payload);
        let length = self.length;
        let file = self.open()?;
        if let Err(error) = file.write_all(&record) {
            // Those that come next must not lie behind a part of it.
            file.set_len(length)?;
            return Err(error);
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Empties it: the tables have the batches.
    pub fn clear(&mut self) {
        let Some(file) = &mut self.file else {
            return;
        };
        self.length = MAGIC.len() as u64;
        if let Err(error) = file.set_len(self.length) {
            // Whoever reads it finds the batches in the tables.
            tracing::debug!(%error, "the journal could not be emptied");
            self.file = None;
        }
    }

    /// Deletes it: nothing more is to come.
    pub fn delete(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "the journal could not be deleted");
        }
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if let Some(file) = self.file.take() {
            return Ok(self.file.insert(file));
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.path)?;
        file.set_len(0)?;
        file.write_all(&MAGIC)?;
        self.length = MAGIC.len() as u64;
        Ok(self.file.insert(file))
    }
}

/// The journal of a database.
pub(crate) fn path(database: &Path) -> PathBuf {
    let mut journal = database.as_os_str().to_owned();
    journal.push(".held");
    journal.into()
}

/// Whether a database has a journal with something in it.
pub(super) fn is_left(database: &Path) -> bool {
    fs::metadata(path(database)).is_ok_and(|file| file.len() > MAGIC.len() as u64)
}

/// What the journal of a database holds; nothing if there is none.
pub(super) fn read(database: &Path) -> io::Result<Vec<Flush<'static>>> {
    match fs::read(path(database)) {
        Ok(bytes) => Ok(records(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Deletes the journal that another process has left.
pub(super) fn remove(database: &Path) -> io::Result<()> {
    match fs::remove_file(path(database)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn records(bytes: &[u8]) -> Vec<Flush<'static>> {
    let Some(mut rest) = bytes.strip_prefix(&MAGIC) else {
        return Vec::new();
    };
    let mut flushes = Vec::new();
    while let Some((flush, after)) = record(rest) {
        flushes.push(flush);
        rest = after;
    }
    flushes
}

/// The first record, and what comes after it.
fn record(bytes: &[u8]) -> Option<(Flush<'static>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*checksum) {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, rest))
}
