//! Telling the target's own code from what it is linked with.

use crate::{
    discover::is_runtime,
    query::{Frame, Overview, flame::RootAt},
    symbols::Language,
};

/// Packages of Go's standard library that programs call, beside those that count as runtime.
const GO_STANDARD: [&str; 34] = [
    "sync.",
    "time.",
    "os.",
    "os/",
    "io.",
    "io/",
    "bufio.",
    "bytes.",
    "compress/",
    "container/",
    "context.",
    "crypto/",
    "database/sql",
    "encoding/",
    "errors.",
    "fmt.",
    "hash/",
    "html/",
    "iter.",
    "log.",
    "log/",
    "maps.",
    "math.",
    "math/",
    "mime/",
    "net.",
    "net/",
    "path/",
    "regexp.",
    "slices.",
    "sort.",
    "strconv.",
    "strings.",
    "text/",
];
/// Crates whose functions block on behalf of others.
const RUST_CRATES: [&str; 10] = [
    "parking_lot::",
    "parking_lot_core::",
    "lock_api::",
    "crossbeam_",
    "tokio::",
    "futures_",
    "mio::",
    "rayon",
    "libc::",
    "nix::",
];
/// Where distributions keep the libraries of all programs.
const SYSTEM: [&str; 6] = [
    "/lib/",
    "/lib64/",
    "/usr/lib/",
    "/usr/lib64/",
    "/nix/store/",
    "/gnu/store/",
];

/// What is known of the code around a traced function.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// Language of the target.
    pub language: Language,
    /// Image of the target.
    pub target: &'a str,
    /// The traced function.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
}

impl<'a> Code<'a> {
    /// Around the function at which stacks begin, in the session's target.
    pub fn of(session: &'a Overview, root_at: RootAt<'a>) -> Self {
        Self {
            language: session.language,
            target: &session.target,
            name: root_at.name,
            image: root_at.image,
        }
    }

    /// Whether a frame is of the traced function.
    pub fn is_function(&self, frame: &Frame) -> bool {
        frame.function == self.name && frame.image == self.image
    }

    /// Whether a frame is of the target's own code: not of the kernel, the language's runtime and
    /// standard library, or a library of the system. The traced function always is.
    pub fn is_own(&self, frame: &Frame) -> bool {
        if self.is_function(frame) {
            return true;
        }
        if frame.kernel || frame.function.starts_with('[') {
            return false;
        }
        let same = frame.image == self.target || frame.image == self.image;
        if !same
            && (frame.image.starts_with('[')
                || SYSTEM.iter().any(|folder| frame.image.starts_with(folder)))
        {
            return false;
        }
        let name = match self.language {
            Language::Cpp => without_return_type(&frame.function),
            _ => &frame.function,
        };
        if is_runtime(name, self.language) {
            return false;
        }
        let others: &[&str] = match self.language {
            Language::Go => &GO_STANDARD,
            Language::Rust => &RUST_CRATES,
            Language::C | Language::Cpp => &[],
        };
        // `<u64>::checked_add`, `<[T]>::sort`: nobody's type.
        let inside = frame.function.strip_prefix('<');
        let unnamed = |name: &str| !name.split('>').next().unwrap_or(name).contains("::");
        if self.language == Language::Rust && inside.is_some_and(unnamed) {
            return false;
        }
        let owner = frame.function.trim_start_matches(['<', '&']);
        !others.iter().any(|prefix| owner.starts_with(prefix))
    }
}

/// A C++ name without the type that it returns, which names of template instances begin with:
/// `void std::sort<int*>(int*, int*)`.
fn without_return_type(name: &str) -> &str {
    if name.contains("operator") {
        return name;
    }
    let (mut depth, mut start) = (0_u32, 0);
    for (at, c) in name.char_indices() {
        match c {
            '(' if depth == 0 && !name[at..].starts_with("(anonymous") => break,
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    &name[start..]
}

/// A name short enough for a sentence: without the types that generic code was made for, the hash
/// at its end, and arguments.
pub fn short_name(name: &str, language: Language) -> String {
    if language == Language::Go {
        return name.to_owned();
    }
    let name = match language {
        Language::Cpp => without_return_type(name),
        _ => name,
    };
    let mut short = String::with_capacity(name.len());
    let mut depth = 0_u32;
    let mut previous = ' ';
    let operator = name.contains("operator");
    // `<T as Trait>::f` begins with what it is about.
    let keep = name.starts_with('<') || operator || name.starts_with('(');
    for c in name.chars() {
        match c {
            '<' if !keep => depth += 1,
            '>' if !keep && previous != '-' => {
                depth = depth.saturating_sub(1);
            }
            '(' if !keep && depth == 0 => break,
            _ if depth == 0 => short.push(c),
            _ => {}
        }
        previous = c;
    }
    let short = short.replace("::::", "::");
    let short = short.trim_end_matches("::").trim();
    if short.is_empty() {
        name.to_owned()
    } else {
        short.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, image: &str) -> Frame {
        Frame {
            function: function.to_owned(),
            image: image.to_owned(),
            address: 0,
            file: None,
            line: None,
            inlined: false,
            kernel: image == "[kernel]",
        }
    }

    #[test]
    fn own_code_is_what_users_write() {
        let code = |language| Code {
            language,
            target: "/srv/shop",
            name: "traced",
            image: "/srv/shop",
        };
        for (language, function, image, own) in [
            (Language::C, "reserve_stock", "/srv/shop", true),
            (
                Language::C,
                "pthread_mutex_lock",
                "/usr/lib/x86_64-linux-gnu/libc.so.6",
                false,
            ),
            (Language::C, "helper", "/srv/libshop.so", true),
            (Language::C, "futex_wait", "[kernel]", false),
            (Language::C, "clock_gettime", "[vdso]", false),
            (Language::C, "[unknown]", "/srv/shop", false),
            (Language::Cpp, "std::mutex::lock()", "/srv/shop", false),
            (
                Language::Cpp,
                "void std::this_thread::sleep_for<long, std::ratio<1l, 1000l> >(int)",
                "/srv/shop",
                false,
            ),
            (
                Language::Cpp,
                "unsigned long shop::total<int>(int)",
                "/srv/shop",
                true,
            ),
            (
                Language::Cpp,
                "(anonymous namespace)::f(int) const",
                "/srv/shop",
                true,
            ),
            (Language::Rust, "shop::reserve", "/srv/shop", true),
            (
                Language::Rust,
                "std::sync::mutex::Mutex<T>::lock",
                "/srv/shop",
                false,
            ),
            (Language::Rust, "<u64>::unchecked_add", "/srv/shop", false),
            (Language::Rust, "<[u64]>::sort", "/srv/shop", false),
            (
                Language::Rust,
                "<shop::Cart as std::io::Read>::read",
                "/srv/shop",
                true,
            ),
            (
                Language::Rust,
                "<std::fs::File as std::io::Read>::read",
                "/srv/shop",
                false,
            ),
            (
                Language::Rust,
                "parking_lot::raw_mutex::RawMutex::lock_slow",
                "/srv/shop",
                false,
            ),
            (Language::Go, "main.reserve", "/srv/shop", true),
            (Language::Go, "github.com/x/shop.Reserve", "/srv/shop", true),
            (Language::Go, "sync.(*Mutex).Lock", "/srv/shop", false),
            (Language::Go, "net/http.(*conn).serve", "/srv/shop", false),
            (Language::Go, "runtime.gopark", "/srv/shop", false),
        ] {
            assert_eq!(
                code(language).is_own(&frame(function, image)),
                own,
                "{function}"
            );
        }
        let library = Code {
            name: "malloc",
            image: "/usr/lib/libc.so.6",
            ..code(Language::C)
        };
        assert!(
            library.is_own(&frame("malloc", "/usr/lib/libc.so.6")),
            "it is what was asked about"
        );
    }

    #[test]
    fn names_in_sentences_are_short() {
        for (name, short) in [
            (
                "std::sync::mutex::Mutex<T>::lock",
                "std::sync::mutex::Mutex::lock",
            ),
            ("core::iter::Map<I,F>::fold::<u8>", "core::iter::Map::fold"),
            ("shop::Cart::add(int, std::vector<int>)", "shop::Cart::add"),
            (
                "<shop::Cart as core::fmt::Debug>::fmt",
                "<shop::Cart as core::fmt::Debug>::fmt",
            ),
            ("operator<<(std::ostream&)", "operator<<(std::ostream&)"),
            ("plain", "plain"),
        ] {
            assert_eq!(short_name(name, Language::Rust), short);
        }
        assert_eq!(
            short_name("main.(*Cart).Add", Language::Go),
            "main.(*Cart).Add"
        );
    }
}
