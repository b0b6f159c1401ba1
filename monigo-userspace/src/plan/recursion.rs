//! Whether a function can be called while it runs, as far as direct calls tell.

use std::collections::HashSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl};

use crate::symbols::{Function, Image};

/// Functions looked at before the answer is "perhaps".
const MOST_FUNCTIONS: usize = 20_000;

/// Whether `function` can reach itself through direct calls and jumps. Calls through pointers and
/// into other images are not followed.
pub fn may_recurse(image: &Image, function: &Function) -> bool {
    let Some(start) = function.entry() else {
        return false;
    };
    let mut seen: HashSet<u64> = HashSet::new();
    let mut pending = vec![function];
    while let Some(current) = pending.pop() {
        for target in targets(image, current) {
            let Some(callee) = image.function_at(target) else {
                continue;
            };
            let Some(entry) = callee.entry() else {
                continue;
            };
            if entry == start {
                // A jump inside the function is no call of it.
                if current.entry() == Some(start) && target != start {
                    continue;
                }
                return true;
            }
            if seen.insert(entry) {
                pending.push(callee);
            }
        }
        if seen.len() > MOST_FUNCTIONS {
            return true;
        }
    }
    false
}

/// Where a function calls or jumps to directly, outside of what it is decoding.
fn targets(image: &Image, function: &Function) -> Vec<u64> {
    let mut targets = Vec::new();
    for range in &function.ranges {
        let Some(code) = image.code(range.clone()) else {
            continue;
        };
        let decoder = Decoder::with_ip(64, code, range.start, DecoderOptions::NONE);
        for instruction in decoder {
            let call = instruction.flow_control() == FlowControl::Call;
            let jump = matches!(
                instruction.flow_control(),
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
            );
            if !(call || jump) {
                continue;
            }
            let target = instruction.near_branch_target();
            if call || !function.contains(target) || Some(target) == function.entry() {
                targets.push(target);
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_and_mutual_recursion_are_found() {
        let source = "\
            __attribute__((noinline)) int leaf(int n) { __asm__ volatile(\"\"); return n + 1; }\n\
            __attribute__((noinline)) int direct(int n) { __asm__ volatile(\"\"); return n ? direct(n - 1) + n * leaf(n) : 0; }\n\
            int odd(int n);\n\
            __attribute__((noinline)) int even(int n) { __asm__ volatile(\"\"); return n ? odd(n - 1) * 3 : 1; }\n\
            __attribute__((noinline)) int odd(int n) { __asm__ volatile(\"\"); return n ? even(n - 1) * 5 : 0; }\n\
            __attribute__((noinline)) int caller(int n) { __asm__ volatile(\"\"); return leaf(n) + direct(n); }\n\
            int main(int argc, char **argv) { (void)argv; return caller(argc) + even(argc); }\n";
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recursion.c");
        std::fs::write(&path, source).unwrap();
        for optimisation in ["-O0", "-O1"] {
            let binary = directory.path().join("recursion");
            let status = std::process::Command::new("gcc")
                .args([optimisation, "-o"])
                .args([&binary, &path])
                .status()
                .unwrap();
            assert!(status.success());
            let image = Image::open(&binary).unwrap();
            let recurses = |name: &str| {
                let function = image.functions().iter().find(|f| f.name() == name);
                may_recurse(&image, function.unwrap())
            };
            for name in ["direct", "even", "odd"] {
                assert!(recurses(name), "{name} at {optimisation}");
            }
            for name in ["leaf", "caller", "main"] {
                assert!(!recurses(name), "{name} at {optimisation}");
            }
        }
    }
}
