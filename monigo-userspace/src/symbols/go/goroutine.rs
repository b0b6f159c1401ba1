//! How the runtime of a Go program keeps its goroutines in memory.

use std::collections::{BTreeSet, HashMap};

use iced_x86::{Decoder, DecoderOptions};

use super::super::{Function, Image, Machine, dwarf, elf};

/// Offsets in `runtime.g` on 64-bit machines, bytes. `stack` is at 0 in all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoroutineLayout {
    /// `sched`, which begins with `sp`, `pc` and `g` in all versions.
    pub sched: u32,
    /// `syscallsp`, and right behind it `syscallpc`.
    pub syscall_sp: u32,
    /// `atomicstatus`.
    pub status: u32,
    /// `goid`.
    pub goid: u32,
    /// `waitsince`.
    pub wait_since: u32,
    /// `waitreason`, one byte.
    pub wait_reason: u32,
    /// `gopc`: behind the `go` statement.
    pub go_pc: Option<u32>,
    /// `startpc`: what the goroutine runs.
    pub start_pc: Option<u32>,
}

impl GoroutineLayout {
    /// Bytes from the start of a `runtime.g` to the end of the last field that is read.
    pub fn bytes(&self) -> usize {
        let words = [
            self.sched + 16,
            self.syscall_sp + 8,
            self.status,
            self.goid,
            self.wait_since,
            self.wait_reason,
            self.go_pc.unwrap_or(0),
            self.start_pc.unwrap_or(0),
        ];
        words.into_iter().max().unwrap_or(0) as usize + 8
    }
}

/// Why goroutines of a program cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoroutineError {
    /// No table has this version, and there is no DWARF.
    #[error(
        "goroutines of {version} cannot be read: monigo does not know how this version keeps them, and the program has no DWARF that tells; build it without -ldflags=-w, or use a newer monigo"
    )]
    UnknownVersion {
        /// As the tool chain spells it, or "an unknown version of Go".
        version: String,
    },
    /// The list is nowhere to be found.
    #[error(
        "goroutines cannot be read: the program has no symbols, and the list of its goroutines was not found in its code; build it without -ldflags=-s"
    )]
    NoList,
}

/// The layout that DWARF tells, or else that of the version.
pub fn layout(image: &Image) -> Result<GoroutineLayout, GoroutineError> {
    let go = image.go();
    let known = || known_layout(go.and_then(|go| go.minor)?);
    layout_from_dwarf(image).or_else(known).ok_or_else(|| {
        let version = go.map_or("", |go| go.version.as_str());
        GoroutineError::UnknownVersion {
            version: if version.is_empty() {
                "an unknown version of Go".to_owned()
            } else {
                version.to_owned()
            },
        }
    })
}

/// What DWARF tells.
pub(super) fn layout_from_dwarf(image: &Image) -> Option<GoroutineLayout> {
    let members = dwarf::go_members(image, "runtime.g")?;
    let offset = |name: &str| members.get(name).copied();
    Some(GoroutineLayout {
        sched: offset("sched")?,
        syscall_sp: offset("syscallsp")?,
        status: offset("atomicstatus")?,
        goid: offset("goid")?,
        wait_since: offset("waitsince")?,
        wait_reason: offset("waitreason")?,
        go_pc: offset("gopc"),
        start_pc: offset("startpc"),
    })
}

/// As DWARF of releases of 1.19 and 1.21 to 1.27 tells. Whoever uses it checks what is read: ids,
/// states, bounds, and the goroutine's own address in `sched.g`.
pub(super) fn known_layout(minor: u32) -> Option<GoroutineLayout> {
    let old = |places: Option<(u32, u32)>| GoroutineLayout {
        sched: 56,
        syscall_sp: 112,
        status: 144,
        goid: 152,
        wait_since: 168,
        wait_reason: 176,
        go_pc: places.map(|(go, _)| go),
        start_pc: places.map(|(_, start)| start),
    };
    let middle = |places| GoroutineLayout {
        status: 152,
        goid: 160,
        wait_since: 176,
        wait_reason: 184,
        ..old(places)
    };
    let new = |places| GoroutineLayout {
        syscall_sp: 104,
        ..old(places)
    };
    Some(match minor {
        // The fields that lie further back have moved within these versions.
        17 | 18 | 20 => old(None),
        19 => old(Some((296, 312))),
        21 | 22 => old(Some((280, 296))),
        23 | 24 => middle(Some((288, 304))),
        25 => new(Some((280, 296))),
        26 | 27 => new(Some((288, 304))),
        _ => return None,
    })
}

/// Addresses where the slice `runtime.allgs` may be: its symbol, or what the function that
/// appends to it refers to.
pub fn list_candidates(image: &Image) -> Result<Vec<u64>, GoroutineError> {
    if let Some(address) = elf::symbol_address(image, "runtime.allgs") {
        return Ok(vec![address]);
    }
    let candidates = references(image, "runtime.allgadd");
    if candidates.is_empty() {
        return Err(GoroutineError::NoList);
    }
    Ok(candidates.into_iter().collect())
}

/// Data that a function refers to relative to its instructions. x86-64 only.
fn references(image: &Image, function: &str) -> BTreeSet<u64> {
    let functions = image.functions().iter();
    let found = functions
        .filter(|_| image.machine() == Machine::X86_64)
        .find(|it| it.linkage_names().any(|name| name == function));
    let code = |function: &Function| {
        let range = function.ranges.first()?.clone();
        Some((range.start, image.code(range)?))
    };
    let Some((start, code)) = found.and_then(code) else {
        return BTreeSet::new();
    };
    Decoder::with_ip(64, code, start, DecoderOptions::NONE)
        .into_iter()
        .filter(iced_x86::Instruction::is_ip_rel_memory_operand)
        .map(|instruction| instruction.ip_rel_memory_address())
        .filter(|address| !image.is_code(*address))
        .collect()
}

/// What a stack walk needs to know of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeSpot {
    /// Bytes that the function has put on the stack when it is there.
    pub frame_bytes: u64,
    /// Every goroutine's stack ends in this function.
    pub outermost: bool,
    /// It is the function's first instruction.
    pub at_entry: bool,
}

/// What the function table says of the instruction at `vaddr`; for a return address, it is the
/// one that is returned to.
pub fn code_spot(image: &Image, vaddr: u64) -> Option<CodeSpot> {
    let table = image.go_table()?;
    let (name, entry, bytes) = table.frame_size(image, vaddr)?;
    Some(CodeSpot {
        frame_bytes: u64::try_from(bytes).ok()?,
        outermost: name == "runtime.goexit",
        at_entry: entry == vaddr,
    })
}

/// Name of the function with code at `vaddr`, as the function table has it.
pub fn function_name(image: &Image, vaddr: u64) -> Option<&str> {
    image.go_table()?.name_at(image, vaddr)
}

/// Whether a goroutine that began in this function is the runtime's own, as `runtime.NumGoroutine`
/// sees it.
pub fn is_system(start_function: &str) -> bool {
    let users = [
        "runtime.main",
        "runtime.handleAsyncEvent",
        "runtime.corostart",
    ];
    start_function.starts_with("runtime.") && !users.contains(&start_function)
}

/// Address of a variable of the runtime, and the offsets of the members of its type.
pub fn variable(image: &Image, name: &str, structure: &str) -> Option<(u64, HashMap<String, u32>)> {
    let address = elf::symbol_address(image, name)?;
    Some((address, dwarf::go_members(image, structure)?))
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{Image, tests::samples},
        *,
    };

    #[test]
    fn every_version_from_1_17_to_1_27_has_a_layout() {
        for minor in 17..=27 {
            let layout = known_layout(minor).unwrap();
            assert!(layout.bytes() <= 512, "{minor}");
            assert_eq!(
                Some(layout.goid),
                super::super::known_goid_offset(minor),
                "{minor}"
            );
        }
        assert_eq!(known_layout(16), None);
        assert_eq!(known_layout(28), None);
    }

    /// The table against what each tool chain here says of itself.
    #[test]
    fn layouts_are_those_of_dwarf() {
        for toolchain in samples::go_toolchains() {
            let image = Image::open(samples::go(&toolchain, &[])).unwrap();
            let told = layout_from_dwarf(&image).unwrap();
            let known = known_layout(image.go().unwrap().minor.unwrap()).unwrap();
            let known = GoroutineLayout {
                go_pc: known.go_pc.or(told.go_pc),
                start_pc: known.start_pc.or(told.start_pc),
                ..known
            };
            assert_eq!(told, known, "{}", toolchain.display());
            let gobuf = dwarf::go_members(&image, "runtime.gobuf").unwrap();
            assert_eq!((gobuf["sp"], gobuf["pc"], gobuf["g"]), (0, 8, 16));
        }
    }

    #[test]
    fn what_symbols_tell_is_found_without_them() {
        for toolchain in samples::go_toolchains() {
            for mode in ["-buildmode=exe", "-buildmode=pie"] {
                let image = Image::open(samples::go(&toolchain, &[mode])).unwrap();
                let stripped = samples::go(&toolchain, &[mode, "-ldflags=-s -w"]);
                let stripped = Image::open(stripped).unwrap();
                let reasons = super::super::wait_reasons(&image);
                assert!(reasons.iter().any(|reason| reason == "chan receive"));
                assert_eq!(super::super::wait_reasons(&stripped), reasons);
                // Stripping moves data, so the list itself may be elsewhere.
                let candidates = list_candidates(&stripped).unwrap();
                assert!((1..=16).contains(&candidates.len()), "{candidates:x?}");
                assert_eq!(list_candidates(&image).unwrap().len(), 1);
                assert_eq!(
                    references(&image, "runtime.allgadd")
                        .contains(&list_candidates(&image).unwrap()[0]),
                    image.machine() == Machine::X86_64
                );
                let layouts = [&image, &stripped].map(|image| layout(image).unwrap());
                assert_eq!(layouts[0].goid, layouts[1].goid);
            }
        }
    }

    #[test]
    fn goroutines_of_the_runtime() {
        assert!(is_system("runtime.bgsweep"));
        assert!(!is_system("runtime.main"));
        assert!(!is_system("main.main.func1"));
        assert!(!is_system("runtimes.work"));
    }
}
