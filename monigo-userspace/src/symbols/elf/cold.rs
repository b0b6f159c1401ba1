//! Cold parts: code of a function that the compiler moved out of the way.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::super::{Function, FunctionKind, Image, bytes::u32_at, demangle};

/// Joins `f.cold` to `f`: same call, moved out of the way by the compiler.
///
/// LLVM uses the same suffix for parts that it *calls*, which have returns of their own, so a part
/// is joined only to a function of its name that jumps into it.
pub(super) fn join_cold_parts(image: &Image, functions: &mut Vec<Function>) {
    let is_cold = |function: &Function| {
        let (_, suffix) = demangle::split_clone_suffix(&function.linkage_name);
        function.kind == FunctionKind::Code && suffix.split('.').any(|word| word == "cold")
    };
    let cold: Vec<usize> = (0..functions.len())
        .filter(|at| is_cold(&functions[*at]))
        .collect();
    if cold.is_empty() {
        return;
    }
    let mut parents: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, function) in functions.iter().enumerate() {
        if function.kind == FunctionKind::Code && !is_cold(function) {
            for name in function.linkage_names() {
                parents.entry(name).or_default().push(at);
            }
        }
    }
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for part in cold {
        let Some(range) = functions[part].ranges.first() else {
            continue;
        };
        let Some(candidates) = parents.get(parent_name(&functions[part].linkage_name)) else {
            continue;
        };
        let edges = |at: &usize| edges_into(image, &functions[*at], range);
        let jumping: Vec<usize> = candidates
            .iter()
            .copied()
            .filter(|at| edges(at).jumps)
            .collect();
        match jumping.as_slice() {
            [parent] => joined.push((*parent, part)),
            // Only a jump table leads there.
            [] => {
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
    for at in 0..code.len() {
        match code[at] {
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
