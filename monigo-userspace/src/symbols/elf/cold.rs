//! Parts of functions that have symbols of their own: code that the compiler moved out of the way, and
//! what it split off so that the rest can be inlined.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::super::{Function, FunctionKind, Image, bytes::u32_at, demangle};

/// Joins `f.cold` and `f.part.0` to `f`: same call, in another place.
///
/// LLVM uses the first suffix also for parts that it *calls*, which have returns of their own, so a part
/// is joined only to a function of its name that jumps into it.
pub(super) fn join_parts(image: &Image, functions: &mut Vec<Function>) {
    // Every function comes by here, and few have a suffix.
    let may_be_part = |function: &Function| {
        function.kind == FunctionKind::Code && function.linkage_name.contains('.')
    };
    let is_cold = |function: &Function| {
        may_be_part(function) && {
            let (_, suffix) = demangle::split_clone_suffix(&function.linkage_name);
            suffix.split('.').any(|word| word == "cold")
        }
    };
    let is_split = |function: &Function| {
        may_be_part(function) && demangle::split_from(&function.linkage_name).is_some()
    };
    let mut parts: Vec<usize> = (0..functions.len())
        .filter(|at| is_cold(&functions[*at]) || is_split(&functions[*at]))
        .collect();
    if parts.is_empty() {
        return;
    }
    // Parts of parts come first.
    parts.sort_by_key(|at| std::cmp::Reverse(functions[*at].linkage_name.len()));
    let mut parents: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, function) in functions.iter().enumerate() {
        if function.kind == FunctionKind::Code && !is_cold(function) {
            for name in function.linkage_names() {
                parents.entry(name).or_default().push(at);
            }
        }
    }
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for part in parts {
        let cold = is_cold(&functions[part]);
        let name = &functions[part].linkage_name;
        let parent = if cold {
            parent_name(name)
        } else {
            demangle::split_from(name).unwrap_or(name)
        };
        let (Some(range), Some(candidates)) = (functions[part].ranges.first(), parents.get(parent))
        else {
            continue;
        };
        let edges = |at: &usize| edges_into(image, &functions[*at], range);
        let jumping: Vec<usize> = candidates
            .iter()
            .copied()
            .filter(|at| edges(at).jumps && (cold || !edges(at).calls))
            .collect();
        match jumping.as_slice() {
            [parent] => joined.push((*parent, part)),
            // Only a jump table leads there.
            [] if cold => {
                if let [parent] = candidates.as_slice()
                    && !edges(parent).calls
                {
                    joined.push((*parent, part));
                }
            }
            _ => {}
        }
    }
    for (parent, part) in &joined {
        let ranges = functions[*part].ranges.clone();
        functions[*parent].ranges.extend(ranges);
    }
    let parts: HashSet<usize> = joined.iter().map(|(_, part)| *part).collect();
    let mut at = 0;
    functions.retain(|_| {
        at += 1;
        !parts.contains(&(at - 1))
    });
}

/// `f.isra.0` for `f.isra.0.cold.3`.
fn parent_name(cold_name: &str) -> &str {
    let without_number = cold_name
        .rsplit_once('.')
        .filter(|(_, word)| word.bytes().all(|c| c.is_ascii_digit()))
        .map_or(cold_name, |(head, _)| head);
    without_number
        .strip_suffix(".cold")
        .unwrap_or(without_number)
}

struct Edges {
    jumps: bool,
    calls: bool,
}

/// Direct jumps and calls from a function into `target`. Looks at every byte position instead of
/// disassembling: four displacement bytes that hit the range by chance are no practical concern.
fn edges_into(image: &Image, function: &Function, target: &Range<u64>) -> Edges {
    let mut edges = Edges {
        jumps: false,
        calls: false,
    };
    let Some(range) = function.ranges.first() else {
        return edges;
    };
    let Some(code) = image.code(range.clone()) else {
        return edges;
    };
    let lands = |at: usize| {
        let Some(displacement) = u32_at(code, at) else {
            return false;
        };
        let next = range.start.wrapping_add(at as u64 + 4);
        let landing = next.wrapping_add_signed(i64::from(displacement.cast_signed()));
        target.contains(&landing)
    };
    // One byte may look like a displacement by chance, so it has to lead to the first instruction.
    let lands_near = |at: usize| {
        let Some(displacement) = code.get(at) else {
            return false;
        };
        let next = range.start.wrapping_add(at as u64 + 1);
        let landing = next.wrapping_add_signed(i64::from(displacement.cast_signed()));
        landing == target.start
    };
    for at in 0..code.len() {
        match code[at] {
            0xeb | 0x70..=0x7f => edges.jumps |= lands_near(at + 1),
            0xe9 => edges.jumps |= lands(at + 1),
            0xe8 => edges.calls |= lands(at + 1),
            0x0f if code.get(at + 1).is_some_and(|op| op & 0xf0 == 0x80) => {
                edges.jumps |= lands(at + 2);
            }
            _ => {}
        }
    }
    edges
}
