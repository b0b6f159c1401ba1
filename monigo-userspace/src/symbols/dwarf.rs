//! What only DWARF tells: functions that were inlined, and Go's `runtime.g`.
//!
//! Split DWARF (`.dwo`) is not followed.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use gimli::{
    AttributeValue, DebuggingInformationEntry, Dwarf, DwarfSections, EndianSlice, LittleEndian,
    RangeIter, Unit, UnitOffset,
};
use object::{LittleEndian as Endian, Object as _, ObjectSection as _, read::elf::ElfFile64};

use super::{Function, FunctionKind, Image, debug::DebugFile};

pub(super) type Reader<'data> = EndianSlice<'data, LittleEndian>;
type Die<'data> = DebuggingInformationEntry<Reader<'data>>;

/// Functions that were inlined, by linkage name (or plain name where there is no other).
#[derive(Debug, Default)]
pub struct InlinedFunctions {
    callers: HashMap<String, usize>,
}

impl InlinedFunctions {
    pub(super) fn new(callers: impl IntoIterator<Item = (String, usize)>) -> Self {
        Self {
            callers: callers.into_iter().collect(),
        }
    }

    /// Number of distinct functions that the one of this linkage name was inlined into.
    pub fn callers(&self, linkage_name: &str) -> usize {
        self.callers.get(linkage_name).copied().unwrap_or(0)
    }

    /// Those without code of their own in `image`, by name.
    pub(super) fn only_inlined(&self, image: &Image) -> Vec<Function> {
        let present: HashSet<&str> = image
            .functions()
            .iter()
            .flat_map(Function::linkage_names)
            .collect();
        let mut functions: Vec<Function> = self
            .callers
            .iter()
            .filter(|(name, _)| !present.contains(name.as_str()))
            .map(|(name, callers)| {
                let callers = *callers;
                Function::new(name, None, FunctionKind::Inlined { callers })
            })
            .collect();
        functions.sort_by(|a, b| a.linkage_name.cmp(&b.linkage_name));
        functions
    }
}

/// Without locations, which most do not need, and are large.
pub(super) fn with_dwarf<T>(
    image: &Image,
    read: impl FnOnce(&Dwarf<Reader<'_>>) -> Option<T>,
) -> Option<T> {
    let locations = [gimli::SectionId::DebugLoc, gimli::SectionId::DebugLocLists];
    with_sections(image, |id| !locations.contains(&id), read)
}

pub(super) fn with_all_dwarf<T>(
    image: &Image,
    read: impl for<'data> FnOnce(&Dwarf<Reader<'data>>) -> Option<T>,
) -> Option<T> {
    with_sections(image, |_| true, read)
}

fn with_sections<T>(
    image: &Image,
    wanted: impl Fn(gimli::SectionId) -> bool,
    read: impl FnOnce(&Dwarf<Reader<'_>>) -> Option<T>,
) -> Option<T> {
    let (file, supplement) = image.dwarf_files()?;
    let sections = sections(&file, &wanted)?;
    let supplement = supplement.and_then(DebugFile::elf);
    let moved = supplement
        .as_ref()
        .and_then(|file| self::sections(file, &wanted));
    let mut dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    if let Some(moved) = &moved {
        dwarf.set_sup(moved.borrow(|section| EndianSlice::new(section, LittleEndian)));
    }
    read(&dwarf)
}

/// The sections of a file that are `wanted`, decompressed; `None` without DWARF.
pub(super) fn sections<'data>(
    file: &ElfFile64<'data, Endian>,
    wanted: &impl Fn(gimli::SectionId) -> bool,
) -> Option<DwarfSections<Cow<'data, [u8]>>> {
    file.section_by_name(".debug_info")
        .or_else(|| file.section_by_name(".zdebug_info"))?;
    let load = |id: gimli::SectionId| -> Result<Cow<'data, [u8]>, object::Error> {
        match file.section_by_name(id.name()).filter(|_| wanted(id)) {
            Some(section) => section.uncompressed_data(),
            None => Ok(Cow::Borrowed(&[])),
        }
    };
    DwarfSections::load(load).ok()
}

/// Where the code of an entry is. gimli itself adds a length to a start without asking whether that is
/// possible.
pub(super) fn code_ranges<'data>(
    dwarf: &Dwarf<Reader<'data>>,
    unit: &Unit<Reader<'data>>,
    entry: &Die<'data>,
) -> gimli::Result<RangeIter<Reader<'data>>> {
    let start = entry.attr_value(gimli::DW_AT_low_pc);
    let start = start.map(|start| dwarf.attr_address(unit, start));
    if let (Some(start), Some(AttributeValue::Udata(length))) = (
        start.transpose()?.flatten(),
        entry.attr_value(gimli::DW_AT_high_pc),
    ) && start.checked_add(length).is_none()
    {
        return Err(gimli::Error::AddressOverflow);
    }
    dwarf.die_ranges(unit, entry)
}

const INLINED: gimli::DwTag = gimli::DW_TAG_inlined_subroutine;

/// Whether a unit with these abbreviations can have entries of this kind. Numbers have no gaps
/// in what compilers write.
fn mentions(kinds: &gimli::Abbreviations, tag: gimli::DwTag) -> bool {
    (1..)
        .map_while(|code| kinds.get(code))
        .any(|kind| kind.tag() == tag)
}

/// Every function that was inlined anywhere, with the number of distinct callers.
pub(super) fn inlined(image: &Image) -> InlinedFunctions {
    with_dwarf(image, |dwarf| {
        let mut collector = Collector::default();
        let mut units = dwarf.units();
        let mut skipped = Vec::new();
        while let Ok(Some(header)) = units.next() {
            let inlines = dwarf
                .abbreviations(&header)
                .is_ok_and(|kinds| mentions(&kinds, INLINED));
            if !inlines {
                skipped.push(header);
                continue;
            }
            // One damaged unit costs its own functions only.
            if let Ok(unit) = dwarf.unit(header) {
                let _ = collector.unit(dwarf, &unit);
            }
        }
        // With optimisation at link time, functions of one unit are inlined in another.
        let mut others = skipped.into_iter();
        while collector.lacks_names()
            && let Some(header) = others.next()
        {
            if let Ok(unit) = dwarf.unit(header) {
                let _ = collector.unit(dwarf, &unit);
            }
        }
        Some(collector.finish())
    })
    .unwrap_or_default()
}

/// Offsets are those of `.debug_info`.
#[derive(Default)]
struct Collector {
    /// Subprogram to the functions that it was inlined into.
    callers: HashMap<usize, HashSet<usize>>,
    names: HashMap<usize, String>,
    /// Subprogram to its declaration, which may hold its name.
    declarations: HashMap<usize, usize>,
}

impl Collector {
    fn unit(&mut self, dwarf: &Dwarf<Reader<'_>>, unit: &Unit<Reader<'_>>) -> gimli::Result<()> {
        // Depth and offset of the subprograms around the current entry.
        let mut around: Vec<(isize, usize)> = Vec::new();
        // Depth and name of the namespaces and classes around it.
        let mut scopes: Vec<(isize, String)> = Vec::new();
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let depth = entry.depth();
            while around.last().is_some_and(|(outer, _)| *outer >= depth) {
                around.pop();
            }
            while scopes.last().is_some_and(|(outer, _)| *outer >= depth) {
                scopes.pop();
            }
            let Some(offset) = global(unit, entry.offset()) else {
                continue;
            };
            match entry.tag() {
                gimli::DW_TAG_namespace
                | gimli::DW_TAG_structure_type
                | gimli::DW_TAG_class_type => {
                    let name = entry.attr_value(gimli::DW_AT_name);
                    if let Some(name) = name.and_then(|name| text(dwarf, unit, name)) {
                        scopes.push((depth, name));
                    }
                }
                gimli::DW_TAG_subprogram => {
                    self.subprogram(dwarf, unit, entry, offset, &scopes);
                    around.push((depth, offset));
                }
                gimli::DW_TAG_inlined_subroutine => {
                    let origin = reference(unit, entry, gimli::DW_AT_abstract_origin);
                    if let (Some(origin), Some((_, caller))) = (origin, around.last()) {
                        self.callers.entry(origin).or_default().insert(*caller);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn subprogram(
        &mut self,
        dwarf: &Dwarf<Reader<'_>>,
        unit: &Unit<Reader<'_>>,
        entry: &Die<'_>,
        offset: usize,
        scopes: &[(isize, String)],
    ) {
        if let Some(declaration) = reference(unit, entry, gimli::DW_AT_specification) {
            self.declarations.insert(offset, declaration);
        }
        let attribute = |name| text(dwarf, unit, entry.attr_value(name)?);
        let linkage = attribute(gimli::DW_AT_linkage_name)
            .or_else(|| attribute(gimli::DW_AT_MIPS_linkage_name));
        // Static functions may have no linkage name; where they stand gives the path.
        let name = linkage.or_else(|| {
            let mut path = String::new();
            for (_, scope) in scopes {
                path.push_str(scope);
                path.push_str("::");
            }
            path.push_str(&attribute(gimli::DW_AT_name)?);
            Some(path)
        });
        if let Some(name) = name {
            self.names.insert(offset, name);
        }
    }

    fn name(&self, offset: usize) -> Option<&String> {
        let declaration = || self.names.get(self.declarations.get(&offset)?);
        let own = self.names.get(&offset);
        // The declaration of a member function is where its linkage name is.
        match own {
            Some(name) if name.starts_with("_Z") || name.starts_with("_R") => own,
            _ => declaration().or(own),
        }
    }

    fn lacks_names(&self) -> bool {
        self.callers
            .keys()
            .any(|function| self.name(*function).is_none())
    }

    fn finish(self) -> InlinedFunctions {
        let mut callers: HashMap<&String, HashSet<usize>> = HashMap::new();
        for (function, into) in &self.callers {
            if let Some(name) = self.name(*function) {
                callers.entry(name).or_default().extend(into);
            }
        }
        InlinedFunctions::new(
            callers
                .into_iter()
                .map(|(name, into)| (name.clone(), into.len())),
        )
    }
}

fn global(unit: &Unit<Reader<'_>>, offset: UnitOffset) -> Option<usize> {
    offset
        .to_debug_info_offset(&unit.header)
        .map(|offset| offset.0)
}

fn reference(unit: &Unit<Reader<'_>>, entry: &Die<'_>, name: gimli::DwAt) -> Option<usize> {
    match entry.attr_value(name)? {
        AttributeValue::UnitRef(offset) => global(unit, offset),
        AttributeValue::DebugInfoRef(offset) => Some(offset.0),
        _ => None,
    }
}

pub(super) fn text(
    dwarf: &Dwarf<Reader<'_>>,
    unit: &Unit<Reader<'_>>,
    value: AttributeValue<Reader<'_>>,
) -> Option<String> {
    let text = dwarf.attr_string(unit, value).ok()?;
    Some(text.to_string_lossy().into_owned())
}

/// Offset of `goid` in `runtime.g`, bytes, from the DWARF that Go writes unless told not to.
pub(super) fn goid_offset(image: &Image) -> Option<u32> {
    go_members(image, "runtime.g")?.get("goid").copied()
}

/// Offsets of the members of a structure of Go's package `runtime`, bytes.
pub(super) fn go_members(image: &Image, structure: &str) -> Option<HashMap<String, u32>> {
    with_dwarf(image, |dwarf| {
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            let is_runtime = unit.name.is_some_and(|name| name.slice() == b"runtime");
            if is_runtime && let Ok(Some(members)) = members(dwarf, &unit, structure) {
                return Some(members);
            }
        }
        None
    })
}

fn members(
    dwarf: &Dwarf<Reader<'_>>,
    unit: &Unit<Reader<'_>>,
    structure: &str,
) -> gimli::Result<Option<HashMap<String, u32>>> {
    let mut entries = unit.entries();
    // Depth of the structure while its members follow.
    let mut inside: Option<isize> = None;
    let mut members = HashMap::new();
    while let Some(entry) = entries.next_dfs()? {
        let name = || text(dwarf, unit, entry.attr_value(gimli::DW_AT_name)?);
        if inside.is_some_and(|depth| entry.depth() <= depth) {
            return Ok(Some(members));
        }
        match entry.tag() {
            gimli::DW_TAG_structure_type
                if inside.is_none() && name().as_deref() == Some(structure) =>
            {
                inside = Some(entry.depth());
            }
            gimli::DW_TAG_member if inside.is_some() => {
                let offset = entry
                    .attr_value(gimli::DW_AT_data_member_location)
                    .and_then(|value| value.udata_value())
                    .and_then(|offset| u32::try_from(offset).ok());
                if let (Some(name), Some(offset)) = (name(), offset) {
                    members.insert(name, offset);
                }
            }
            _ => {}
        }
    }
    Ok(inside.map(|_| members))
}
