//! Names: from what the linker saw to what a person wrote.

/// Demangled name as shown: Rust without its hash, C++ with parameters, anything else as it is.
/// Clone suffixes of C and C++ compilers stay, in brackets: `f(int) [.isra.0]`.
pub fn full(linkage_name: &str) -> String {
    printable(demangled(linkage_name))
}

/// Replaces control characters: a name from a hostile file must not steer the reader's terminal.
pub fn printable(name: String) -> String {
    if name.contains(char::is_control) {
        name.replace(char::is_control, "\u{fffd}")
    } else {
        name
    }
}

fn demangled(linkage_name: &str) -> String {
    let (base, suffix) = split_clone_suffix(linkage_name);
    let demangled = rust(base).or_else(|| cpp(base, true));
    match (demangled, suffix) {
        // ThinLTO renames without making a clone.
        (Some(name), suffix) if suffix.is_empty() || suffix.starts_with(".llvm.") => name,
        (Some(name), suffix) => format!("{name} [{suffix}]"),
        (None, _) => linkage_name.to_owned(),
    }
}

/// Demangled name without parameters, return type, hash and clone suffix. Generic arguments stay.
pub fn without_parameters(linkage_name: &str) -> String {
    let (base, _) = split_clone_suffix(linkage_name);
    rust(base)
        .or_else(|| cpp(base, false))
        .unwrap_or_else(|| base.to_owned())
}

/// Whether the linkage name is one of Rust's, under either mangling.
pub fn is_rust(linkage_name: &str) -> bool {
    if let Some(rest) = linkage_name.strip_prefix("_R") {
        return rest.starts_with(|c: char| c.is_ascii_uppercase())
            && rustc_demangle::try_demangle(linkage_name).is_ok();
    }
    // First: most names of a C program come by here.
    linkage_name.starts_with("_ZN") && has_legacy_hash(split_clone_suffix(linkage_name).0)
}

/// Whether the linkage name is mangled C++.
pub fn is_cpp(linkage_name: &str) -> bool {
    linkage_name.starts_with("_Z") && !is_rust(linkage_name)
}

/// `17h` and 16 hex digits before the final `E`, with enough distinct digits not to be a word.
fn has_legacy_hash(name: &str) -> bool {
    let Some(rest) = name.strip_suffix('E') else {
        return false;
    };
    let Some(start) = rest.len().checked_sub(19) else {
        return false;
    };
    let Some(tail) = rest.get(start..) else {
        return false;
    };
    tail.strip_prefix("17h")
        .is_some_and(|hash| hash.bytes().all(|c| c.is_ascii_hexdigit()))
}

fn rust(name: &str) -> Option<String> {
    if !is_rust(name) {
        return None;
    }
    // The alternate form leaves the hash out.
    Some(format!("{:#}", rustc_demangle::try_demangle(name).ok()?))
}

fn cpp(name: &str, parameters: bool) -> Option<String> {
    if !name.starts_with("_Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(name.as_bytes()).ok()?;
    let options = cpp_demangle::DemangleOptions::new();
    let options = if parameters {
        options
    } else {
        options.no_params().no_return_type()
    };
    symbol.demangle_with_options(&options).ok()
}

/// Splits compiler clone suffixes (`.isra.0`, `.part.3.cold`, `.llvm.123`) from a linkage name.
/// Names that only look alike (Go's `main.part`, file names) are left whole.
pub fn split_clone_suffix(linkage_name: &str) -> (&str, &str) {
    const KINDS: [&str; 9] = [
        "isra",
        "part",
        "constprop",
        "cold",
        "lto_priv",
        "localalias",
        "llvm",
        "clone",
        "warm",
    ];
    let mut end = linkage_name.len();
    loop {
        let head = &linkage_name[..end];
        let Some(dot) = head.rfind('.') else { break };
        let word = &head[dot + 1..];
        if KINDS.contains(&word) {
            end = dot;
            continue;
        }
        let number = !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit());
        if !number {
            break;
        }
        // A number counts only behind a word that takes one.
        let before = &head[..dot];
        let Some(dot) = before.rfind('.') else { break };
        if !KINDS.contains(&&before[dot + 1..]) {
            break;
        }
        end = dot;
    }
    if end == 0 {
        return (linkage_name, "");
    }
    linkage_name.split_at(end)
}

/// The function that the compiler split a part off: `f.isra.0` for `f.isra.0.part.1`.
pub fn split_from(linkage_name: &str) -> Option<&str> {
    let (base, suffix) = split_clone_suffix(linkage_name);
    let at = suffix.rfind(".part.")?;
    Some(&linkage_name[..base.len() + at])
}

/// Removes generic arguments (`<…>`, Go's `[…]`), keeping `<T as Trait>` heads and operators.
pub fn without_generics(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &name[at..];
        if depth == 0
            && let Some(operator) = operator_at(name, at)
        {
            out.push_str(operator);
            at += operator.len();
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        match c {
            // A `<` that begins a path is the head of `<T as Trait>::method`.
            '<' if depth == 0 && begins_path(&out) => {
                let (inside, consumed) = balanced(rest);
                out.push('<');
                match split_as(inside) {
                    Some((ty, tr)) => {
                        out.push_str(&without_generics(ty));
                        out.push_str(" as ");
                        out.push_str(&without_generics(tr));
                    }
                    None => out.push_str(&without_generics(inside)),
                }
                out.push('>');
                at += consumed;
                continue;
            }
            '<' | '[' => depth += 1,
            // The arrow of a function type is no bracket.
            '>' if at > 0 && bytes[at - 1] == b'-' && depth > 0 => {}
            '>' if at > 0 && bytes[at - 1] == b'-' => out.push(c),
            '>' | ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
        at += c.len_utf8();
    }
    // Rust writes the turbofish: `f::<T>`.
    while out.contains("::::") {
        out = out.replace("::::", "::");
    }
    let out = out.strip_suffix("::").unwrap_or(&out);
    out.trim_end().to_owned()
}

/// `operator<`, `operator->` and the like at `at`, which must not count as brackets.
fn operator_at(name: &str, at: usize) -> Option<&str> {
    const SIGNS: [&str; 14] = [
        "<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "()", "[]", "<", ">", ",",
    ];
    let rest = name.get(at..)?;
    let tail = rest.strip_prefix("operator")?;
    let word_before = name[..at]
        .chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || c == '_');
    if word_before {
        return None;
    }
    let sign = SIGNS.iter().find(|sign| tail.starts_with(**sign))?;
    Some(&rest[.."operator".len() + sign.len()])
}

fn begins_path(out: &str) -> bool {
    // `operator<< <char>`: arguments, for all the space before them.
    let after_operator = out
        .trim_end()
        .rsplit_once("operator")
        .is_some_and(|(_, sign)| {
            !sign.is_empty() && sign.chars().all(|c| c.is_ascii_punctuation() && c != '_')
        });
    if after_operator {
        return false;
    }
    out.is_empty() || out.ends_with([' ', '(', ',', '&', '*'])
}

/// What is between the bracket that `text` begins with and its partner, and how many bytes both
/// and the inside take. Without a partner, everything is inside.
fn balanced(text: &str) -> (&str, usize) {
    let mut depth = 0_usize;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if previous != '-' => {
                depth -= 1;
                if depth == 0 {
                    return (&text[1..at], at + 1);
                }
            }
            _ => {}
        }
        previous = c;
    }
    (&text[1..], text.len())
}

/// Splits `T as Trait` at the outermost ` as `.
pub(super) fn split_as(inside: &str) -> Option<(&str, &str)> {
    let mut depth = 0_i32;
    for (at, c) in inside.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ' ' if depth == 0 && inside[at..].starts_with(" as ") => {
                return Some((&inside[..at], &inside[at + 4..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(full("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(full("größe"), "größe");
    }

    #[test]
    fn rust_names() {
        let legacy = "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE";
        assert_eq!(full(legacy), "core::fmt::Formatter::write_str");
        assert!(is_rust(legacy));
        assert!(!is_cpp(legacy));
        let llvm = format!("{legacy}.llvm.1234567");
        assert_eq!(without_parameters(&llvm), "core::fmt::Formatter::write_str");
        assert_eq!(full("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
    }

    #[test]
    fn cpp_names() {
        assert_eq!(full("_ZN3foo3barEi"), "foo::bar(int)");
        assert_eq!(without_parameters("_ZN3foo3barEi"), "foo::bar");
        assert_eq!(full("_ZN3foo3barEi.isra.0"), "foo::bar(int) [.isra.0]");
        assert!(is_cpp("_ZN3foo3barEi"));
        // A C function is not mangled, whatever it begins with.
        assert_eq!(full("_Zap"), "_Zap");
    }

    #[test]
    fn clone_suffixes() {
        assert_eq!(split_clone_suffix("f"), ("f", ""));
        assert_eq!(split_clone_suffix("f.cold"), ("f", ".cold"));
        assert_eq!(split_clone_suffix("f.cold.0"), ("f", ".cold.0"));
        assert_eq!(
            split_clone_suffix("f.isra.0.constprop.12.cold"),
            ("f", ".isra.0.constprop.12.cold")
        );
        assert_eq!(split_clone_suffix("main.handle"), ("main.handle", ""));
        assert_eq!(
            split_clone_suffix("main.main.func1"),
            ("main.main.func1", "")
        );
        assert_eq!(split_clone_suffix("main.go.0"), ("main.go.0", ""));
        assert_eq!(split_clone_suffix(".cold"), (".cold", ""));
    }

    #[test]
    fn parts_know_their_function() {
        assert_eq!(split_from("f.isra.0.part.1"), Some("f.isra.0"));
        assert_eq!(split_from("f.part.0.constprop.2"), Some("f"));
        for whole in ["f", "f.isra.0", "main.part", "f.partial.0"] {
            assert_eq!(split_from(whole), None, "{whole}");
        }
    }

    #[test]
    fn generics() {
        for (name, stripped) in [
            ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec::push"),
            ("foo::bar::<u8>", "foo::bar"),
            ("foo::bar::<u8>::baz", "foo::bar::baz"),
            ("main.Map[go.shape.int,string]", "main.Map"),
            ("main.(*Tree[...]).Insert", "main.(*Tree).Insert"),
            (
                "<alloc::vec::Vec<T> as core::ops::Drop>::drop",
                "<alloc::vec::Vec as core::ops::Drop>::drop",
            ),
            ("std::operator<< <char>", "std::operator<<"),
            ("operator<<<int>", "operator<<"),
            ("Foo::operator->", "Foo::operator->"),
            ("std::map<int, std::pair<a, b> >::find", "std::map::find"),
            ("f<void (*)(int)->x>", "f"),
            ("", ""),
            ("<", "<>"),
            ("a<b", "a"),
        ] {
            assert_eq!(without_generics(name), stripped, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(name in "(_ZN|_R|<)?[\\PC<>:.\\[\\]]{0,60}") {
            let _ = full(&name);
            let _ = without_parameters(&name);
            let _ = without_generics(&name);
            let (base, suffix) = split_clone_suffix(&name);
            proptest::prop_assert_eq!(format!("{base}{suffix}"), name);
        }
    }
}
