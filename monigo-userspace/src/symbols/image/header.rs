//! What the first bytes of a file say: whether it is a program, and of which machine.

use std::path::Path;

use object::elf as abi;

use super::super::{ImageError, error::describe};

/// Instruction sets that monigo reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// arm64.
    Arm64,
}

impl Machine {
    /// The one that this monigo runs on, and traces.
    pub const HOST: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm64
    } else {
        Self::X86_64
    };

    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        }
    }

    const fn of(machine: abi::Machine) -> Option<Self> {
        match machine {
            abi::EM_X86_64 => Some(Self::X86_64),
            abi::EM_AARCH64 => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// Refuses what is no 64-bit ELF program of a machine that monigo knows, saying what it is.
pub(super) fn check_header(data: &[u8], show_path: &Path) -> Result<Machine, ImageError> {
    let path = || show_path.to_path_buf();
    if let Some(line) = data.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
        let line = String::from_utf8_lossy(&line[..line.len().min(256)]);
        let mut words = line.split_whitespace();
        let mut interpreter = words.next().unwrap_or("its interpreter");
        if interpreter.ends_with("/env") {
            interpreter = words
                .find(|word| !word.starts_with('-') && !word.contains('='))
                .unwrap_or(interpreter);
        }
        return Err(ImageError::Script {
            path: path(),
            interpreter: interpreter.to_owned(),
        });
    }
    if !data.starts_with(b"\x7fELF") {
        return Err(ImageError::NotElf {
            path: path(),
            what: describe(data),
        });
    }
    let short = || ImageError::Malformed {
        path: path(),
        reason: "its header is cut short".to_owned(),
    };
    let (class, order) = (
        *data.get(4).ok_or_else(short)?,
        *data.get(5).ok_or_else(short)?,
    );
    let half = |at: usize| -> Option<u16> {
        let bytes: [u8; 2] = data.get(at..at + 2)?.try_into().ok()?;
        Some(if order == 2 {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    };
    let file_type = half(16).ok_or_else(short)?;
    let machine = abi::Machine(half(18).ok_or_else(short)?);
    match class {
        1 => {
            return Err(ImageError::Bits32 {
                path: path(),
                found: machine_name(machine),
                host: Machine::HOST.name(),
            });
        }
        2 => {}
        other => {
            return Err(ImageError::Malformed {
                path: path(),
                reason: format!("its header says class {other}"),
            });
        }
    }
    let known = Machine::of(machine).filter(|_| order != 2);
    let known = known.ok_or_else(|| ImageError::Architecture {
        path: path(),
        found: machine_name(machine),
        host: Machine::HOST.name(),
        hint: "",
    })?;
    match abi::FileType(file_type) {
        abi::ET_EXEC | abi::ET_DYN => Ok(known),
        abi::ET_REL => Err(ImageError::Relocatable { path: path() }),
        abi::ET_CORE => Err(ImageError::Core { path: path() }),
        other => Err(ImageError::Malformed {
            path: path(),
            reason: format!("its header says file type {}", other.0),
        }),
    }
}

fn machine_name(machine: abi::Machine) -> String {
    let name = match machine {
        abi::EM_386 => "x86",
        abi::EM_X86_64 => "x86-64",
        abi::EM_ARM => "arm",
        abi::EM_AARCH64 => "arm64",
        abi::EM_RISCV => "riscv",
        abi::EM_PPC => "powerpc",
        abi::EM_PPC64 => "powerpc64",
        abi::EM_S390 => "s390x",
        abi::EM_MIPS => "mips",
        abi::EM_LOONGARCH => "loongarch",
        abi::EM_SPARCV9 => "sparc64",
        abi::EM_BPF => "bpf",
        other => return format!("machine {}", other.0),
    };
    name.to_owned()
}
