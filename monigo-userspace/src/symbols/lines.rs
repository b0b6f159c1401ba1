//! From a line of a source file to the code that the compiler made of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Range,
};

use gimli::{Dwarf, FileEntry, LineProgramHeader, Unit};

use super::{
    Image,
    dwarf::{Reader, code_ranges, text, with_dwarf},
    go,
};

/// Most lines with code that are remembered for a file that is asked for.
const MOST_LINES: usize = 1 << 16;

/// Code of one source line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LineCode {
    /// Addresses of instructions of the line, and whether the function that the line is in was
    /// inlined there.
    pub places: BTreeMap<u64, bool>,
    /// Lines of the file that have code.
    pub lines: BTreeSet<u32>,
    /// Paths of the source files that have the name that was asked for.
    pub files: BTreeSet<String>,
    /// Whether the image has line information at all.
    pub known: bool,
}

/// Whether `path` is `suffix`, or ends with it behind a `/`.
pub(super) fn is_file(path: &str, suffix: &str) -> bool {
    path.strip_suffix(suffix)
        .is_some_and(|head| head.is_empty() || head.ends_with('/') || suffix.starts_with('/'))
}

/// The code of line `line` of the source files whose path ends with `file`.
pub fn code_of(image: &Image, file: &str, line: u32) -> LineCode {
    let mut found = LineCode::default();
    if let Some(table) = image.go_table() {
        found.known = true;
        go::code_of_line(image, table, file, line, &mut found);
    }
    // Go programs can hold C code.
    if found.files.is_empty() {
        with_dwarf(image, |dwarf| {
            let mut units = dwarf.units();
            while let Ok(Some(header)) = units.next() {
                // One damaged unit costs its own lines only.
                if let Ok(unit) = dwarf.unit(header) {
                    let _ = unit_lines(dwarf, &unit, file, line, &mut found);
                }
            }
            Some(())
        });
    }
    found
}

impl LineCode {
    pub(super) fn add_line(&mut self, line: u32) {
        if self.lines.len() < MOST_LINES {
            self.lines.insert(line);
        }
    }
}

fn unit_lines<'data>(
    dwarf: &Dwarf<Reader<'data>>,
    unit: &Unit<Reader<'data>>,
    file: &str,
    line: u32,
    found: &mut LineCode,
) -> gimli::Result<()> {
    let Some(program) = unit.line_program.clone() else {
        return Ok(());
    };
    found.known = true;
    let header = program.header();
    let mut numbers = HashSet::new();
    // Numbers begin at 1 before DWARF 5; a number too many is no harm.
    for number in 0..=header.file_names().len() as u64 {
        let Some(entry) = header.file(number) else {
            continue;
        };
        let name = text(dwarf, unit, entry.path_name()).unwrap_or_default();
        // Most files are ruled out by their name alone.
        if !is_file(&name, file) && !is_file(file, &name) {
            continue;
        }
        let path = full_path(dwarf, unit, header, entry, &name);
        if is_file(&path, file) {
            numbers.insert(number);
            found.files.insert(path);
        }
    }
    if numbers.is_empty() {
        return Ok(());
    }
    let mut addresses = Vec::new();
    let mut rows = program.rows();
    while let Some((_, row)) = rows.next_row()? {
        if row.end_sequence() || !numbers.contains(&row.file_index()) {
            continue;
        }
        let Some(number) = row.line().and_then(|line| u32::try_from(line.get()).ok()) else {
            continue;
        };
        // Code that the linker dropped keeps its lines, at address 0.
        if !image_address(row.address()) {
            continue;
        }
        found.add_line(number);
        if number == line {
            addresses.push(row.address());
        }
    }
    if addresses.is_empty() {
        return Ok(());
    }
    let inlined = inlined_ranges(dwarf, unit)?;
    for address in addresses {
        let inside = inlined.iter().any(|range| range.contains(&address));
        found.places.insert(address, inside);
    }
    Ok(())
}

fn image_address(address: u64) -> bool {
    address != 0 && address < u64::MAX - 1
}

/// The source file with this number in a unit.
pub(super) fn path_of<'data>(
    dwarf: &Dwarf<Reader<'data>>,
    unit: &Unit<Reader<'data>>,
    number: u64,
) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let entry = header.file(number)?;
    let name = text(dwarf, unit, entry.path_name())?;
    Some(full_path(dwarf, unit, header, entry, &name))
}

fn full_path<'data>(
    dwarf: &Dwarf<Reader<'data>>,
    unit: &Unit<Reader<'data>>,
    header: &LineProgramHeader<Reader<'data>>,
    entry: &FileEntry<Reader<'data>>,
    name: &str,
) -> String {
    let directory = entry.directory(header);
    let directory = directory.and_then(|value| text(dwarf, unit, value));
    let base = unit.comp_dir.map(|path| path.to_string_lossy());
    joined(&[
        base.as_deref().unwrap_or(""),
        directory.as_deref().unwrap_or(""),
        name,
    ])
}

/// A path from its parts, of which an absolute one hides those before it.
fn joined(parts: &[&str]) -> String {
    let mut path = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    path
}

/// Where functions are inlined in the code of a unit.
fn inlined_ranges(
    dwarf: &Dwarf<Reader<'_>>,
    unit: &Unit<Reader<'_>>,
) -> gimli::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() != gimli::DW_TAG_inlined_subroutine {
            continue;
        }
        let mut ranges = code_ranges(dwarf, unit, entry)?;
        while let Some(range) = ranges.next()? {
            found.push(range.begin..range.end);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::tests::samples;

    #[test]
    fn files_match_at_slashes() {
        assert!(is_file("/src/app/main.c", "main.c"));
        assert!(is_file("/src/app/main.c", "app/main.c"));
        assert!(is_file("/src/app/main.c", "/src/app/main.c"));
        assert!(is_file("main.c", "main.c"));
        assert!(!is_file("/src/domain.c", "main.c"));
        assert_eq!(joined(&["/build", "src", "a.c"]), "/build/src/a.c");
        assert_eq!(joined(&["/build", "/src", "a.c"]), "/src/a.c");
        assert_eq!(joined(&["", "", "a.c"]), "a.c");
    }

    /// Number of the line of a source text that holds `marker`.
    fn line_of(source: &str, marker: &str) -> u32 {
        let at = source.lines().position(|line| line.contains(marker));
        u32::try_from(at.unwrap()).unwrap() + 1
    }

    #[test]
    fn lines_of_c_and_what_is_inlined() {
        for flags in [
            &["-O2", "-g"][..],
            &["-O2", "-g", "-gdwarf-4"],
            &["-O0", "-g"],
        ] {
            let image = Image::open(samples::c(flags)).unwrap();
            let functions = |marker: &str| {
                let found = code_of(&image, "sample.c", line_of(samples::C, marker));
                assert!(found.known && !found.files.is_empty());
                let mut functions: Vec<(String, bool)> = found
                    .places
                    .iter()
                    .filter_map(|(address, inlined)| {
                        Some((image.function_at(*address)?.name().to_owned(), *inlined))
                    })
                    .collect();
                functions.sort();
                functions.dedup();
                functions
            };
            let own = functions("x[i] = 0; fputs");
            assert_eq!(own, [("with_cold".to_owned(), false)], "{flags:?}");
            let tiny = functions("int tiny(int x)");
            if flags[0] == "-O0" {
                assert_eq!(tiny, [("tiny".to_owned(), false)]);
            } else {
                assert_eq!(tiny, [("plain".to_owned(), true)], "{flags:?}");
            }
        }
    }

    #[test]
    fn lines_of_go_are_in_its_own_table() {
        for toolchain in samples::go_toolchains() {
            for flags in [&[][..], &["-ldflags=-s -w"]] {
                let image = Image::open(samples::go(&toolchain, flags)).unwrap();
                let line = line_of(samples::GO, "func process_order");
                let found = code_of(&image, "main.go", line);
                let owners: HashSet<&str> = found
                    .places
                    .iter()
                    .filter(|(_, inlined)| !**inlined)
                    .filter_map(|(address, _)| Some(image.function_at(*address)?.name()))
                    .collect();
                assert_eq!(owners, HashSet::from(["main.process_order"]));
            }
        }
    }

    #[test]
    fn without_line_information() {
        let image = Image::open(samples::c(&["-O2", "-s"])).unwrap();
        assert_eq!(code_of(&image, "sample.c", 3), LineCode::default());
    }
}
