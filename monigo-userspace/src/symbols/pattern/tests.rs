use super::*;
use crate::symbols::tests::samples;

fn groups(image: &Image, pattern: &str) -> Vec<(String, usize)> {
    find(image, pattern)
        .unwrap_or_else(|error| panic!("{error}"))
        .groups
        .into_iter()
        .map(|group| (group.name, group.functions.len()))
        .collect()
}

fn one(image: &Image, pattern: &str) -> (Tier, String, usize) {
    let matches = find(image, pattern).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(matches.groups.len(), 1, "{pattern}: {:?}", matches.groups);
    let group = &matches.groups[0];
    (matches.tier, group.name.clone(), group.functions.len())
}

fn message(image: &Image, pattern: &str) -> String {
    find(image, pattern).unwrap_err().to_string()
}

#[test]
fn c_tiers() {
    let image = Image::open(samples::c(&["-O2", "-g"])).unwrap();
    assert_eq!(one(&image, "plain"), (Tier::Raw, "plain".to_owned(), 1));
    assert_eq!(
        one(&image, "with_cold"),
        (Tier::Raw, "with_cold".to_owned(), 1)
    );
    assert_eq!(
        one(&image, "with_*"),
        (Tier::Glob, "with_cold".to_owned(), 1)
    );
    assert_eq!(
        one(&image, "/^pl.in$/"),
        (Tier::Regex, "plain".to_owned(), 1)
    );
    assert!(groups(&image, "*").len() >= 5);
}

#[test]
fn cpp_tiers() {
    let image = Image::open(samples::cpp(&["-O2", "-g"])).unwrap();
    assert_eq!(one(&image, "_ZN3app7processEi").0, Tier::Raw);
    assert_eq!(
        one(&image, "app::process(int)"),
        (Tier::Full, "app::process(int)".to_owned(), 1)
    );
    // Overloads are distinct; instances of a template are not.
    assert_eq!(
        groups(&image, "process"),
        [
            ("app::process(double)".to_owned(), 1),
            ("app::process(int)".to_owned(), 1)
        ]
    );
    assert_eq!(
        one(&image, "twice"),
        (Tier::Suffix, "app::twice".to_owned(), 2)
    );
    assert_eq!(one(&image, "app::twice<int>").2, 1);
    // The compiler may have made a clone of it: `.isra.0`.
    let (tier, name, _) = one(&image, "Shop::handle");
    assert_eq!(tier, Tier::Suffix);
    assert!(
        name.starts_with("app::Shop::handle(app::Order const&) const"),
        "{name}"
    );
    assert_eq!(one(&image, "operator<<").0, Tier::Suffix);
    assert!(find(&image, "rocess").is_err());
}

#[test]
fn rust_tiers() {
    for flags in [
        &["-O", "-g"][..],
        &["-O", "-g", "-Csymbol-mangling-version=v0"],
    ] {
        let image = Image::open(samples::rust(flags)).unwrap();
        assert_eq!(
            one(&image, "sample::process_order"),
            (Tier::Full, "sample::process_order".to_owned(), 1)
        );
        assert_eq!(one(&image, "process_order").0, Tier::Suffix);
        let price = "<sample::shop::Apple as sample::shop::Price>::price".to_owned();
        for pattern in ["price", "Apple::price", "Price::price", &price] {
            assert_eq!(one(&image, pattern).1, price, "{pattern}");
        }
        let (_, name, instances) = one(&image, "generic");
        assert_eq!(name, "sample::shop::generic");
        assert!(instances >= 2);
        // `drop_in_place::<Cart>` is glue, not a function called Cart.
        assert!(find(&image, "Cart").is_err());
        assert_eq!(one(&image, "Cart::drop").0, Tier::Suffix);
        assert!(
            groups(&image, "*Cart*")
                .iter()
                .all(|(name, _)| !name.contains("drop_in_place"))
        );
    }
}

#[test]
fn async_functions_are_found_by_their_polls() {
    // Without optimisation the closure keeps code of its own.
    for mangling in ["legacy", "v0"] {
        let mangling = format!("-Csymbol-mangling-version={mangling}");
        let image = Image::open(samples::rust(
            &["-Copt-level=0", &mangling, "-Zunstable-options"]
                .into_iter()
                .filter(|flag| !flag.starts_with("-Z") && !flag.ends_with("legacy"))
                .collect::<Vec<_>>(),
        ))
        .unwrap();
        // The function itself exists, too, at this level: it makes the future.
        let matches = find(&image, "fetch").unwrap();
        assert_eq!(matches.tier, Tier::Suffix);
        let hits: Vec<&Function> = image
            .functions()
            .iter()
            .filter(|function| {
                names::closure_parent(&image, &function.linkage_name)
                    .is_some_and(|parent| parent == "sample::shop::fetch")
            })
            .collect();
        assert_eq!(hits.len(), 1);
        let grouped = grouped(&image, "fetch", Tier::Closure, hits).unwrap();
        assert_eq!(grouped.groups[0].label, Some(ASYNC_POLL));
    }
}

#[test]
fn go_tiers() {
    for toolchain in samples::go_toolchains() {
        for flags in [&[][..], &["-ldflags=-s -w"]] {
            let image = Image::open(samples::go(&toolchain, flags)).unwrap();
            let handle = "main.(*Server).Handle".to_owned();
            assert_eq!(one(&image, &handle), (Tier::Raw, handle.clone(), 1));
            for pattern in ["(*Server).Handle", "Server.Handle", "main.Server.Handle"] {
                assert_eq!(one(&image, pattern), (Tier::Suffix, handle.clone(), 1));
            }
            assert_eq!(one(&image, "process_order").1, "main.process_order");
            let (_, _, instances) = one(&image, "main.Map");
            assert_eq!(instances, 2);
            // The wrapper (*Val).Sum, where there is one, was not written by anyone.
            assert_eq!(one(&image, "Val.Sum").1, "main.Val.Sum");
            let many = find(&image, "main.*").unwrap();
            assert_eq!(many.tier, Tier::Glob);
            assert!(many.groups.len() > 4);
        }
    }
}

#[test]
fn several_functions_need_all() {
    let image = Image::open(samples::cpp(&["-O2", "-g"])).unwrap();
    let error = find(&image, "process").unwrap().select(false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "'process' matches 2 distinct functions:\n  app::process(double)\n  app::process(int)\n\
         give a longer name, or --all to trace all of them"
    );
    let all = find(&image, "process").unwrap().select(true).unwrap();
    assert_eq!(all.len(), 2);
    let libc = Image::open("/lib/x86_64-linux-gnu/libc.so.6").unwrap();
    let error = find(&libc, "*read*").unwrap().select(false).unwrap_err();
    let text = error.to_string();
    assert_eq!(text.lines().count(), 13, "{text}");
    assert!(
        text.contains("\n  and ") && text.contains(" more\n"),
        "{text}"
    );
}

#[test]
fn misspelt_names_get_suggestions() {
    let image = Image::open(samples::rust(&["-O", "-g"])).unwrap();
    for pattern in [
        "proces_order",
        "processorder",
        "Process_Order",
        "order_process",
        "process",
    ] {
        let text = message(&image, pattern);
        assert!(text.contains("did you mean:"), "{text}");
        assert!(text.contains("\n  sample::process_order"), "{text}");
    }
    let text = message(&image, "zzqqxx");
    assert!(text.contains("monigo list"), "{text}");
    assert_eq!(find(&image, " ").unwrap_err(), MatchError::Empty);
    assert!(message(&image, "/a(/").contains("unclosed group"));
}

#[test]
fn names_without_code_say_why() {
    let image = Image::open(samples::c(&["-O2", "-g"])).unwrap();
    let text = message(&image, "tiny");
    assert!(text.contains("inlined it into its only caller"), "{text}");
    assert!(text.contains("noinline"), "{text}");
    let text = message(&image, "chosen");
    assert!(text.contains("IFUNC"), "{text}");
    let text = message(&image, "malloc");
    assert!(
        text.contains("lives in libc.so.6; trace it there: monigo attach /"),
        "{text}"
    );
    assert!(text.ends_with("--fn malloc"), "{text}");
    let libc = Image::open("/lib/x86_64-linux-gnu/libc.so.6").unwrap();
    let text = message(&libc, "strlen");
    assert!(text.contains("IFUNC"), "{text}");
    // A version kept for old programs must not pass for today's function.
    assert!(message(&libc, "memcpy").contains("IFUNC"));
}

#[test]
fn stripped_images_say_so() {
    let image = Image::open(samples::c(&["-O2", "-s"])).unwrap();
    let text = message(&image, "plain");
    assert!(text.contains("no symbols (stripped)"), "{text}");
    let library = Image::open(samples::c(&["-O2", "-s", "-shared", "-fPIC"])).unwrap();
    assert_eq!(one(&library, "plain").0, Tier::Raw);
    assert!(message(&library, "complain").contains("only exported functions have names"));
}

#[test]
fn listing_has_everything() {
    let image = Image::open(samples::c(&["-O2", "-g"])).unwrap();
    let all = list(&image, None).unwrap();
    for name in ["plain", "tiny", "malloc", "chosen"] {
        assert!(
            all.iter().any(|function| function.linkage_name == name),
            "{name}"
        );
    }
    assert_eq!(list(&image, Some("tiny")).unwrap().len(), 1);
    assert_eq!(list(&image, Some("ith_col")).unwrap().len(), 1);
    assert!(list(&image, Some("plaim")).is_err());
}

#[test]
fn globs() {
    let matches = |glob: &str, name: &str| Regex::new(&glob_to_regex(glob)).unwrap().is_match(name);
    assert!(matches("handle_*", "app::handle_x"));
    assert!(matches("handle_*", "handle_"));
    assert!(!matches("handle_*", "app::rehandle_x"));
    assert!(matches("main.*", "main.(*T).M"));
    assert!(matches("a?c", "abc"));
    assert!(!matches("a?c", "ac"));
    assert!(matches("*", "anything"));
    assert!(matches("(*T).*", "main.(xT).M"));
}
