//! The forms of a name that a pattern is compared with.

use super::super::{
    Image,
    demangle::{self, split_as, without_generics},
};

/// Full demangled name; Go's names are not mangled, whatever they begin with.
pub(super) fn full(image: &Image, linkage_name: &str) -> String {
    if image.go().is_some() && !linkage_name.starts_with("_Z") {
        linkage_name.to_owned()
    } else {
        demangle::full(linkage_name)
    }
}

/// A pattern as it is compared: without the generic arguments that paths do not have either.
pub(super) fn normal_pattern(pattern: &str) -> String {
    pattern.trim().to_owned()
}

/// The last identifier of a pattern, if every mangling spells it out.
pub(super) fn searchable_word(pattern: &str) -> Option<String> {
    // Abbreviated by the C++ mangling.
    const ABBREVIATED: [&str; 6] = [
        "allocator",
        "basic_string",
        "string",
        "istream",
        "ostream",
        "iostream",
    ];
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !pattern
        .chars()
        .all(|c| plain(c) || matches!(c, ':' | '.' | '/'))
    {
        return None;
    }
    let word = pattern.rsplit([':', '.', '/']).next()?;
    (!word.is_empty() && !ABBREVIATED.contains(&word)).then(|| word.to_owned())
}

/// A linkage name without what marks clones that the compiler made; Go's names have no such marks.
pub(super) fn base<'n>(image: &Image, linkage_name: &'n str) -> &'n str {
    if image.go().is_some() && !linkage_name.starts_with("_Z") {
        return linkage_name;
    }
    demangle::split_clone_suffix(linkage_name).0
}

/// Paths that a suffix may be taken of: without hash, generics, parameters and clone suffix;
/// `<T as Trait>::f` counts as `T::f` and `Trait::f`, Go's `(*T).f` as `T.f`, too.
pub(super) fn paths(image: &Image, linkage_name: &str) -> Vec<String> {
    if image.go().is_some() && !linkage_name.starts_with("_Z") {
        let plain = without_generics(linkage_name);
        let bare = plain.replace("(*", "").replace(')', "");
        return if bare == plain {
            vec![plain]
        } else {
            vec![plain, bare]
        };
    }
    let named = demangle::without_parameters(linkage_name);
    let plain = without_generics(&named);
    let plain = plain.strip_suffix(" const").unwrap_or(&plain).trim_end();
    let mut out = vec![plain.to_owned()];
    if let Some((head, rest)) = plain
        .strip_prefix('<')
        .and_then(|inside| inside.split_once(">::"))
    {
        match split_as(head) {
            Some((ty, tr)) => {
                out.push(format!("{ty}::{rest}"));
                out.push(format!("{tr}::{rest}"));
            }
            None => out.push(format!("{head}::{rest}")),
        }
    }
    // With parameters or generic arguments, for who gives them.
    let (base, _) = demangle::split_clone_suffix(linkage_name);
    out.push(demangle::full(base));
    if named != plain {
        out.push(named);
    }
    out
}

/// For a closure, the path of the function around it.
pub(super) fn closure_parent(image: &Image, linkage_name: &str) -> Option<String> {
    if image.go().is_some() || !demangle::is_rust(linkage_name) {
        return None;
    }
    let path = without_generics(&demangle::without_parameters(linkage_name));
    let (parent, last) = path.rsplit_once("::")?;
    let closure = last == "{{closure}}" || last.starts_with("{closure#");
    closure.then(|| parent.to_owned())
}

/// Whether `path` is `suffix`, or ends with it behind a separator.
pub(super) fn ends_with_path(path: &str, suffix: &str) -> bool {
    path.strip_suffix(suffix).is_some_and(|head| {
        head.is_empty() || head.ends_with("::") || head.ends_with('.') || head.ends_with('/')
    })
}

/// What instances of one logical function have in common.
pub(super) fn key(image: &Image, linkage_name: &str) -> String {
    if image.go().is_some() && !linkage_name.starts_with("_Z") {
        return without_generics(linkage_name);
    }
    let (base, _) = demangle::split_clone_suffix(linkage_name);
    let named = demangle::without_parameters(base);
    let plain = without_generics(&named);
    // Overloads are different functions; instances of one template are not, though their
    // parameters differ, too.
    let template = named.trim_end().ends_with('>') && !plain.ends_with("operator>");
    if template || !demangle::is_cpp(base) {
        return plain;
    }
    without_generics(&demangle::full(base))
}

/// The last component of a path.
pub(super) fn last_component(path: &str) -> &str {
    path.rsplit([':', '.', '/']).next().unwrap_or(path)
}
