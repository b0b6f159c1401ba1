//! Damaged files: any answer will do, but no panic and no hang.

use std::{fs, sync::OnceLock};

use proptest::prelude::*;

use super::{super::*, samples};

/// Asks an image everything.
fn exercise(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let Ok(image) = Image::open(file.path()) else {
        return;
    };
    let _ = (
        image.language(),
        image.plt_ranges().len(),
        image.only_inlined().len(),
    );
    for function in image.functions().iter().step_by(61) {
        let _ = function.name();
        let Some(entry) = function.entry() else {
            continue;
        };
        let _ = (
            image.function_at(entry),
            image.plt_name(entry),
            image.inlined_into(function),
        );
        if let Some(table) = image.go_table() {
            let _ = go::frames(&image, table, entry.wrapping_add(9));
        }
    }
    let _ = pattern::find(&image, "main.nothing");
    let _ = pattern::find(&image, "*a*");
}

fn go_program() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let toolchains = samples::go_toolchains();
        let newest = toolchains.last().unwrap();
        fs::read(samples::go(newest, &["-ldflags=-s -w"])).unwrap()
    })
}

fn c_program() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| fs::read(samples::c(&["-O2", "-g"])).unwrap())
}

/// File range of a section.
fn section(bytes: &[u8], name: &str) -> std::ops::Range<usize> {
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(bytes).unwrap();
    let (start, size) = file.section_by_name(name).unwrap().file_range().unwrap();
    start as usize..(start + size) as usize
}

/// Found by fuzzing: code at the end of all addresses, and a length that leads beyond it.
#[test]
fn code_that_ends_behind_the_last_address() {
    let mut bytes = c_program().to_vec();
    let starts: Vec<[u8; 8]> = {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        let image = Image::open(file.path()).unwrap();
        let entries = image.functions().iter().filter_map(Function::entry);
        entries.map(u64::to_le_bytes).collect()
    };
    let info = &mut bytes[section(c_program(), ".debug_info")];
    let mut changed = Vec::new();
    for at in 0..info.len() - 8 {
        let place: &mut [u8] = &mut info[at..at + 8];
        if starts.iter().any(|start| place == start) {
            let before = u64::from_le_bytes(place.try_into().unwrap());
            changed.push(before);
            place.copy_from_slice(&(u64::MAX - 3).to_le_bytes());
        }
    }
    assert!(changed.len() > 3, "{changed:x?}");
    exercise(&bytes);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &bytes).unwrap();
    let image = Image::open(file.path()).unwrap();
    let layouts = futures::layouts(&image, &changed);
    assert!(layouts.iter().all(Result::is_err));
}

/// Found by fuzzing: a reader that reserves what the header of a compressed section claims ends the
/// process.
#[test]
fn compressed_section_that_claims_to_be_huge() {
    use object::{Object as _, ObjectSection as _};
    let mut bytes = fs::read(samples::c(&["-O2", "-g", "-gz"])).unwrap();
    let places: Vec<usize> = {
        let file = object::File::parse(&*bytes).unwrap();
        file.sections()
            .filter(|section| {
                section.compressed_file_range().unwrap().format != object::CompressionFormat::None
            })
            .map(|section| section.file_range().unwrap().0 as usize)
            .collect()
    };
    assert!(!places.is_empty());
    let source = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        let image = std::sync::Arc::new(Image::open(file.path()).unwrap());
        let function = image.functions().iter().find(|f| f.name() == "plain");
        symbolize::Symbolizer::new().source_of(&image, function.unwrap())
    };
    assert!(source(&bytes).is_some());
    for at in places {
        bytes[at + 8..at + 16].copy_from_slice(&(1_u64 << 62).to_le_bytes());
    }
    assert_eq!(source(&bytes), None);
}

/// Found by fuzzing: a source file called `..` in a line table made the symbolizer panic.
#[test]
fn source_file_without_a_name() {
    let mut bytes = fs::read(samples::c(&["-O2", "-g"])).unwrap();
    let strings = section(&bytes, ".debug_line_str");
    let mut named = 0;
    let mut at = strings.start;
    // A copy, since the loop writes.
    let table = bytes[strings].to_vec();
    for text in table.split(|byte| *byte == 0) {
        if text.ends_with(b".c") {
            bytes[at..at + text.len()].fill(b'.');
            bytes[at + 2..at + text.len()].fill(0);
            named += 1;
        }
        at += text.len() + 1;
    }
    assert!(named > 0);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &bytes).unwrap();
    let image = std::sync::Arc::new(Image::open(file.path()).unwrap());
    let mut symbolizer = symbolize::Symbolizer::new();
    for function in image.functions() {
        let _ = symbolizer.source_of(&image, function);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn c_program_with_flipped_bytes(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200)
    ) {
        let mut bytes = c_program().to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exercise(&bytes);
    }

    #[test]
    fn headers_with_flipped_bytes(
        flips in prop::collection::vec((0_usize..1024, any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = c_program().to_vec();
        for (at, value) in flips {
            bytes[at] = value;
        }
        exercise(&bytes);
        let length = keep.index(bytes.len());
        exercise(&bytes[..length]);
    }

    #[test]
    fn go_table_with_flipped_bytes(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..400),
        near in prop::collection::vec((0_usize..4096, any::<u8>()), 0..8),
    ) {
        let mut bytes = go_program().to_vec();
        let table = section(&bytes, ".gopclntab");
        for (at, value) in flips {
            let at = table.start + at.index(table.len());
            bytes[at] = value;
        }
        for (at, value) in near {
            bytes[table.start + 8 + at] = value;
        }
        exercise(&bytes);
    }
}
