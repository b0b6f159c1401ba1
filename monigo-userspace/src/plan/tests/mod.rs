//! Plans of byte sequences with known answers, and of real binaries.

mod arm64;
mod c;
mod epilogue;
mod exits;
mod go;
mod jumps;
mod paths;
mod real;

use super::{Context, CostClass, Frame, FunctionCode, FunctionPlan, Refusal, SiteKind, plan};

/// Address of the code under test.
const START: u64 = 0x40_1000;
const C: bool = false;
const GO: bool = true;

/// Entry offset and class, then the exits' offsets and kinds.
type Expected = Result<(u64, CostClass, Vec<(u64, SiteKind)>), Refusal>;

/// Checks the plan of a listing with one instruction a line: bytes in hex, two spaces or more,
/// then the assembly for the reader.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "the calls read better")]
fn check(go: bool, listing: &str, expected: Expected) {
    let bytes = assemble(listing);
    assert_eq!(outcome(&[(START, &bytes)], go, &[]), expected, "{listing}");
}

fn epilogue(condition: Option<u8>, frame: Frame) -> SiteKind {
    SiteKind::Epilogue { condition, frame }
}

fn assemble(listing: &str) -> Vec<u8> {
    listing
        .lines()
        .filter_map(|line| line.trim().split("  ").next())
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
        .collect()
}

/// Plans `parts`; `data` is what the image holds elsewhere.
fn outcome(parts: &[(u64, &[u8])], go: bool, data: &[(u64, &[u8])]) -> Expected {
    outcome_with(parts, go, data, Some(&[]))
}

/// The same, with landing pads.
fn outcome_with(
    parts: &[(u64, &[u8])],
    go: bool,
    data: &[(u64, &[u8])],
    pads: Option<&[u64]>,
) -> Expected {
    let plan = planned(parts, go, data, pads)?;
    let merged = matches!(plan.entry.kind, SiteKind::EntryAndExit { .. });
    assert!(merged || plan.entry.kind == SiteKind::Entry);
    assert_eq!(plan.entry.file_offset, plan.entry.address - 0x40_0000);
    Ok((
        plan.entry.address - START,
        plan.entry.cost,
        plan.exits
            .iter()
            .map(|site| (site.address.wrapping_sub(START), site.kind))
            .collect(),
    ))
}

/// Kind of the entry site of a listing in C.
fn entry_kind(listing: &str) -> SiteKind {
    let bytes = assemble(listing);
    let plan = planned(&[(START, &bytes)], C, &[], Some(&[]));
    plan.unwrap_or_else(|refusal| panic!("{refusal}"))
        .entry
        .kind
}

fn planned(
    parts: &[(u64, &[u8])],
    go: bool,
    data: &[(u64, &[u8])],
    pads: Option<&[u64]>,
) -> Result<FunctionPlan, Refusal> {
    let code: Vec<FunctionCode<'_>> = parts
        .iter()
        .map(|(address, bytes)| FunctionCode {
            address: *address,
            bytes,
        })
        .collect();
    let read = |address: u64, length: usize| {
        data.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(from..from.checked_add(length)?)
        })
    };
    // Pieces of code that `data` holds count as known to the unwind tables.
    let fragment = |address: u64| {
        data.iter()
            .map(|(start, bytes)| *start..start + bytes.len() as u64)
            .find(|range| range.contains(&address))
    };
    let context = Context {
        go,
        file_offset: &|address| address.checked_sub(0x40_0000),
        fragment: &fragment,
        read: &read,
        landing_pads: &|_| pads.map(<[u64]>::to_vec),
    };
    let plan = plan(&code, &context)?;
    let piece = |address| super::fragment(address, &context);
    paths::check("listing", &code, &plan, pads.unwrap_or_default(), &piece);
    Ok(plan)
}

#[test]
fn nothing() {
    assert_eq!(outcome(&[], C, &[]), Err(Refusal::Empty));
    assert_eq!(outcome(&[(START, &[])], C, &[]), Err(Refusal::Empty));
    assert_eq!(outcome(&[(START, &[0xcc; 8])], C, &[]), Err(Refusal::Empty));
}

#[test]
fn too_large() {
    let code = vec![0x90; super::MAX_CODE_BYTES + 1];
    assert_eq!(
        outcome(&[(START, &code)], C, &[]),
        Err(Refusal::TooLarge { bytes: code.len() })
    );
}

#[test]
fn overlapping_ranges() {
    let code = assemble("53  push %rbx\n5b  pop %rbx\nc3  ret");
    assert_eq!(
        outcome(&[(START, &code), (START + 1, &code)], C, &[]),
        Err(Refusal::Overlap { address: START + 1 })
    );
}

/// `push %rbx; test %edi,%edi; jne COLD; pop %rbx; ret`, with COLD at `START - 0x100`.
const HOT: &str = "
    53                 push %rbx
    85 ff              test %edi,%edi
    0f 85 f7 fe ff ff  jne cold
    5b                 pop %rbx
    c3                 ret
";
/// `call x; pop %rbx; jmp y`, with y outside.
const COLD: &str = "
    e8 00 10 00 00     call .+0x1005
    5b                 pop %rbx
    e9 00 20 00 00     jmp .+0x2005
";

#[test]
fn cold_part_has_exits_too() {
    let (hot, cold) = (assemble(HOT), assemble(COLD));
    let expected = Ok((
        0,
        CostClass::Emulated,
        vec![
            (0x0u64.wrapping_sub(0x100 - 6), SiteKind::TailJump),
            // When the jump to the cold part is not taken.
            (3, epilogue(Some(4), Frame::StackPointer(1))),
        ],
    ));
    let parts: [(u64, &[u8]); 2] = [(START, &hot), (START - 0x100, &cold)];
    assert_eq!(outcome(&parts, C, &[]), expected);
    // The same from unwind tables alone.
    assert_eq!(outcome(&parts[..1], C, &parts[1..]), expected);
}

#[test]
fn tables_in_memory_tell_labels_from_functions() {
    // jmp *0x402000(,%rdi,8); ret
    let code = assemble("ff 24 fd 00 20 40 00  jmp *table(,%rdi,8)\nc3  ret");
    let inside = (START + 7).to_le_bytes();
    let outside = (START + 0x800).to_le_bytes();
    let table = |bytes| outcome(&[(START, &code)], C, &[(0x40_2000, bytes)]);
    assert_eq!(
        table(&inside),
        Ok((0, CostClass::SingleStep, vec![(7, SiteKind::Return)]))
    );
    // A tail call at the first instruction is entry and exit.
    assert_eq!(
        table(&outside),
        Ok((0, CostClass::SingleStep, vec![(7, SiteKind::Return)]))
    );
}

#[test]
fn nop5_across_a_page_is_not_replaced() {
    let code = assemble("0f 1f 44 00 00  nopl 0(%rax,%rax,1)\nc3  ret");
    let start = 0x40_1ffd;
    assert_eq!(
        outcome(&[(start, &code)], C, &[]).map(|plan| plan.1),
        Ok(CostClass::Emulated)
    );
}

proptest::proptest! {
    /// Whatever the bytes, there is an answer, and its sites are inside the code.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64), go: bool) {
        if let Ok((entry, _, exits)) = outcome(&[(START, &bytes)], go, &[]) {
            let length = bytes.len() as u64;
            assert!(entry < length);
            assert!(exits.iter().all(|(offset, _)| *offset < length && *offset != entry));
        }
    }
}
