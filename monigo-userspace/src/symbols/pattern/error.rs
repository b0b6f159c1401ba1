//! Why a pattern gave nothing to trace, and what to do.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{
    super::{Function, FunctionKind, Image, Language, lines::LineCode, loader},
    find_inlined, names, suggest,
};

/// Functions listed before "and N more".
const LISTED: usize = 10;

/// Why a pattern gave nothing to trace. Each message ends with the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// An empty pattern.
    #[error("the function pattern is empty; give a name, a glob such as 'handle_*', or /regex/")]
    Empty,
    /// A `/regex/` that does not parse.
    #[error("{pattern} is not a valid regular expression: {reason}")]
    BadRegex {
        /// As typed.
        pattern: String,
        /// From the parser.
        reason: String,
    },
    /// Nothing has such a name.
    #[error("{}", no_match_message(pattern, image, suggestions, *symbols))]
    NoMatch {
        /// As typed.
        pattern: String,
        /// The image as shown.
        image: PathBuf,
        /// Close names, best first.
        suggestions: Vec<String>,
        /// Whether the image has names to match at all.
        symbols: Symbols,
    },
    /// A source line without code of its own.
    #[error("'{pattern}' cannot be traced in {}: {reason}", image.display())]
    NoLine {
        /// As typed.
        pattern: String,
        /// The image as shown.
        image: PathBuf,
        /// Why.
        reason: NoLine,
    },
    /// Several logical functions, and `--all` was not given.
    #[error("{}", ambiguous_message(pattern, functions))]
    Ambiguous {
        /// As typed.
        pattern: String,
        /// All of them.
        functions: Vec<String>,
    },
    /// The name exists, but there is no code behind it to probe.
    #[error("'{pattern}' cannot be traced in {}: {reason}", image.display())]
    Unprobeable {
        /// As typed.
        pattern: String,
        /// The image as shown.
        image: PathBuf,
        /// Why.
        reason: Unprobeable,
    },
}

/// Why a source line has no function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLine {
    /// The compiler was not told to write lines down, or they were stripped.
    #[error("it has no line information; build it with -g, or give the name of a function")]
    NoInformation,
    /// None of the sources has that name.
    #[error("none of its code comes from a file of that name")]
    NoFile,
    /// The compiler made nothing of the line.
    #[error("that line has no code{}", nearest_message(nearest))]
    NoCode {
        /// Lines of the file around it that have code.
        nearest: Vec<u32>,
    },
    /// All code of the line is inside other functions.
    #[error(
        "the function of that line was inlined there, so it has no code of its own; trace what it \
         was inlined into: {}", into.join(", ")
    )]
    Inlined {
        /// Functions that have its code.
        into: Vec<String>,
    },
}

fn nearest_message(nearest: &[u32]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    let nearest: Vec<String> = nearest.iter().map(u32::to_string).collect();
    format!("; the nearest lines that have: {}", nearest.join(", "))
}

/// The error for a source line that no function has code of.
pub(super) fn no_line(
    image: &Image,
    pattern: &str,
    code: &LineCode,
    line: u32,
    around: &[&Function],
) -> MatchError {
    let reason = if !around.is_empty() {
        let names = around.iter().take(LISTED);
        NoLine::Inlined {
            into: names.map(|function| function.name().to_owned()).collect(),
        }
    } else if !code.known {
        NoLine::NoInformation
    } else if code.files.is_empty() {
        NoLine::NoFile
    } else {
        let below = code.lines.range(..line).next_back();
        let above = code.lines.range(line..).next();
        NoLine::NoCode {
            nearest: below.into_iter().chain(above).copied().collect(),
        }
    };
    MatchError::NoLine {
        pattern: pattern.to_owned(),
        image: image.path().to_path_buf(),
        reason,
    }
}

/// Which names an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// A full symbol table, or Go's own.
    Full,
    /// Only what it exports.
    ExportedOnly,
    /// None at all.
    None,
}

/// Why a name has no code to probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprobeable {
    /// IFUNC.
    #[error("{}", ifunc_message(implementations))]
    Ifunc {
        /// Functions that the resolver may pick, as far as names tell.
        implementations: Vec<String>,
    },
    /// Defined elsewhere.
    #[error("{}", imported_message(name, libraries, library.as_deref()))]
    Imported {
        /// The function.
        name: String,
        /// `DT_NEEDED`.
        libraries: Vec<String>,
        /// The one that defines it, if it was found on this host.
        library: Option<PathBuf>,
    },
    /// Inlined everywhere.
    #[error("{}", inlined_message(*callers, *language))]
    Inlined {
        /// Distinct callers.
        callers: usize,
        /// For the advice.
        language: Language,
    },
    /// No code.
    #[error(
        "its symbol has no size or no executable code, so monigo cannot tell where it ends; trace \
         a function that calls it"
    )]
    NotCode,
}

fn no_match_message(
    pattern: &str,
    image: &Path,
    suggestions: &[String],
    symbols: Symbols,
) -> String {
    let image = image.display();
    let mut text = format!("no function matches '{pattern}' in {image}");
    match symbols {
        Symbols::Full => {}
        Symbols::ExportedOnly => text.push_str(
            ", which has no symbol table (stripped): only exported functions have names; install \
             its debug symbols or build it without stripping",
        ),
        Symbols::None => text.push_str(
            ", which has no symbols (stripped); install its debug symbols or build it without \
             stripping",
        ),
    }
    if suggestions.is_empty() {
        if symbols == Symbols::Full {
            let _ = write!(text, "; 'monigo list {image}' shows what there is");
        }
    } else {
        text.push_str("; did you mean:");
        for suggestion in suggestions {
            let _ = write!(text, "\n  {suggestion}");
        }
    }
    text
}

fn ambiguous_message(pattern: &str, functions: &[String]) -> String {
    let mut text = format!(
        "'{pattern}' matches {} distinct functions:",
        functions.len()
    );
    for name in functions.iter().take(LISTED) {
        let _ = write!(text, "\n  {name}");
    }
    if functions.len() > LISTED {
        let _ = write!(text, "\n  and {} more", functions.len() - LISTED);
    }
    text.push_str("\ngive a longer name, or --all to trace all of them");
    text
}

fn ifunc_message(implementations: &[String]) -> String {
    let mut text = "it is an IFUNC: a resolver that runs once, at load time, and picks an \
                    implementation for this CPU; trace the implementation"
        .to_owned();
    if implementations.is_empty() {
        text.push_str(" (its name is not in the symbol table; install the debug symbols)");
    } else {
        let _ = write!(text, ": {}", implementations.join(", "));
    }
    text
}

fn imported_message(name: &str, libraries: &[String], library: Option<&Path>) -> String {
    if let Some(library) = library {
        let file = library.file_name().unwrap_or(library.as_os_str());
        return format!(
            "it is imported and lives in {}; trace it there: monigo attach {} --fn {name}",
            file.to_string_lossy(),
            library.display()
        );
    }
    if libraries.is_empty() {
        return "it is imported from another image; trace it there".to_owned();
    }
    format!(
        "it is imported from a library ({}); trace it there: monigo attach LIBRARY --fn {name}",
        libraries.join(", ")
    )
}

fn inlined_message(callers: usize, language: Language) -> String {
    let advice = match language {
        Language::Go => "//go:noinline",
        Language::Rust => "#[inline(never)]",
        Language::C | Language::Cpp => "__attribute__((noinline))",
    };
    let callers = if callers == 1 {
        "its only caller".to_owned()
    } else {
        format!("all of its {callers} callers")
    };
    format!(
        "the compiler inlined it into {callers}, so it has no code of its own; trace a caller, or \
         mark it {advice} and rebuild"
    )
}

/// The error for a pattern that no function with a symbol matches.
pub(super) fn no_match(image: &Image, pattern: &str) -> MatchError {
    let inlined = find_inlined(image, pattern);
    if !inlined.is_empty() {
        return unprobeable(image, pattern, &inlined.iter().collect::<Vec<_>>());
    }
    let any_code = image
        .functions()
        .iter()
        .any(|function| function.kind == FunctionKind::Code);
    let full = image.has_symtab() || image.go().is_some_and(|go| go.has_function_table);
    let symbols = match (full, any_code) {
        (true, _) => Symbols::Full,
        (false, true) => Symbols::ExportedOnly,
        (false, false) => Symbols::None,
    };
    MatchError::NoMatch {
        pattern: pattern.to_owned(),
        image: image.path().to_path_buf(),
        suggestions: suggest::suggest(image, pattern),
        symbols,
    }
}

/// The error for a pattern that matches only what has no code of its own.
pub(super) fn unprobeable(image: &Image, pattern: &str, hits: &[&Function]) -> MatchError {
    // The most telling reason first.
    let rank = |function: &&&Function| match function.kind {
        FunctionKind::Ifunc => 0,
        FunctionKind::Inlined { .. } => 1,
        FunctionKind::Imported { .. } => 2,
        FunctionKind::Code | FunctionKind::NotCode => 3,
    };
    let first = hits.iter().min_by_key(rank);
    let reason = match first.map(|function| (function, &function.kind)) {
        Some((function, FunctionKind::Ifunc)) => Unprobeable::Ifunc {
            implementations: implementations(image, function),
        },
        Some((function, FunctionKind::Imported { libraries })) => Unprobeable::Imported {
            name: function.linkage_name.to_string(),
            libraries: libraries.to_vec(),
            library: defining_library(image, libraries, &function.linkage_name),
        },
        Some((_, FunctionKind::Inlined { callers })) => Unprobeable::Inlined {
            callers: *callers,
            language: image.language(),
        },
        _ => Unprobeable::NotCode,
    };
    MatchError::Unprobeable {
        pattern: pattern.to_owned(),
        image: image.path().to_path_buf(),
        reason,
    }
}

/// What an IFUNC resolver may pick: `__memcpy_avx_unaligned` for `memcpy`.
fn implementations(image: &Image, resolver: &Function) -> Vec<String> {
    const MOST: usize = 8;
    let stem = |name: &str| name.trim_matches('_').to_owned();
    let stems: Vec<String> = resolver.linkage_names().map(stem).collect();
    let mut found: Vec<String> = image
        .functions()
        .iter()
        .filter(|function| function.kind == FunctionKind::Code)
        .flat_map(Function::linkage_names)
        .filter(|name| {
            stems.iter().any(|stem| {
                names::last_component(name)
                    .trim_start_matches('_')
                    .strip_prefix(stem.as_str())
                    .is_some_and(|rest| rest.starts_with('_') && !rest.starts_with("_chk"))
            })
        })
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found.truncate(MOST);
    found
}

/// The library among `libraries` of `image` that defines `name`, looked for where the loader looks.
fn defining_library(image: &Image, libraries: &[String], name: &str) -> Option<PathBuf> {
    let defines = |path: &PathBuf| {
        Image::open(path).is_ok_and(|image| {
            image.functions().iter().any(|function| {
                !matches!(function.kind, FunctionKind::Imported { .. })
                    && function.linkage_names().any(|known| known == name)
            })
        })
    };
    libraries
        .iter()
        .filter_map(|library| loader::find(image, library))
        .find(defines)
}
