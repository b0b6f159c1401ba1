//! arm64: hand-assembled functions, and libraries where there are some.

use std::{fs, path::Path};

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, SymbolKind};

use super::{C, GO, START};
use crate::plan::{
    Context, CostClass, CostClass::*, Fragments, FunctionCode, Machine, Refusal, Refusal::*,
    SiteKind, SiteKind::*, plan_on,
};

type Expected = Result<(u64, CostClass, Vec<(u64, SiteKind)>), Refusal>;

fn outcome(words: &[u32], go: bool) -> Expected {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let code = [FunctionCode {
        address: START,
        bytes: &bytes,
    }];
    let context = Context {
        go,
        file_offset: &Some,
        fragment: &|_| None,
        read: &|_, _| None,
        landing_pads: &|_| Some(Vec::new()),
    };
    let plan = plan_on(Machine::Arm64, &code, &context)?;
    let exits = plan.exits.iter();
    Ok((
        plan.entry.address - START,
        plan.entry.cost,
        exits
            .map(|site| (site.address - START, site.kind))
            .collect(),
    ))
}

const BTI: u32 = 0xd503_245f;
const PACIASP: u32 = 0xd503_233f;
const AUTIASP: u32 = 0xd503_23bf;
const NOP: u32 = 0xd503_201f;
/// `stp x29, x30, [sp, #-16]!`
const PUSH: u32 = 0xa9bf_7bfd;
/// `ldp x29, x30, [sp], #16`
const POP: u32 = 0xa8c1_7bfd;
/// `mov x29, sp`
const FRAME: u32 = 0x9100_03fd;
const RET: u32 = 0xd65f_03c0;
const RETAA: u32 = 0xd65f_0bff;
/// `bl .+0x1000`
const CALL: u32 = 0x9400_0400;
/// `b .+0x1000`
const LEAVE: u32 = 0x1400_0400;
/// `add x0, x0, #1`
const ADD: u32 = 0x9100_0400;
/// `mov w9, #1`
const SCRATCH: u32 = 0x5280_0029;

/// `b.cond .+words`.
const fn b_cond(condition: u32, words: u32) -> u32 {
    0x5400_0000 | (words & 0x7_ffff) << 5 | condition
}

/// `cbz x0, .+words`.
const fn cbz(words: u32) -> u32 {
    0xb400_0000 | (words & 0x7_ffff) << 5
}

/// `b .-words`.
const fn back(words: u32) -> u32 {
    0x1400_0000 | (words.wrapping_neg() & 0x3ff_ffff)
}

#[test]
fn frame() {
    // Nothing before the frame is simulated: the landing pad is stepped like the rest.
    assert_eq!(
        outcome(&[BTI, PUSH, FRAME, CALL, POP, RET], C),
        Ok((0, SingleStep, vec![(20, Return)]))
    );
    assert_eq!(
        outcome(&[PACIASP, PUSH, FRAME, CALL, POP, AUTIASP, RET], C),
        Ok((0, SingleStep, vec![(24, Return)]))
    );
}

#[test]
fn first_simulated_instruction() {
    assert_eq!(
        outcome(&[BTI, SCRATCH, cbz(2), ADD, RET], C),
        Ok((8, Emulated, vec![(16, Return)]))
    );
    assert_eq!(
        outcome(&[BTI, NOP, PUSH, POP, RET], C),
        Ok((4, Emulated, vec![(16, Return)]))
    );
    // The argument changes first.
    assert_eq!(
        outcome(&[ADD, NOP, RET], C),
        Ok((0, SingleStep, vec![(8, Return)]))
    );
}

#[test]
fn leaf_and_nothing() {
    assert_eq!(
        outcome(&[ADD, RET], C),
        Ok((0, SingleStep, vec![(4, Return)]))
    );
    assert_eq!(outcome(&[RET], C), Err(OnlyReturns));
    assert_eq!(
        outcome(&[LEAVE], C),
        Err(OnlyJumps {
            target: START + 0x1000
        })
    );
    assert_eq!(outcome(&[0, 0], C), Err(Empty));
}

#[test]
fn leaving_jumps() {
    assert_eq!(
        outcome(&[PUSH, POP, LEAVE], C),
        Ok((0, SingleStep, vec![(8, TailJump)]))
    );
    assert_eq!(
        outcome(&[ADD, b_cond(1, 0x400), RET], C),
        Ok((
            0,
            SingleStep,
            vec![(4, ConditionalTailJump { condition: 1 }), (8, Return)]
        ))
    );
    assert_eq!(
        outcome(&[ADD, cbz(0x400), RET], C),
        Err(Unprobeable {
            address: START + 4,
            what: "a test of a register that leaves".to_owned()
        })
    );
    assert_eq!(
        outcome(&[PUSH, LEAVE], C),
        Err(LeavesWithFrame {
            address: START + 4,
            target: START + 0x1004
        })
    );
}

#[test]
fn refusals() {
    assert_eq!(
        outcome(&[PUSH, RET], C),
        Err(OddReturn { address: START + 4 })
    );
    assert_eq!(
        outcome(&[ADD, ADD], C),
        Err(FallsThrough { address: START + 4 })
    );
    assert_eq!(
        outcome(&[ADD, back(1), RET], C),
        Err(LoopsToStart { address: START + 4 })
    );
    assert!(matches!(
        outcome(&[PUSH, POP, RETAA], C),
        Err(Unprobeable { address, .. }) if address == START + 8
    ));
    // `ldr x9, .+8`: a literal among the code.
    assert_eq!(
        outcome(&[0x5800_0049, RET, 1], C),
        Err(Undecodable { address: START + 8 })
    );
    // `ldxr x9, [x0]` cannot be stepped.
    assert!(matches!(
        outcome(&[0xc85f_7c09, RET], C),
        Err(Unprobeable { .. })
    ));
}

#[test]
fn indirect_jumps() {
    // ldr x16, [x16, #8]; br x16: through the procedure linkage table.
    assert_eq!(
        outcome(&[ADD, 0xf940_0610, 0xd61f_0200], C),
        Ok((0, SingleStep, vec![(8, TailJump)]))
    );
    // ldrsw x9, [x10, x9, lsl #2]; add x9, x10, x9; br x9: a jump table.
    assert_eq!(
        outcome(&[ADD, 0xb8a9_7949, 0x8b09_0149, 0xd61f_0120, RET], C),
        Ok((0, SingleStep, vec![(16, Return)]))
    );
    // ldr x9, [x10, x9, lsl #3]; br x9: labels or functions.
    let array = [ADD, 0xf869_7949, 0xd61f_0120, RET];
    assert_eq!(
        outcome(&array, C),
        Err(AmbiguousJump { address: START + 8 })
    );
    assert_eq!(outcome(&array, GO), Ok((0, SingleStep, vec![(12, Return)])));
}

#[test]
fn go_stack_check() {
    // ldr x16, [x28, #16]; cmp sp, x16; b.ls grow; str x30, [sp, #-16]!; ldr x30, [sp], #16; ret;
    // grow: mov x3, x30; bl; b start
    let code = [
        0xf940_0b90,
        0xeb30_63ff,
        b_cond(9, 4),
        0xf81f_0ffe,
        0xf841_07fe,
        RET,
        0xaa1e_03e3,
        CALL,
        back(8),
    ];
    assert_eq!(outcome(&code, GO), Ok((12, SingleStep, vec![(20, Return)])));
    // An unknown check must not be counted twice.
    let mut unknown = code;
    unknown[0] = 0xf940_0f60;
    assert_eq!(outcome(&unknown, GO), Err(GoStackCheck));
}

proptest::proptest! {
    /// Whatever the words, there is an answer, and its sites are instructions of the function.
    #[test]
    fn any_words(words in proptest::collection::vec(proptest::num::u32::ANY, 0..32), go: bool) {
        if let Ok((entry, _, exits)) = outcome(&words, go) {
            let length = words.len() as u64 * 4;
            assert!(entry < length && entry % 4 == 0);
            assert!(exits.iter().all(|(at, _)| *at < length && at % 4 == 0 && *at != entry));
        }
    }
}

/// `ret`, through whichever register.
fn returns(word: &[u8]) -> bool {
    let bits = word.try_into().map_or(0, u32::from_le_bytes);
    bits & 0xffff_fc1f == 0xd65f_0000
}

/// Plans every function of a library; returns planned and refused ones.
fn check(path: &Path) -> (usize, usize) {
    let data = fs::read(path).expect("readable");
    let file = object::File::parse(&*data).expect("an ELF file");
    let file_offset = |address: u64| {
        file.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let delta = address.checked_sub(segment.address())?;
            (delta < size).then_some(offset + delta)
        })
    };
    let read = |address, length: usize| {
        let offset = file_offset(address)? as usize;
        data.get(offset..offset.checked_add(length)?)
    };
    let section = |name| {
        use object::ObjectSection as _;
        let section = file.section_by_name(name)?;
        Some(Fragments::from_eh_frame(
            section.data().ok()?,
            section.address(),
        ))
    };
    let fragments = section(".eh_frame").unwrap_or_default();
    let context = Context {
        go: false,
        file_offset: &file_offset,
        fragment: &|address| fragments.containing(address),
        read: &read,
        landing_pads: &|range| fragments.landing_pads(range, &read),
    };
    let (mut planned, mut refused) = (0, 0);
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        if symbol.kind() != SymbolKind::Text || symbol.size() == 0 || symbol.is_undefined() {
            continue;
        }
        let Some(bytes) = read(symbol.address(), symbol.size() as usize) else {
            continue;
        };
        let code = [FunctionCode {
            address: symbol.address(),
            bytes,
        }];
        match plan_on(Machine::Arm64, &code, &context) {
            Ok(plan) => {
                planned += 1;
                for site in &plan.exits {
                    let word = read(site.address, 4).expect("mapped");
                    let is_ret = returns(word);
                    assert_eq!(site.kind == Return, is_ret, "{:?} {site:x?}", symbol.name());
                }
                let rets = bytes.chunks_exact(4).filter(|word| returns(word));
                let inside = |address| address - symbol.address() < symbol.size();
                let seen = plan.exits.iter().filter(|site| {
                    site.kind == Return && site.address >= symbol.address() && inside(site.address)
                });
                assert_eq!(rets.count(), seen.count(), "{:?}", symbol.name());
            }
            Err(refusal) => {
                refused += 1;
                println!("  {}: {refusal}", symbol.name().unwrap_or("?"));
            }
        }
    }
    println!("{}: {planned} planned, {refused} refused", path.display());
    (planned, refused)
}

/// With Debian's `libc6-arm64-cross` or `libstdc++6-arm64-cross` installed, or others named by
/// `MONIGO_ARM64_LIBRARIES` (separated by colons).
#[test]
fn libraries() {
    let named = std::env::var("MONIGO_ARM64_LIBRARIES").unwrap_or_default();
    let usual =
        ["libc.so.6", "libstdc++.so.6"].map(|name| format!("/usr/aarch64-linux-gnu/lib/{name}"));
    let paths = named.split(':').chain(usual.iter().map(String::as_str));
    for path in paths.map(Path::new).filter(|path| path.exists()) {
        let (planned, refused) = check(path);
        assert!(
            refused * 5 < planned,
            "{planned} planned, {refused} refused"
        );
    }
}
