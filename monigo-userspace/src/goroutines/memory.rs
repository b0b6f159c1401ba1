//! Memory of another process, copied without stopping it.

use std::io::IoSliceMut;

use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

/// Pieces that the kernel takes in one call.
const MOST_PIECES: usize = 1024;

/// The memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pid: Pid,
}

impl Memory {
    /// Of process `pid`; `None` for ids that no process has.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0)?;
        Some(Self {
            pid: Pid::from_raw(pid),
        })
    }

    /// Fills `bytes` from `address` on.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> nix::Result<()> {
        let remote = RemoteIoVec {
            base: usize::try_from(address).map_err(|_| nix::Error::EFAULT)?,
            len: bytes.len(),
        };
        let length = bytes.len();
        let read = process_vm_readv(self.pid, &mut [IoSliceMut::new(bytes)], &[remote])?;
        if read == length {
            Ok(())
        } else {
            Err(nix::Error::EFAULT)
        }
    }

    /// The word at `address`.
    pub fn word(&self, address: u64) -> nix::Result<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Copies many pieces, each an address and a length, with few system calls. What cannot be read
    /// is `None`. Fails only if the process is gone or may not be read.
    pub fn read_many(&self, pieces: &[(u64, usize)]) -> nix::Result<Vec<Option<Box<[u8]>>>> {
        let mut results = Vec::with_capacity(pieces.len());
        let mut rest = pieces;
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(MOST_PIECES)];
            let remote: Vec<RemoteIoVec> = batch
                .iter()
                .map(|(address, length)| RemoteIoVec {
                    base: usize::try_from(*address).unwrap_or(usize::MAX),
                    len: *length,
                })
                .collect();
            let mut bytes = vec![0; batch.iter().map(|(_, length)| length).sum()];
            let local = &mut [IoSliceMut::new(&mut bytes)];
            let mut read = match process_vm_readv(self.pid, local, &remote) {
                Ok(read) => read,
                // The very first piece.
                Err(nix::Error::EFAULT) => 0,
                Err(error) => return Err(error),
            };
            let mut at = 0;
            let mut taken = 0;
            for (_, length) in batch {
                if read < *length {
                    break;
                }
                results.push(Some(bytes[at..at + length].into()));
                at += length;
                read -= length;
                taken += 1;
            }
            if taken < batch.len() {
                // The kernel stops at a piece that is not there.
                results.push(None);
                taken += 1;
            }
            rest = &rest[taken..];
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_and_holes_in_it() {
        let memory = Memory::of(std::process::id()).unwrap();
        let words = [1_u64, 2, 3];
        let at = |index: usize| std::ptr::from_ref(&words[index]) as u64;
        assert_eq!(memory.word(at(1)), Ok(2));
        assert_eq!(memory.word(16), Err(nix::Error::EFAULT));
        let pieces = [(16, 8), (at(0), 8), (24, 8), (32, 8), (at(2), 8)];
        let read = memory.read_many(&pieces).unwrap();
        let expected = [None, Some(1_u64), None, None, Some(3)];
        for (read, expected) in read.iter().zip(expected) {
            assert_eq!(
                read.as_deref(),
                expected
                    .map(u64::to_le_bytes)
                    .as_ref()
                    .map(<[u8; 8]>::as_slice)
            );
        }
    }

    #[test]
    fn more_pieces_than_one_call_takes() {
        let memory = Memory::of(std::process::id()).unwrap();
        let words: Vec<u64> = (0..3_000).collect();
        let pieces: Vec<(u64, usize)> = words
            .iter()
            .map(|word| (std::ptr::from_ref(word) as u64, 8))
            .collect();
        let read = memory.read_many(&pieces).unwrap();
        for (word, read) in words.iter().zip(read) {
            assert_eq!(read.as_deref(), Some(word.to_le_bytes().as_slice()));
        }
    }

    #[test]
    fn a_process_that_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let memory = Memory::of(pid).unwrap();
        assert!(memory.read_many(&[(16, 8)]).is_err());
        assert!(Memory::of(0).is_none());
    }
}
