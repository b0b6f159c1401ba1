//! Whether return probes are safe in a process.
//!
//! A return probe replaces return addresses on the stack. Whatever walks the stack to unwind it finds
//! the replacement and gives up, which ends the process; whatever switches stacks confuses the
//! kernel's record of pending returns, which ends it too. So return probes are safe only where
//! nothing of the kind can happen, and this module looks for a reason why it could.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind};

use crate::symbols::{Image, ImageId};

/// Functions that unwind, walk or switch stacks, or load code that might.
const DANGEROUS: [&str; 21] = [
    "_Unwind_RaiseException",
    "_Unwind_Resume",
    "_Unwind_Resume_or_Rethrow",
    "_Unwind_ForcedUnwind",
    "_Unwind_Backtrace",
    "__cxa_throw",
    "__gxx_personality_v0",
    "__gcc_personality_v0",
    "rust_eh_personality",
    "pthread_exit",
    "pthread_cancel",
    "thrd_exit",
    "backtrace",
    "dlopen",
    "dlmopen",
    "swapcontext",
    "setcontext",
    "makecontext",
    "sigaltstack",
    "clone",
    "__morestack",
];

/// Parts of the C library: they define such functions, and use them only when asked to.
const TRUSTED: [&str; 11] = [
    "libc.so",
    "libc-",
    "ld-linux",
    "ld-musl",
    "ld-2.",
    "libm.so",
    "libm-",
    "libpthread",
    "librt.so",
    "librt-",
    "libdl",
];

/// Why return probes in `image` could harm a process that runs it; `None` when they cannot.
/// `pids` are the processes that run it now.
pub fn obstacle(image: &Image, pids: &[u32]) -> Option<String> {
    if pids.is_empty() {
        return Some("no process runs yet, so its libraries are not known".to_owned());
    }
    let mut files = BTreeSet::from([image.open_path().to_owned()]);
    for &pid in pids {
        if let Some(reason) = of_status(pid) {
            return Some(reason);
        }
        match mapped_code(pid) {
            Ok(mapped) => files.extend(mapped),
            Err(reason) => return Some(reason),
        }
    }
    // The image itself is mapped, too, and so are libraries in each process.
    let mut looked = HashSet::new();
    let mut files = files.iter();
    files.find_map(|file| {
        let known = ImageId::of(file).is_ok_and(|id| !looked.insert(id));
        (!known).then(|| of_file(file)).flatten()
    })
}

/// Settings of a process under which the kernel ends it at a return probe.
fn of_status(pid: u32) -> Option<String> {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return Some(format!("process {pid} cannot be looked at"));
    };
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line[name.len()..].trim_start_matches(':').trim().to_owned())
    };
    if field("Seccomp").is_some_and(|mode| mode != "0") {
        return Some(format!("process {pid} runs under a seccomp filter"));
    }
    field("x86_Thread_features")
        .filter(|features| features.contains("shstk"))
        .map(|_| format!("process {pid} has a shadow stack"))
}

/// Files that a process has mapped as code, except for the C library's.
fn mapped_code(pid: u32) -> Result<BTreeSet<PathBuf>, String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))
        .map_err(|error| format!("the memory map of process {pid} cannot be read: {error}"))?;
    let mut files = BTreeSet::new();
    for line in maps.lines() {
        let mut fields = line.splitn(6, ' ');
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
            continue;
        };
        if !rights.contains('x') {
            continue;
        }
        let path = fields.nth(3).unwrap_or("").trim();
        match path {
            "[vdso]" | "[vsyscall]" | "[uprobes]" | "[uprobes-trampoline]" => {}
            path if path.starts_with('/') => {
                let name = Path::new(path).file_name().unwrap_or_default();
                let name = name.to_string_lossy();
                if !TRUSTED.iter().any(|trusted| name.starts_with(trusted)) {
                    // By the mapping, which is right in other mount namespaces and after deletion.
                    files.insert(map_file(pid, range));
                }
            }
            _ => return Err(format!("process {pid} makes code as it runs")),
        }
    }
    Ok(files)
}

/// The link to what is mapped at `range`, as `/proc/PID/maps` writes it.
fn map_file(pid: u32, range: &str) -> PathBuf {
    // Unlike there, short addresses have no zeros in front here.
    let short: Vec<&str> = range
        .split('-')
        .map(|address| address.trim_start_matches('0'))
        .collect();
    PathBuf::from(format!("/proc/{pid}/map_files/{}", short.join("-")))
}

/// What in a file speaks against return probes.
fn of_file(path: &Path) -> Option<String> {
    let shown = || {
        let link = fs::read_link(path).unwrap_or_else(|_| path.to_owned());
        link.display().to_string()
    };
    // SAFETY: the mapping is private and read-only, and lasts as long as this function. Who
    // truncates the file in place meanwhile can end monigo; that takes write access to a program that runs.
    let bytes = fs::File::open(path).and_then(|file| unsafe { memmap2::Mmap::map(&file) });
    let Ok(bytes) = bytes else {
        return Some(format!("{} cannot be read", shown()));
    };
    let Ok(file) = object::File::parse(&*bytes) else {
        return Some(format!("{} is no ELF file", shown()));
    };
    let symbols = || file.dynamic_symbols().chain(file.symbols());
    if symbols().next().is_none() {
        return Some(format!("{} has no symbols to look at", shown()));
    }
    let dangerous = symbols()
        .filter_map(|symbol| symbol.name().ok())
        .map(|name| name.split('@').next().unwrap_or(name))
        .find(|name| DANGEROUS.contains(name));
    if let Some(name) = dangerous {
        return Some(format!("{} uses {name}", shown()));
    }
    let mut starts: Vec<u64> = symbols().map(|symbol| symbol.address()).collect();
    starts.sort_unstable();
    starts.dedup();
    file.sections().find_map(|section| {
        if section.kind() != SectionKind::Text {
            return None;
        }
        let code = section.data().ok()?;
        let address = find_stack_switch(code, section.address(), &starts)?;
        Some(format!("{} switches stacks at {address:#x}", shown()))
    })
}

/// As [`stack_switch`], but decodes only those pieces of the code that may hold such an instruction:
/// decoding 50 MB takes most of a second. `starts` are addresses at which pieces begin, ascending.
fn find_stack_switch(code: &[u8], address: u64, starts: &[u64]) -> Option<u64> {
    /// Bytes that are looked at together, without a branch for each.
    const BLOCK: usize = 256;
    let byte = |place: usize| code.get(place).copied().unwrap_or(0);
    let mut decoded = 0;
    for from in (0..code.len()).step_by(BLOCK) {
        let to = code.len().min(from + BLOCK);
        // One byte on either side belongs to it.
        if from > 0 && to < code.len() {
            let places = code[from - 1..=to].windows(3);
            let may = |found, place: &[u8]| found | may_begin(place[0], place[1], place[2]);
            if !places.fold(false, may) {
                continue;
            }
        }
        for place in from..to {
            let before = place.checked_sub(1).map_or(0, byte);
            if place < decoded || !may_begin(before, byte(place), byte(place + 1)) {
                continue;
            }
            let piece = piece_around(place, code.len(), address, starts);
            decoded = piece.end;
            let begin = address.wrapping_add(piece.start as u64);
            if let Some(found) = stack_switch(&code[piece], begin) {
                return Some(found);
            }
        }
    }
    None
}

/// Between which of `starts` a place in `length` bytes of code from `address` on is.
fn piece_around(place: usize, length: usize, address: u64, starts: &[u64]) -> Range<usize> {
    // A damaged file may say that code ends behind the last address.
    let Some(at) = address.checked_add(place as u64) else {
        return 0..length;
    };
    let next = starts.partition_point(|start| *start <= at);
    let within = |start: &u64| usize::try_from(start.checked_sub(address)?).ok();
    let before = next.checked_sub(1).and_then(|last| starts.get(last));
    let begin = before.and_then(within).unwrap_or(0);
    let end = starts.get(next).and_then(within).unwrap_or(length);
    begin..end.min(length)
}

/// Whether an opcode, between the byte before it and the one behind it, may be of an instruction that
/// [`switches`] tells; it need not be one.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches the compiler looks at many places at a time"
)]
#[inline]
fn may_begin(before: u8, opcode: u8, next: u8) -> bool {
    // What has the stack pointer in the `reg` or, as a register, in the `rm` field.
    let as_reg = next & 0x38 == 0x20;
    let as_rm = next & 0xc7 == 0xc4;
    // The prefix that makes the operand 64 bits wide.
    let wide = before & 0xf8 == 0x48;
    // `mov rsp, rbp` is how frames end.
    let ends_frame = (before == 0x48)
        & (((opcode == 0x89) & (next == 0xec)) | ((opcode == 0x8b) & (next == 0xe5)));
    // pop
    let pop = (opcode == 0x5c) | ((opcode == 0x8f) & as_rm);
    // cmove, cmovne
    let conditional = (before == 0x0f) & (opcode & 0xfe == 0x44) & (as_reg | as_rm);
    // mov of a constant; xchg with rax; mov; lea; xchg
    let other = (opcode == 0xbc)
        | (opcode == 0x94)
        | (((opcode == 0xc7) | (opcode == 0x89)) & as_rm)
        | (((opcode == 0x8b) | (opcode == 0x8d)) & as_reg)
        | ((opcode == 0x87) & (as_reg | as_rm));
    pop | conditional | (wide & other & !ends_frame)
}

/// Address of the first instruction that sets the stack pointer to anything but a place in the
/// same frame.
fn stack_switch(code: &[u8], address: u64) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if switches(&instruction) {
            return Some(instruction.ip());
        }
    }
    None
}

fn switches(instruction: &Instruction) -> bool {
    let writes = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == Register::RSP;
    match instruction.mnemonic() {
        Mnemonic::Mov => writes && !is_register(instruction, 1, Register::RBP),
        Mnemonic::Lea => {
            writes
                && !matches!(
                    instruction.memory_base(),
                    // Compilers keep the frame's place in r10 to align the stack.
                    Register::RBP | Register::RSP | Register::R10
                )
        }
        Mnemonic::Pop | Mnemonic::Xchg | Mnemonic::Cmovne | Mnemonic::Cmove => {
            writes || is_register(instruction, 1, Register::RSP)
        }
        _ => false,
    }
}

fn is_register(instruction: &Instruction, operand: u32, register: Register) -> bool {
    instruction.op_count() > operand
        && instruction.op_kind(operand) == OpKind::Register
        && instruction.op_register(operand) == register
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_and_go_without_a_switch() {
        let code = [
            0x55, // push rbp
            0x48, 0x89, 0xe5, // mov rbp, rsp
            0x48, 0x83, 0xec, 0x20, // sub rsp, 32
            0x48, 0x83, 0xe4, 0xf0, // and rsp, -16
            0x49, 0x8d, 0x62, 0xf8, // lea rsp, [r10-8]
            0x48, 0x89, 0xec, // mov rsp, rbp
            0xc9, // leave
            0xc3, // ret
        ];
        assert_eq!(stack_switch(&code, 0x1000), None);
    }

    #[test]
    fn a_loaded_stack_pointer_is_a_switch() {
        for code in [
            &[0x48, 0x8b, 0x67, 0x08][..], // mov rsp, [rdi+8]
            &[0x48, 0x89, 0xf4],           // mov rsp, rsi
            &[0x48, 0x87, 0xe6],           // xchg rsp, rsi
            &[0x5c],                       // pop rsp
        ] {
            let mut code = code.to_vec();
            code.push(0xc3);
            assert_eq!(stack_switch(&code, 0x10), Some(0x10), "{code:x?}");
        }
    }

    #[test]
    fn only_pieces_that_may_switch_are_decoded() {
        // Every instruction that switches is found.
        let check = |code: &[u8]| {
            assert_eq!(
                find_stack_switch(code, 0, &[]),
                stack_switch(code, 0),
                "{code:x?}"
            );
        };
        for modrm in 0..=0xff_u8 {
            for opcode in [0x89, 0x8b, 0x8d, 0x87, 0x8f, 0xc7] {
                for prefix in [0x48, 0x49, 0x4c, 0x4d] {
                    check(&[prefix, opcode, modrm, 0, 0, 0, 0, 0, 0, 0, 0]);
                }
            }
            for condition in [0x44, 0x45] {
                check(&[0x48, 0x0f, condition, modrm, 0, 0, 0, 0, 0, 0]);
            }
        }
        for code in [
            &[0x5c][..],
            &[0x48, 0xbc, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0x48, 0x94],
        ] {
            assert_eq!(find_stack_switch(code, 0, &[]), Some(0), "{code:x?}");
        }
        // push rbp; mov rbp, rsp; call; mov rsp, rbp; leave; ret
        let plain = [
            0x55, 0x48, 0x89, 0xe5, 0xe8, 0, 0, 0, 0, 0x48, 0x89, 0xec, 0xc9, 0xc3,
        ];
        let mut code = plain.to_vec();
        code.extend([0x48, 0x89, 0xf4, 0xc3]);
        let end = 0x1000 + plain.len() as u64;
        assert_eq!(find_stack_switch(&code, 0x1000, &[0x1000, end]), Some(end));
        assert_eq!(
            find_stack_switch(&plain, 0x1000, &[0x10, 0x1004, 0x5000]),
            None
        );
        assert_eq!(find_stack_switch(&code, 0x1000, &[]), Some(end));
        // Behind the last address there is none.
        let last = u64::MAX - 4;
        let found = find_stack_switch(&code, last, &[0, last, u64::MAX]);
        assert_eq!(found, stack_switch(&code, last));
        // Wherever it is among the bytes that are looked at together.
        for length in 250..520 {
            let mut code = vec![0x90; length];
            let starts = [0x1000, 0x1000 + length as u64];
            assert_eq!(find_stack_switch(&code, 0x1000, &starts), None);
            code.extend([0x48, 0x89, 0xf4, 0xc3]);
            let found = find_stack_switch(&code, 0x1000, &starts);
            assert_eq!(found, Some(starts[1]));
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_left_out_holds_no_switch(
            code in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::num::u8::ANY,
                    proptest::sample::select(vec![0x48, 0x0f, 0x44, 0x89, 0x8b, 0xec, 0xe5, 0x8d]),
                ],
                0..1000,
            ),
        ) {
            let found = find_stack_switch(&code, 0x1000, &[]);
            proptest::prop_assert_eq!(found, stack_switch(&code, 0x1000));
        }
    }

    #[test]
    fn mappings_at_low_addresses_have_files() {
        assert_eq!(
            map_file(7, "00401000-00402000"),
            Path::new("/proc/7/map_files/401000-402000")
        );
    }

    #[test]
    fn this_process_unwinds() {
        let image = Image::open("/proc/self/exe").unwrap();
        let reason = obstacle(&image, &[std::process::id()]).unwrap();
        assert!(reason.contains(" uses "), "{reason}");
        assert!(obstacle(&image, &[]).is_some());
    }
}
