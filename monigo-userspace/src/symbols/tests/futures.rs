//! Futures in a compiled program, with and without DWARF, and with damaged DWARF.

use std::{fs, path::Path};

use object::{Object as _, ObjectSection as _};
use proptest::prelude::*;

use super::{
    super::{
        Image,
        futures::{Argument, FutureLayout, NoLayout, layouts},
    },
    samples,
};

const POLL: &str = "sample::shop::fetch::{{closure}}";

fn entry(image: &Image, name: &str) -> u64 {
    let mut functions = image.functions().iter();
    let function = functions.find(|function| function.name() == name);
    function.and_then(super::super::Function::entry).unwrap()
}

fn layout(path: &Path, name: &str) -> Result<FutureLayout, NoLayout> {
    let image = Image::open(path).unwrap();
    layouts(&image, &[entry(&image, name)]).remove(0)
}

#[test]
fn state_and_address() {
    for flags in [&["-g"][..], &["-g", "-O"], &["-g", "-Copt-level=1"]] {
        let path = samples::rust(flags);
        let found = layout(&path, POLL).unwrap();
        assert!(found.of_function);
        assert_eq!((found.argument, found.state_bytes), (Argument::First, 1));
        // Never polled, completed, left by a panic, and one place to wait at.
        assert_eq!(found.states, 4, "{flags:?}");
        // Which is not where the argument lies.
        assert!(found.state_offset < 64, "{flags:?}: {found:?}");
        let suspensions = found.suspensions.expect("DWARF says what is awaited");
        let at = u64::from(found.state_offset);
        let chain = suspensions.chain(|offset, _| (offset == at).then_some(3));
        let chain = chain.expect("it can be suspended");
        let source = samples::RUST;
        let line = source.lines().position(|line| line.contains(".await"));
        assert_eq!(chain[0].line, line.map(|line| line as u32 + 1), "{flags:?}");
        assert_eq!(
            Path::new(chain[0].file.as_deref().unwrap()).extension(),
            Some("rs".as_ref())
        );
        assert_eq!(chain[1].name.as_deref(), Some("core::future::ready::Ready"));
        let other = layout(&path, "sample::process_order");
        assert_eq!(other, Err(NoLayout::NoFuture));
    }
}

#[test]
fn without_dwarf_there_is_no_layout() {
    let stripped = samples::rust(&["-O", "-Cstrip=debuginfo"]);
    assert_eq!(layout(&stripped, POLL), Err(NoLayout::NoDwarf));
    // The standard library comes with some.
    let plain = samples::rust(&["-O"]);
    let found = layout(&plain, POLL);
    assert!(matches!(found, Err(NoLayout::Unknown | NoLayout::NoDwarf)));
    let lines = samples::rust(&["-O", "-Cdebuginfo=line-tables-only"]);
    assert!(layout(&lines, POLL).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damaged_dwarf(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..400)
    ) {
        let path = samples::rust(&["-g", "-O"]);
        let entry = entry(&Image::open(&path).unwrap(), POLL);
        let mut bytes = fs::read(&path).unwrap();
        let ranges: Vec<(u64, u64)> = {
            let file = object::File::parse(&*bytes).unwrap();
            [".debug_info", ".debug_abbrev", ".debug_loc", ".debug_loclists"]
                .iter()
                .filter_map(|name| file.section_by_name(name)?.file_range())
                .collect()
        };
        for (which, (at, value)) in flips.into_iter().enumerate() {
            let (start, size) = ranges[which % ranges.len()];
            bytes[start as usize + at.index(size as usize)] = value;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        let image = Image::open(file.path()).unwrap();
        let _ = layouts(&image, &[entry, 0, u64::MAX]);
    }
}
