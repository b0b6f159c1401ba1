//! Finding functions by what a user types.
//!
//! A source line, `file.c:42`, names the functions with code of that line.
//!
//! Tiers of names, the first that hits wins: a symbol's raw name; a full demangled path; a suffix of a path
//! at `::`, `.` or `/`, without hash, generic arguments, parameters and clone suffixes; a closure
//! of a function so named; and, only if the pattern has metacharacters, a glob or a `/regex/`.

mod error;
mod names;
mod suggest;

use std::collections::{BTreeMap, HashSet};

use regex::{Regex, RegexBuilder};

pub use self::error::{MatchError, Unprobeable};
use super::{Function, FunctionKind, Image, demangle, go, lines};

/// Which rule made a pattern match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// `file.c:42`.
    Line,
    /// A name of the symbol table or pclntab, letter by letter.
    Raw,
    /// A full demangled name.
    Full,
    /// The end of a path.
    Suffix,
    /// A closure inside a function of that name: all that is left of an `async fn`.
    Closure,
    /// `*` and `?`.
    Glob,
    /// `/regular expression/`.
    Regex,
}

/// One logical function with every instance of it that has code: generic instances, clones,
/// statics of the same name in several files.
#[derive(Clone, Debug)]
pub struct Group<'i> {
    /// Name for all of them together.
    pub name: String,
    /// What its calls really are, where that is not plain: `async poll`.
    pub label: Option<&'static str>,
    /// The instances, by address; never empty.
    pub functions: Vec<&'i Function>,
}

/// Label of closures matched by the name of the function around them.
pub const ASYNC_POLL: &str = "async poll";

/// What a pattern matched.
#[derive(Clone, Debug)]
pub struct Matches<'i> {
    /// As typed.
    pub pattern: String,
    /// The rule that matched.
    pub tier: Tier,
    /// Logical functions with code, by name; never empty.
    pub groups: Vec<Group<'i>>,
    /// Matched as well, but without code to probe.
    pub skipped: Vec<&'i Function>,
}

impl<'i> Matches<'i> {
    /// The groups, if there is only one or all of them are wanted.
    pub fn select(self, all: bool) -> Result<Vec<Group<'i>>, MatchError> {
        if all || self.groups.len() == 1 {
            return Ok(self.groups);
        }
        Err(MatchError::Ambiguous {
            pattern: self.pattern,
            functions: self.groups.into_iter().map(|group| group.name).collect(),
        })
    }
}

/// A pattern, parsed.
enum Matcher {
    Name { text: String, last: Option<String> },
    Expression(Tier, Regex),
}

/// Finds the functions of `image` that `pattern` names.
///
/// # Errors
/// Nothing matches, or only what has no code of its own; each with the reason and the next step.
pub fn find<'i>(image: &'i Image, pattern: &str) -> Result<Matches<'i>, MatchError> {
    let text = pattern.trim();
    if text.is_empty() {
        return Err(MatchError::Empty);
    }
    if let Some((file, line)) = source_line(text) {
        return at_line(image, text, file, line);
    }
    let functions = image.functions();
    for matcher in matchers(text)? {
        let tiers: &[Tier] = match &matcher {
            Matcher::Name { .. } => &[Tier::Raw, Tier::Full, Tier::Suffix, Tier::Closure],
            Matcher::Expression(Tier::Glob, _) => &[Tier::Glob],
            Matcher::Expression(..) => &[Tier::Regex],
        };
        for tier in tiers {
            let hits: Vec<&Function> = functions
                .iter()
                .filter(|function| matcher.hits(image, function, *tier))
                .collect();
            if !hits.is_empty() {
                return grouped(image, text, *tier, hits);
            }
        }
    }
    Err(error::no_match(image, text))
}

/// The functions that have code of a source line.
fn at_line<'i>(
    image: &'i Image,
    pattern: &str,
    file: &str,
    line: u32,
) -> Result<Matches<'i>, MatchError> {
    let code = lines::code_of(image, file, line);
    let (mut own, mut around): (Vec<&Function>, Vec<&Function>) = (Vec::new(), Vec::new());
    for (address, inlined) in &code.places {
        let hits = if *inlined { &mut around } else { &mut own };
        hits.extend(image.function_at(*address));
    }
    for hits in [&mut own, &mut around] {
        hits.sort_by_key(|function| function.entry());
        hits.dedup_by_key(|function| function.entry());
    }
    if own.is_empty() {
        return Err(error::no_line(image, pattern, &code, line, &around));
    }
    grouped(image, pattern, Tier::Line, own)
}

/// A source file, or the end of its path, and a line: `src/main.c:42`.
pub fn source_line(text: &str) -> Option<(&str, u32)> {
    let (file, line) = text.rsplit_once(':')?;
    let name = file.rsplit('/').next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let plain = !stem.is_empty()
        && !file.contains(':')
        && extension.starts_with(|c: char| c.is_ascii_alphabetic());
    let digits = !line.is_empty() && line.bytes().all(|c| c.is_ascii_digit());
    (plain && digits).then(|| Some((file, line.parse().ok()?)))?
}

/// A pattern is a name first, whatever characters it has: Go's `main.(*Server).Handle` is no glob.
fn matchers(text: &str) -> Result<Vec<Matcher>, MatchError> {
    let mut matchers = Vec::new();
    let expression = text
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
        .filter(|inside| !inside.is_empty());
    // No name ends with a bare glob: comparing it with each in every form would take its time.
    let bare = text.chars().all(|c| matches!(c, '*' | '?'));
    if expression.is_none() && !bare {
        matchers.push(Matcher::Name {
            text: names::normal_pattern(text),
            last: names::searchable_word(text),
        });
    }
    if let Some(expression) = expression {
        let regex = RegexBuilder::new(expression).build();
        let regex = regex.map_err(|error| MatchError::BadRegex {
            pattern: text.to_owned(),
            reason: reason_of(&error),
        })?;
        matchers.push(Matcher::Expression(Tier::Regex, regex));
    } else if text.contains(['*', '?'])
        && let Ok(glob) = Regex::new(&glob_to_regex(text))
    {
        matchers.push(Matcher::Expression(Tier::Glob, glob));
    }
    Ok(matchers)
}

/// The last line of a regex error says what is wrong; the others draw a picture.
fn reason_of(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or("it does not parse");
    last.trim().trim_start_matches("error: ").to_owned()
}

/// A glob has to match a whole path, or its end from a separator on.
fn glob_to_regex(glob: &str) -> String {
    let mut out = String::from(r"^(?:.*(?:::|\.|/))?");
    for c in glob.chars() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    out
}

impl Matcher {
    fn hits(&self, image: &Image, function: &Function, tier: Tier) -> bool {
        match self {
            Self::Name { text, last } => match tier {
                // Clones are the same function, whose calls would be missing without them.
                // Every function comes by here, and a clone's name begins with that of the function.
                Tier::Raw => function.linkage_names().any(|name| {
                    name == text || name.starts_with(text) && names::base(image, name) == text
                }),
                Tier::Full if !could_contain(function, last.as_deref()) => false,
                Tier::Full => {
                    function.name() == text
                        || function.linkage_names().any(|name| {
                            let base = names::base(image, name);
                            names::full(image, name) == *text
                                || base != name && names::full(image, base) == *text
                        })
                }
                _ if !could_contain(function, last.as_deref()) => false,
                Tier::Closure => function.linkage_names().any(|name| {
                    names::closure_parent(image, name)
                        .is_some_and(|parent| names::ends_with_path(&parent, text))
                }),
                _ => function.linkage_names().any(|name| {
                    names::paths(image, name)
                        .iter()
                        .any(|path| names::ends_with_path(path, text))
                }),
            },
            Self::Expression(_, regex) => {
                // Glue that the compiler generates carries the name of every type.
                let glue = |name: &str| {
                    name.starts_with("core::ptr::drop_in_place")
                        && !regex.as_str().contains("drop_in_place")
                };
                let name = function.name();
                if glue(name) {
                    return false;
                }
                regex.is_match(name)
                    || function.linkage_names().any(|name| regex.is_match(name))
                    || names::paths(image, &function.linkage_name)
                        .iter()
                        .any(|path| regex.is_match(path))
            }
        }
    }
}

/// Manglings keep identifiers readable, so most functions are ruled out without demangling them.
fn could_contain(function: &Function, word: Option<&str>) -> bool {
    word.is_none_or(|word| function.linkage_names().any(|name| name.contains(word)))
}

fn grouped<'i>(
    image: &'i Image,
    pattern: &str,
    tier: Tier,
    hits: Vec<&'i Function>,
) -> Result<Matches<'i>, MatchError> {
    let (code, skipped): (Vec<_>, Vec<_>) = hits
        .into_iter()
        .partition(|function| function.kind == FunctionKind::Code);
    if code.is_empty() {
        return Err(error::unprobeable(image, pattern, &skipped));
    }
    let mut by_key: BTreeMap<String, Vec<&'i Function>> = BTreeMap::new();
    for function in code {
        let key = names::key(image, matched_name(function, pattern, tier));
        by_key.entry(key).or_default().push(function);
    }
    by_key.values_mut().for_each(drop_called_parts);
    if matches!(tier, Tier::Suffix | Tier::Closure) && by_key.len() > 1 {
        drop_generated(image, &mut by_key);
    }
    let label = (tier == Tier::Closure).then_some(ASYNC_POLL);
    let groups = by_key
        .into_iter()
        .map(|(key, functions)| Group {
            name: group_name(image, key, &functions, pattern, tier),
            label,
            functions,
        })
        .collect();
    Ok(Matches {
        pattern: pattern.to_owned(),
        tier,
        groups,
        skipped,
    })
}

/// What the compiler split off a function and that function calls is within its call. If it is
/// jumped to, it has been joined to it.
fn drop_called_parts(functions: &mut Vec<&Function>) {
    if functions.len() < 2 {
        return;
    }
    let whole: HashSet<&str> = functions.iter().flat_map(|f| f.linkage_names()).collect();
    let is_part = |function: &Function| {
        let mut parents = function.linkage_names().filter_map(demangle::split_from);
        parents.any(|parent| whole.contains(parent))
    };
    let parts: HashSet<Option<u64>> = functions
        .iter()
        .filter(|function| is_part(function))
        .map(|function| function.entry())
        .collect();
    functions.retain(|function| !parts.contains(&function.entry()));
}

/// The alias that was asked for, else the preferred name.
fn matched_name<'f>(function: &'f Function, pattern: &str, tier: Tier) -> &'f str {
    if tier == Tier::Raw {
        function
            .linkage_names()
            .find(|name| *name == pattern)
            .unwrap_or(&function.linkage_name)
    } else {
        &function.linkage_name
    }
}

/// The name shared by all instances if they have one, spelled in full; else the key.
fn group_name(
    image: &Image,
    key: String,
    functions: &[&Function],
    pattern: &str,
    tier: Tier,
) -> String {
    let shown = |function: &Function| {
        let name = matched_name(function, pattern, tier);
        let base = names::base(image, name);
        if base != name && name != pattern {
            // Of a clone, the function that it is one of.
            demangle::full(base)
        } else if name == function.linkage_name {
            function.name().to_owned()
        } else {
            demangle::full(name)
        }
    };
    let names: HashSet<String> = functions.iter().map(|function| shown(function)).collect();
    let mut names = names.into_iter();
    match (names.next(), names.next()) {
        (Some(name), None) => name,
        _ => key,
    }
}

/// Go's compiler writes `(*T).Method` for every `T.Method`; a user means the one that was written.
fn drop_generated(image: &Image, by_key: &mut BTreeMap<String, Vec<&Function>>) {
    let Some(table) = image.go_table() else {
        return;
    };
    let generated: Vec<String> = by_key
        .iter()
        .filter(|(_, functions)| {
            functions
                .iter()
                .all(|function| go::is_generated(image, table, function))
        })
        .map(|(key, _)| key.clone())
        .collect();
    if generated.len() < by_key.len() {
        for key in generated {
            by_key.remove(&key);
        }
    }
}

/// Functions whose calls were all inlined and that `pattern` names.
fn find_inlined(image: &Image, pattern: &str) -> Vec<Function> {
    let Ok(matchers) = matchers(pattern) else {
        return Vec::new();
    };
    let inlined = image.only_inlined();
    let mut hits = Vec::new();
    for matcher in matchers {
        let tiers: &[Tier] = match &matcher {
            Matcher::Name { .. } => &[Tier::Raw, Tier::Full, Tier::Suffix, Tier::Closure],
            Matcher::Expression(tier, _) => &[*tier],
        };
        for tier in tiers {
            hits.extend(
                inlined
                    .iter()
                    .filter(|function| matcher.hits(image, function, *tier))
                    .cloned(),
            );
            if !hits.is_empty() {
                return hits;
            }
        }
    }
    hits
}

/// Everything that a listing with `pattern` shows: functions of every kind, inlined ones too.
/// Unlike [`find`], a pattern without metacharacters also hits anywhere inside a name, if it hits
/// nothing otherwise.
pub fn list(image: &Image, pattern: Option<&str>) -> Result<Vec<Function>, MatchError> {
    let Some(pattern) = pattern.map(str::trim).filter(|pattern| !pattern.is_empty()) else {
        let mut all = image.functions().to_vec();
        all.extend(image.only_inlined());
        return Ok(all);
    };
    if source_line(pattern).is_some() {
        let groups = find(image, pattern)?.groups.into_iter();
        return Ok(groups.flat_map(|group| group.functions).cloned().collect());
    }
    let mut hits: Vec<Function> = Vec::new();
    for matcher in matchers(pattern)? {
        let tiers = [Tier::Raw, Tier::Full, Tier::Suffix, Tier::Closure];
        let tiers = match &matcher {
            Matcher::Name { .. } => &tiers[..],
            Matcher::Expression(..) => &tiers[..1],
        };
        hits = image
            .functions()
            .iter()
            .filter(|function| {
                tiers
                    .iter()
                    .any(|tier| matcher.hits(image, function, *tier))
            })
            .cloned()
            .collect();
        if !hits.is_empty() {
            break;
        }
    }
    hits.extend(find_inlined(image, pattern));
    if hits.is_empty() {
        let inside = pattern.to_lowercase();
        hits = image
            .functions()
            .iter()
            .filter(|function| function.name().to_lowercase().contains(&inside))
            .cloned()
            .collect();
    }
    if hits.is_empty() {
        return Err(error::no_match(image, pattern));
    }
    Ok(hits)
}

#[cfg(test)]
mod tests;
