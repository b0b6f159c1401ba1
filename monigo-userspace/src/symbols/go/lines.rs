//! Code of source lines, from the function table.

use super::{
    super::{Image, lines::LineCode, lines::is_file},
    frames,
    pclntab::{Entry, GoTable},
};

/// Adds the code of line `line` of files whose path ends with `file`.
pub(in super::super) fn code_of_line(
    image: &Image,
    table: &GoTable,
    file: &str,
    line: u32,
    found: &mut LineCode,
) {
    for entry in table.entries(image) {
        // A damaged record costs its own lines only.
        let _ = lines_of(image, table, &entry, file, line, found);
    }
}

fn lines_of(
    image: &Image,
    table: &GoTable,
    entry: &Entry,
    file: &str,
    line: u32,
    found: &mut LineCode,
) -> Option<()> {
    let data = table.data(image)?;
    let (files, lines) = table.file_and_line_tables(data, entry)?;
    // Where the function's code comes from the wanted file: itself, or what is inlined into it.
    let mut wanted = Vec::new();
    let mut start = entry.range.start;
    table.walk_pc_table(data, entry, files, |end, number| {
        if let Some(path) = table.file(data, entry, number)
            && is_file(path, file)
        {
            if !found.files.contains(path) {
                found.files.insert(path.to_owned());
            }
            wanted.push(start..end);
        }
        start = end;
        end < entry.range.end
    })?;
    if wanted.is_empty() {
        return None;
    }
    let mut start = entry.range.start;
    table.walk_pc_table(data, entry, lines, |end, number| {
        let first = wanted
            .iter()
            .find(|range| range.start < end && start < range.end)
            .map(|range| range.start.max(start));
        if let (Some(address), Ok(number)) = (first, u32::try_from(number)) {
            found.add_line(number);
            if number == line {
                let inlined = frames(image, table, address)
                    .first()
                    .is_some_and(|frame| frame.inlined);
                found.places.insert(address, inlined);
            }
        }
        start = end;
        end < entry.range.end
    })
}
