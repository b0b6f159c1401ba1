//! Where the state of an async function's future is: what DWARF says of its poll function.
//!
//! An `async fn` exists in the program as the function that polls its future. The future's address
//! is that function's first argument, behind a hidden pointer if the result is large; the state is
//! a member of the future, `__state`.

mod awaits;
mod home;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use gimli::{
    AttributeValue, DebugInfoOffset, DebuggingInformationEntry, Dwarf, Operation, Unit, UnitHeader,
    UnitOffset, UnitSectionOffset,
};

pub use self::awaits::{Suspended, Suspensions};
use super::{
    Image,
    dwarf::{Reader, code_ranges, text, with_all_dwarf},
};

type Die<'data> = DebuggingInformationEntry<Reader<'data>>;

/// DWARF's numbers of the registers that hold the first two arguments.
///
/// Source: System V ABI for AMD64, figure 3.36.
const ARGUMENTS: [(u16, Argument); 2] = [(5, Argument::First), (4, Argument::Second)];

/// Entries that are looked at in one image: compilers write far less about futures, damaged DWARF may lead
/// back to the same ones again and again.
const MOST_VISITED: usize = 1 << 24;

/// A register for arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// `rdi`.
    First,
    /// `rsi`, where the result goes through a hidden pointer.
    Second,
}

/// Where the future that a poll function polls has its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FutureLayout {
    /// The future is that of an `async fn`, not of a block or closure.
    pub of_function: bool,
    /// Holds the future's address when the poll function is entered.
    pub argument: Argument,
    /// Where in the future its state is, bytes.
    pub state_offset: u32,
    /// Size of the state: 1, 2 or 4 bytes.
    pub state_bytes: u32,
    /// Number of states: 0 before the first poll, 1 completed, 2 left by a panic, others suspended.
    pub states: u32,
    /// What it waits at in the states in which it is suspended, if DWARF says that.
    pub suspensions: Option<Arc<Suspensions>>,
}

/// Why executions of an async function cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLayout {
    /// No DWARF at all.
    #[error(
        "the program has no DWARF, which says where a future keeps its state; build it with `debug = 2`, and do not strip it"
    )]
    NoDwarf,
    /// DWARF has nothing about a function at this address.
    #[error(
        "DWARF, which says where a future keeps its state, does not describe it; build it with `debug = 2`"
    )]
    Unknown,
    /// The function's first parameter is no future of an async function: it is a closure.
    #[error("it polls no future of an async function")]
    NoFuture,
    /// The state's place, size or values are not as this monigo knows them.
    #[error("DWARF describes its future in an unknown way")]
    UnknownState,
    /// The future's address is in no known register when the function is entered.
    #[error("DWARF does not say which register holds its future at entry (optimised out)")]
    NoAddress,
}

/// Looks up the poll functions that begin at `entries`, ELF virtual addresses; answers in the same
/// order.
pub fn layouts(image: &Image, entries: &[u64]) -> Vec<Result<FutureLayout, NoLayout>> {
    let found = with_all_dwarf(image, |dwarf| {
        let mut finder = Finder {
            image,
            dwarf,
            headers: headers(dwarf),
            units: HashMap::new(),
            found: HashMap::new(),
            known: awaits::Known::default(),
        };
        finder.search(&entries.iter().copied().collect());
        Some(finder.found)
    });
    let of = |entry: &u64| match &found {
        None => Err(NoLayout::NoDwarf),
        Some(found) => found.get(entry).cloned().unwrap_or(Err(NoLayout::Unknown)),
    };
    entries.iter().map(of).collect()
}

fn headers<'data>(dwarf: &Dwarf<Reader<'data>>) -> Vec<(usize, UnitHeader<Reader<'data>>)> {
    let mut headers = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let UnitSectionOffset(offset) = header.offset();
        headers.push((offset, header));
    }
    headers
}

struct Finder<'a, 'data> {
    image: &'a Image,
    dwarf: &'a Dwarf<Reader<'data>>,
    /// With their offsets in `.debug_info`, ascending.
    headers: Vec<(usize, UnitHeader<Reader<'data>>)>,
    units: HashMap<usize, Unit<Reader<'data>>>,
    found: HashMap<u64, Result<FutureLayout, NoLayout>>,
    known: awaits::Known,
}

/// An entry: the index of its unit, and its offset there.
type At = (usize, UnitOffset);

impl<'data> Finder<'_, 'data> {
    fn search(&mut self, entries: &BTreeSet<u64>) {
        for index in 0..self.headers.len() {
            // One damaged unit costs its own functions only.
            let Ok(subprograms) = self.subprograms(index, entries) else {
                continue;
            };
            for (address, at) in subprograms {
                let layout = self.layout(address, at);
                self.found.insert(address, layout);
            }
        }
    }

    /// Loads a unit, which stays loaded only when it is asked for again.
    fn load(&mut self, index: usize) -> Option<()> {
        if !self.units.contains_key(&index) {
            let header = self.headers.get(index)?.1;
            self.units.insert(index, self.dwarf.unit(header).ok()?);
        }
        Some(())
    }

    /// The wanted functions among those of a unit.
    fn subprograms(
        &mut self,
        index: usize,
        wanted: &BTreeSet<u64>,
    ) -> gimli::Result<Vec<(u64, At)>> {
        let mut subprograms = Vec::new();
        let unit = self.dwarf.unit(self.headers[index].1)?;
        let mut entries = unit.entries();
        let root = entries.next_dfs()?.ok_or(gimli::Error::MissingUnitDie)?;
        let mut ranges = code_ranges(self.dwarf, &unit, root)?;
        let (mut known, mut hit) = (false, false);
        while let Some(range) = ranges.next()? {
            known = true;
            hit |= range.begin < range.end && wanted.range(range.begin..range.end).next().is_some();
        }
        if known && !hit {
            return Ok(subprograms);
        }
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            if entry.tag() != gimli::DW_TAG_subprogram {
                continue;
            }
            let mut ranges = code_ranges(self.dwarf, &unit, entry)?;
            while let Some(range) = ranges.next()? {
                if wanted.contains(&range.begin) {
                    subprograms.push((range.begin, (index, entry.offset())));
                }
            }
        }
        if !subprograms.is_empty() {
            self.units.insert(index, unit);
        }
        Ok(subprograms)
    }

    /// What is known of the function at `address`.
    fn layout(&mut self, address: u64, at: At) -> Result<FutureLayout, NoLayout> {
        let parameter = self
            .child(at, gimli::DW_TAG_formal_parameter)
            .ok_or(NoLayout::NoFuture)?;
        let future = self.future_of(parameter).ok_or(NoLayout::NoFuture)?;
        let of_function = self
            .name(future)
            .is_some_and(|name| name.starts_with("{async_fn_env#"));
        let state = self.state(future).ok_or(NoLayout::UnknownState)?;
        let (state_offset, state_bytes, states) = state;
        let argument = self
            .argument(address, at, parameter)
            .ok_or(NoLayout::NoAddress)?;
        Ok(FutureLayout {
            of_function,
            argument,
            state_offset,
            state_bytes,
            states,
            suspensions: self.suspensions(future, 0),
        })
    }

    fn unit(&mut self, index: usize) -> Option<&Unit<Reader<'data>>> {
        self.load(index)?;
        self.units.get(&index)
    }

    fn entry(&mut self, at: At) -> Option<Die<'data>> {
        self.unit(at.0)?.entry(at.1).ok()
    }

    /// What an attribute refers to.
    fn reference(&mut self, at: At, name: gimli::DwAt) -> Option<At> {
        match self.entry(at)?.attr_value(name)? {
            AttributeValue::UnitRef(offset) => Some((at.0, offset)),
            AttributeValue::DebugInfoRef(offset) => self.global(offset),
            _ => None,
        }
    }

    fn global(&self, offset: DebugInfoOffset) -> Option<At> {
        let behind = self
            .headers
            .partition_point(|(start, _)| *start <= offset.0);
        let index = behind.checked_sub(1)?;
        let offset = offset.to_unit_offset(&self.headers[index].1)?;
        Some((index, offset))
    }

    /// The type of an entry, which may be with the abstract one that it is an instance of.
    fn type_of(&mut self, at: At) -> Option<At> {
        self.reference(at, gimli::DW_AT_type).or_else(|| {
            let origin = self.reference(at, gimli::DW_AT_abstract_origin)?;
            self.reference(origin, gimli::DW_AT_type)
        })
    }

    fn name(&mut self, at: At) -> Option<String> {
        let entry = self.entry(at)?;
        let unit = self.units.get(&at.0)?;
        text(self.dwarf, unit, entry.attr_value(gimli::DW_AT_name)?)
    }

    /// The first child with this tag.
    fn child(&mut self, at: At, tag: gimli::DwTag) -> Option<At> {
        self.children_until(at, tag, 1)?.pop()
    }

    /// The children with this tag.
    fn children(&mut self, at: At, tag: gimli::DwTag) -> Option<Vec<At>> {
        self.children_until(at, tag, usize::MAX)
    }

    fn children_until(&mut self, at: At, tag: gimli::DwTag, most: usize) -> Option<Vec<At>> {
        let mut visited = self.known.visited;
        let unit = self.unit(at.0)?;
        let mut entries = unit.entries_at_offset(at.1).ok()?;
        let depth = entries.next_dfs().ok()??.depth();
        let mut found = Vec::new();
        while found.len() < most
            && let Some(entry) = entries.next_dfs().ok()?
        {
            visited += 1;
            if entry.depth() <= depth || visited > MOST_VISITED {
                break;
            }
            if entry.depth() == depth + 1 && entry.tag() == tag {
                found.push((at.0, entry.offset()));
            }
        }
        self.known.visited = visited;
        (visited <= MOST_VISITED).then_some(found)
    }

    /// The type of the future, for a parameter of type `Pin<&mut {async_fn_env#0}>`.
    fn future_of(&mut self, parameter: At) -> Option<At> {
        let pin = self.type_of(parameter)?;
        if !self.name(pin)?.starts_with("Pin<&mut ") {
            return None;
        }
        let member = self.child(pin, gimli::DW_TAG_member)?;
        let pointer = self.type_of(member)?;
        let future = self.type_of(pointer)?;
        let name = self.name(future)?;
        let is_async = name.starts_with("{async_") && name.contains("_env#");
        is_async.then_some(future)
    }

    /// Offset, size and number of values of a future's state.
    fn state(&mut self, future: At) -> Option<(u32, u32, u32)> {
        let variants = self.child(future, gimli::DW_TAG_variant_part)?;
        let member = self.reference(variants, gimli::DW_AT_discr)?;
        if self.name(member)? != "__state" {
            return None;
        }
        let number = |entry: &Die<'_>, name| entry.attr_value(name)?.udata_value();
        let offset = number(&self.entry(member)?, gimli::DW_AT_data_member_location)?;
        let of_type = self.type_of(member)?;
        let bytes = number(&self.entry(of_type)?, gimli::DW_AT_byte_size)?;
        let mut states = 0_u32;
        for variant in self.children(variants, gimli::DW_TAG_variant)? {
            // The values are known to this monigo only if they count up from 0.
            let value = number(&self.entry(variant)?, gimli::DW_AT_discr_value)?;
            if value != u64::from(states) {
                return None;
            }
            states += 1;
        }
        let known = matches!(bytes, 1 | 2 | 4) && states >= 3;
        known.then_some((u32::try_from(offset).ok()?, bytes as u32, states))
    }

    /// The register that holds the parameter at the function's first instruction.
    fn argument(&mut self, address: u64, function: At, parameter: At) -> Option<Argument> {
        let value = self.entry(parameter)?.attr_value(gimli::DW_AT_location)?;
        let frame_base = self.entry(function)?.attr_value(gimli::DW_AT_frame_base);
        let unit = self.unit(parameter.0)?;
        let encoding = unit.encoding();
        let single = |expression: gimli::Expression<Reader<'data>>| {
            let mut operations = expression.operations(encoding);
            let first = operations.next().ok()??;
            operations.next().ok()?.is_none().then_some(first)
        };
        let dwarf = self.dwarf;
        let unit = self.units.get(&parameter.0)?;
        if let AttributeValue::Exprloc(expression) = value {
            return match single(expression)? {
                // Code that is not optimised stores it first of all.
                Operation::FrameOffset { offset } => {
                    let Some(AttributeValue::Exprloc(base)) = frame_base else {
                        return None;
                    };
                    let Operation::Register { register } = single(base)? else {
                        return None;
                    };
                    home::stored_argument(self.image, address, register.0, offset)
                }
                Operation::Register { register } => argument_in(register.0),
                _ => None,
            };
        }
        let mut locations = dwarf.attr_locations(unit, value).ok()??;
        while let Some(location) = locations.next().ok()? {
            if (location.range.begin..location.range.end).contains(&address) {
                let Operation::Register { register } = single(location.data)? else {
                    return None;
                };
                return argument_in(register.0);
            }
        }
        None
    }
}

fn argument_in(register: u16) -> Option<Argument> {
    ARGUMENTS
        .iter()
        .find(|(number, _)| *number == register)
        .map(|(_, argument)| *argument)
}
