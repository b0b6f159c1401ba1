//! Why a file could not be opened as an image.

use std::{io, path::PathBuf};

/// Why a file could not be opened as an image. Each message ends with the next step.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Nothing at that path.
    #[error(
        "{}: no such file; check the path, or give the PID or the name of a running process",
        path.display()
    )]
    NotFound {
        /// As given.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error("{}: permission denied; run monigo as root, or as a user who may read it", path.display())]
    Permission {
        /// As given.
        path: PathBuf,
    },
    /// A directory.
    #[error("{}: is a directory; give the path of an executable or library in it", path.display())]
    Directory {
        /// As given.
        path: PathBuf,
    },
    /// A device, pipe or socket.
    #[error("{}: is not a regular file; give the path of an executable or library", path.display())]
    NotRegular {
        /// As given.
        path: PathBuf,
    },
    /// No bytes at all.
    #[error("{}: is empty; give the path of an executable or library", path.display())]
    Empty {
        /// As given.
        path: PathBuf,
    },
    /// A script with a `#!` line: the code that runs is its interpreter's.
    #[error(
        "{}: is a script, run by {interpreter}; monigo traces compiled code: give the path of \
         {interpreter} to trace the interpreter itself, or of the program that the script starts",
        path.display()
    )]
    Script {
        /// As given.
        path: PathBuf,
        /// First word of the `#!` line.
        interpreter: String,
    },
    /// Some other kind of file.
    #[error(
        "{}: is not an ELF executable or library (it looks like {what}); give the path of a \
         compiled Linux program",
        path.display()
    )]
    NotElf {
        /// As given.
        path: PathBuf,
        /// What its first bytes say.
        what: &'static str,
    },
    /// ELF of 32 bits.
    #[error(
        "{}: is a 32-bit {found} program; monigo traces 64-bit {host} programs: build it for {host}",
        path.display()
    )]
    Bits32 {
        /// As given.
        path: PathBuf,
        /// Its architecture.
        found: String,
        /// What this monigo traces.
        host: &'static str,
    },
    /// ELF for another machine.
    #[error(
        "{}: is built for {found}, and this host is {host}; build it for {host} to trace it{hint}",
        path.display()
    )]
    Architecture {
        /// As given.
        path: PathBuf,
        /// Its architecture.
        found: String,
        /// What this monigo traces.
        host: &'static str,
        /// What can be done with it all the same; may be empty.
        hint: &'static str,
    },
    /// A `.o` file, or a kernel module.
    #[error(
        "{}: is a relocatable object file, which does not run by itself; give the executable or \
         library that it is linked into",
        path.display()
    )]
    Relocatable {
        /// As given.
        path: PathBuf,
    },
    /// A core dump.
    #[error("{}: is a core dump; give the path of the program that dumped it", path.display())]
    Core {
        /// As given.
        path: PathBuf,
    },
    /// ELF by its first bytes, but inconsistent.
    #[error(
        "{}: is a damaged ELF file ({reason}); build or copy it again",
        path.display()
    )]
    Malformed {
        /// As given.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Any other failure of the system.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// As given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl ImageError {
    pub(super) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound { path },
            io::ErrorKind::PermissionDenied => Self::Permission { path },
            _ => Self::Io { path, source },
        }
    }
}

/// What a file that is no ELF file looks like.
pub(super) fn describe(data: &[u8]) -> &'static str {
    let known: [(&[u8], &str); 14] = [
        (b"MZ", "a Windows program"),
        (b"\xcf\xfa\xed\xfe", "a macOS program"),
        (b"\xca\xfe\xba\xbe", "a Java class or a macOS program"),
        (b"\0asm", "WebAssembly"),
        (b"!<arch>\n", "a static library"),
        (b"PK\x03\x04", "a zip or jar archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"BZh", "a bzip2 archive"),
        (b"\xfd7zXZ\0", "an xz archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"%PDF", "a PDF document"),
        (b"\x89PNG", "an image"),
        (b"BC\xc0\xde", "LLVM bitcode"),
        (b"perf", "a perf recording"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| data.starts_with(magic)) {
        return what;
    }
    let head = &data[..data.len().min(512)];
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b);
    if head.iter().any(control) {
        "binary data"
    } else {
        "text"
    }
}
