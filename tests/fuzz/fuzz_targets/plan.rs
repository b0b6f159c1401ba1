//! The planner on any code bytes: no panic, and no site inside an instruction.
#![no_main]

use std::collections::HashSet;

use iced_x86::{Decoder, DecoderOptions, Instruction};
use libfuzzer_sys::fuzz_target;
use monigo_fuzz::plan::{Context, FunctionCode, plan};

/// First byte of the function; its other parts lie behind it.
const START: u64 = 0x40_1000;

/// Instruction addresses of a piece of code decoded from its start.
fn sweep(code: &[u8], address: u64, boundaries: &mut HashSet<u64>) {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        boundaries.insert(instruction.ip());
    }
}

// Input: flags, the sizes of the function and of its second part in units of 4 bytes, and the bytes
// of the function, of the second part, and of what lies around: read-only data and pieces of code
// that only unwind tables know.
fuzz_target!(|input: &[u8]| {
    let [flags, first, second, bytes @ ..] = input else {
        return;
    };
    let (body, rest) = bytes.split_at(bytes.len().min(4 * usize::from(*first) + 1));
    let (part, other) = rest.split_at(rest.len().min(4 * usize::from(*second)));
    // The end of the first part is aligned differently than the second, as in real images.
    let second_at = START + body.len() as u64 + u64::from(flags >> 4);
    let other_at = second_at + part.len() as u64;
    let other_end = other_at + other.len() as u64;
    let mut code = vec![FunctionCode {
        address: START,
        bytes: body,
    }];
    if !part.is_empty() {
        code.push(FunctionCode {
            address: second_at,
            bytes: part,
        });
    }
    let fragments = flags & 2 != 0;
    let context = Context {
        go: flags & 1 != 0,
        file_offset: &|address| {
            (START..other_end)
                .contains(&address)
                .then(|| address - START + 0x1000)
        },
        fragment: &|address| {
            (fragments && (other_at..other_end).contains(&address)).then_some(other_at..other_end)
        },
        // Anywhere in the range, also inside instructions: tables may be damaged.
        landing_pads: &|range| {
            let length = range
                .end
                .checked_sub(range.start)
                .filter(|length| *length > 0)?;
            let pad = range.start + u64::from(*second) % length;
            (flags & 4 == 0).then(|| vec![pad])
        },
        read: &|address, length| {
            let from = usize::try_from(address.checked_sub(other_at)?).ok()?;
            other.get(from..from.checked_add(length)?)
        },
    };
    let Ok(planned) = plan(&code, &context) else {
        return;
    };
    let mut boundaries = HashSet::new();
    sweep(body, START, &mut boundaries);
    sweep(part, second_at, &mut boundaries);
    if fragments {
        sweep(other, other_at, &mut boundaries);
    }
    for site in planned.exits.iter().chain([&planned.entry]) {
        assert!(
            boundaries.contains(&site.address),
            "{site:?} is inside an instruction"
        );
        assert_eq!(site.file_offset, site.address - START + 0x1000);
    }
    let distinct: HashSet<u64> = planned.exits.iter().map(|site| site.address).collect();
    assert_eq!(distinct.len(), planned.exits.len(), "an exit twice");
});
