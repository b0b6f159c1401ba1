//! Telling functions of a language's runtime from those of the program.

use crate::symbols::Language;

/// Standard library of Go as far as programs do not call it for what it does for them.
const GO: [&str; 12] = [
    "runtime.",
    "runtime/",
    "internal/",
    "vendor/",
    "reflect.",
    "sync/atomic.",
    "syscall.",
    "unsafe.",
    "type:",
    "type..",
    "go:",
    "go.",
];
/// What every Rust program is linked with.
const RUST: [&str; 9] = [
    "core::",
    "alloc::",
    "std::",
    "proc_macro::",
    "compiler_builtins::",
    "std_detect::",
    "panic_unwind::",
    "rustc_std_workspace_core::",
    "hashbrown::",
];
/// What C and C++ programs are linked with.
const NATIVE: [&str; 6] = [
    "std::",
    "__gnu_cxx::",
    "__cxxabiv1::",
    "operator new",
    "operator delete",
    "_Unwind_",
];
/// Names that belong to the tool chain, whatever the language.
const START_UP: [&str; 9] = [
    "frame_dummy",
    "register_tm_clones",
    "deregister_tm_clones",
    "rust_begin_unwind",
    "rust_eh_personality",
    "rust_panic",
    "_init",
    "_fini",
    "_start",
];

/// Whether a function, by its demangled name, belongs to the runtime of its language: code that
/// the tool chain brings and that a user neither wrote nor calls by name.
pub fn is_runtime(name: &str, language: Language) -> bool {
    if name.starts_with("__") || START_UP.contains(&name) {
        return true;
    }
    match language {
        // Hand-written assembly has no package.
        Language::Go if !name.contains('.') || name.starts_with("_.") => return true,
        // `<u64 as core::fmt::Display>::fmt`: nobody's type, and a trait of the library.
        Language::Rust if name.starts_with('<') && of_primitive(name) => return true,
        _ => {}
    }
    let prefixes: &[&str] = match language {
        Language::Go => &GO,
        Language::Rust => &RUST,
        _ => &NATIVE,
    };
    // `<alloc::vec::Vec<T> as core::ops::Drop>::drop` belongs to the type it is for, and
    // `<&mut I as core::iter::Iterator>::next` to nobody's code.
    let owner = if language == Language::Go {
        name
    } else {
        name.trim_start_matches(['<', '&', '*', '('])
            .trim_start_matches("mut ")
            .trim_start_matches("const ")
            .trim_start_matches("dyn ")
    };
    prefixes.iter().any(|prefix| owner.starts_with(prefix))
}

fn of_primitive(name: &str) -> bool {
    let inside = name.trim_start_matches('<');
    let Some((owner, rest)) = inside.split_once(" as ") else {
        return false;
    };
    !owner.contains("::") && RUST.iter().any(|prefix| rest.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write_stays() {
        for (name, language) in [
            ("main.main", Language::Go),
            ("net/http.(*conn).serve", Language::Go),
            ("encoding/json.Marshal", Language::Go),
            ("app::work", Language::Rust),
            ("<app::Thing as core::fmt::Display>::fmt", Language::Rust),
            ("main", Language::C),
            ("stdlib_like", Language::C),
            ("shop::Cart::add(int)", Language::Cpp),
        ] {
            assert!(!is_runtime(name, language), "{name}");
        }
    }

    #[test]
    fn what_tool_chains_bring_goes() {
        for (name, language) in [
            ("runtime.mallocgc", Language::Go),
            ("internal/poll.(*FD).Read", Language::Go),
            ("type:.eq.main.T", Language::Go),
            ("indexbytebody", Language::Go),
            ("<u64 as core::fmt::Display>::fmt", Language::Rust),
            ("core::fmt::write", Language::Rust),
            (
                "<alloc::vec::Vec<T> as core::clone::Clone>::clone",
                Language::Rust,
            ),
            (
                "<&mut std::io::Stdout as std::io::Write>::write",
                Language::Rust,
            ),
            ("__rust_alloc", Language::Rust),
            ("_start", Language::C),
            ("std::vector<int>::push_back(int)", Language::Cpp),
        ] {
            assert!(is_runtime(name, language), "{name}");
        }
    }
}
