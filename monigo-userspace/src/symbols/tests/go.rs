//! Go programs of every tool chain here: stripped or not, position-independent or not.

use std::{collections::HashMap, path::Path, process::Command};

use super::{super::*, samples};

const VARIANTS: [&[&str]; 4] = [
    &[],
    &["-ldflags=-s -w"],
    &["-buildmode=pie"],
    &["-buildmode=pie", "-ldflags=-s -w"],
];

fn named<'i>(image: &'i Image, name: &str) -> &'i Function {
    image
        .functions()
        .iter()
        .find(|function| function.linkage_names().any(|known| known == name))
        .unwrap_or_else(|| panic!("{name} is missing from {}", image.path().display()))
}

fn each_image(mut check: impl FnMut(&Image, &Path, &[&str])) {
    for toolchain in samples::go_toolchains() {
        for flags in VARIANTS {
            let image = Image::open(samples::go(&toolchain, flags)).unwrap();
            check(&image, &toolchain, flags);
        }
    }
}

#[test]
fn facts() {
    each_image(|image, toolchain, _| {
        let info = image.go().expect("a Go program");
        let version = samples::output_of(Command::new(toolchain).arg("version"));
        assert_eq!(
            version.split_whitespace().nth(2),
            Some(info.version.as_str())
        );
        assert_eq!(image.language(), Language::Go);
        assert!(info.has_function_table);
        assert!(info.register_abi());
        // 1.19 and 1.27 alike; with DWARF it is read, without it is known.
        if !matches!(info.minor, Some(23 | 24)) {
            assert_eq!(info.goid_offset, Some(152));
        }
    });
}

/// Functions with their sizes, by Go's own `nm`, of the variant that is not stripped.
fn go_nm(toolchain: &Path, flags: &[&str]) -> HashMap<u64, (String, u64)> {
    let unstripped: Vec<&str> = flags
        .iter()
        .copied()
        .filter(|flag| !flag.starts_with("-ldflags"))
        .collect();
    let path = samples::go(toolchain, &unstripped);
    let mut command = Command::new(toolchain);
    samples::output_of(command.args(["tool", "nm", "-size"]).arg(path))
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            // Markers such as `runtime.text` have no size.
            let size: u64 = words.next()?.parse().ok().filter(|size| *size > 0)?;
            (words.next()?.eq_ignore_ascii_case("t")).then_some(())?;
            let name: Vec<&str> = words.collect();
            Some((address, (name.join(" "), size)))
        })
        .collect()
}

#[test]
fn functions_are_those_of_go_nm() {
    each_image(|image, toolchain, flags| {
        let truth = go_nm(toolchain, flags);
        let mut compared = 0;
        for function in image.functions() {
            if function.kind != FunctionKind::Code {
                continue;
            }
            let range = &function.ranges[0];
            let Some((name, size)) = truth.get(&range.start) else {
                continue;
            };
            // The table writes generic arguments short, one name for both calling conventions, and
            // before Go 1.22 another dot.
            let bare = |name: &str| {
                name.replace(".abi0", "")
                    .replace('·', ".")
                    .split('[')
                    .next()
                    .map(str::to_owned)
            };
            assert!(
                function
                    .linkage_names()
                    .any(|known| bare(known) == bare(name)),
                "{name} is {}",
                function.linkage_name
            );
            let address = range.start;
            // Some of Go's sizes have the padding in them.
            assert!(range.end <= address + size, "{}", function.linkage_name);
            let rest = image.code(range.end..address + size).unwrap_or_default();
            assert!(
                rest.iter().all(|byte| *byte == 0xcc),
                "{}",
                function.linkage_name
            );
            compared += 1;
        }
        assert!(
            compared > 1000,
            "{compared} of {} in {flags:?}",
            truth.len()
        );
    });
}

#[test]
fn code_decodes_exactly_to_its_end() {
    each_image(|image, _, _| {
        for function in image.functions() {
            if function.kind != FunctionKind::Code {
                continue;
            }
            let range = function.ranges[0].clone();
            let code = image.code(range.clone()).unwrap();
            let options = iced_x86::DecoderOptions::NONE;
            let mut decoder = iced_x86::Decoder::with_ip(64, code, range.start, options);
            while decoder.can_decode() {
                let instruction = decoder.decode();
                assert!(!instruction.is_invalid(), "{}", function.linkage_name);
            }
            assert_eq!(decoder.ip(), range.end, "{}", function.linkage_name);
        }
    });
}

#[test]
fn generic_and_method_names() {
    each_image(|image, _, _| {
        for name in [
            "main.(*Server).Handle",
            "main.Val.Sum",
            "main.process_order",
            "main.main",
        ] {
            assert_eq!(named(image, name).kind, FunctionKind::Code);
        }
        let instances = image
            .functions()
            .iter()
            .filter(|function| function.name().starts_with("main.Map["))
            .count();
        assert_eq!(instances, 2);
    });
}

#[test]
fn inlined_frames_expand() {
    each_image(|image, _, _| {
        let handle = named(image, "main.(*Server).Handle");
        let range = handle.ranges[0].clone();
        let table = image.go_table().unwrap();
        let chains: Vec<Vec<(String, Option<u32>)>> = range
            .map(|vaddr| {
                go::frames(image, table, vaddr)
                    .into_iter()
                    .map(|frame| (frame.function, frame.line))
                    .collect()
            })
            .collect();
        let line = |text: &str| {
            let at = samples::GO
                .lines()
                .position(|line| line.contains(text))
                .unwrap();
            u32::try_from(at + 1).ok()
        };
        let expected = vec![
            ("main.mid".to_owned(), line("if x > 5 {")),
            ("main.leaf".to_owned(), line("return mid(x) * 3")),
            ("main.(*Server).Handle".to_owned(), line("Handle(x int)")),
        ];
        assert!(chains.contains(&expected), "{chains:?}");
        assert!(chains.iter().all(|chain| chain.last() == chains[0].last()
            || chain.last().unwrap().0 == "main.(*Server).Handle"));
    });
}

#[test]
fn inlined_functions_are_known() {
    each_image(|image, _, _| {
        let inlined = image.only_inlined();
        for name in ["main.leaf", "main.mid"] {
            let found = inlined.iter().find(|function| function.name() == name);
            assert_eq!(found.unwrap().kind, FunctionKind::Inlined { callers: 1 });
        }
        // It has code of its own, so it is no answer to "why are there no calls".
        assert!(
            inlined
                .iter()
                .all(|function| function.name() != "main.main")
        );
    });
}

#[test]
fn files_and_lines_are_those_of_addr2line() {
    for toolchain in samples::go_toolchains() {
        let path = samples::go(&toolchain, &[]);
        let image = Image::open(&path).unwrap();
        let table = image.go_table().unwrap();
        let functions: Vec<&Function> = image
            .functions()
            .iter()
            .filter(|function| function.kind == FunctionKind::Code)
            .step_by(37)
            .collect();
        let addresses: Vec<String> = functions
            .iter()
            .filter_map(|function| Some(format!("{:#x}", function.entry()?)))
            .collect();
        let addresses = addresses.join("\n") + "\n";
        let list = path.with_extension("addresses");
        std::fs::write(&list, addresses).unwrap();
        let mut command = Command::new(&toolchain);
        command.args(["tool", "addr2line"]).arg(&path);
        let truth = samples::output_of(command.stdin(std::fs::File::open(&list).unwrap()));
        let truth: Vec<&str> = truth.lines().collect();
        assert_eq!(truth.len(), 2 * functions.len());
        for (function, lines) in functions.iter().zip(truth.chunks(2)) {
            let frames = go::frames(&image, table, function.entry().unwrap());
            let innermost = frames.first().unwrap_or_else(|| panic!("{function:?}"));
            let place = format!(
                "{}:{}",
                innermost.file.as_deref().unwrap_or("?"),
                innermost.line.unwrap_or(0)
            );
            assert_eq!(place, lines[1], "{}", function.linkage_name);
        }
    }
}
