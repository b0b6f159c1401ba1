//! Go's function table: the input is the table, followed by what its function data points into.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monigo_fuzz::elf::{Section, Symbol, write};

const TEXT: u64 = 0x40_1000;
const TABLE: u64 = 0x50_0000;
/// Functions of the seeds end below it.
const TEXT_BYTES: usize = 1 << 16;

/// The end of the input.
const FUNCTION_DATA_BYTES: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let text = vec![0xc3; TEXT_BYTES];
    let data = |name, address, bytes| Section {
        name,
        address,
        code: false,
        bytes,
    };
    let object = |name, address| Symbol {
        name,
        address,
        size: 8,
        function: false,
    };
    let sections = [
        Section {
            name: ".text",
            address: TEXT,
            code: true,
            bytes: &text,
        },
        data(".gopclntab", TABLE, bytes),
        data(".go.buildinfo", 0x70_0000, b"\xff Go buildinf:\x08\x02"),
    ];
    let symbols = [
        object("runtime.text", TEXT),
        object(
            "go:func.*",
            TABLE + bytes.len().saturating_sub(FUNCTION_DATA_BYTES) as u64,
        ),
    ];
    monigo_fuzz::exercise(&write(&sections, &symbols));
});
