//! C, C++ and Rust programs, and what is no program at all.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{super::*, samples};

fn named<'i>(image: &'i Image, name: &str) -> &'i Function {
    image
        .functions()
        .iter()
        .find(|function| function.linkage_names().any(|known| known == name))
        .unwrap_or_else(|| panic!("{name} is missing"))
}

/// Address, size, type letter and name of every sized symbol, by `nm`.
fn nm(path: &Path, dynamic: bool) -> Vec<(u64, u64, String, String)> {
    let mut command = Command::new("nm");
    command.args(["-S", "--defined-only"]).arg(path);
    if dynamic {
        command.arg("-D");
    }
    samples::output_of(&mut command)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let size = u64::from_str_radix(words.next()?, 16).ok()?;
            let (letter, name) = (words.next()?, words.next()?);
            Some((address, size, letter.to_owned(), name.to_owned()))
        })
        .collect()
}

#[test]
fn functions_are_those_of_nm() {
    let libc = PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6");
    let cases = [
        (samples::c(&["-O2"]), false),
        (samples::cpp(&["-O2"]), false),
        (samples::rust(&["-O"]), false),
        (std::env::current_exe().unwrap(), false),
        (PathBuf::from("/usr/bin/bash"), true),
        (libc, true),
    ];
    for (path, dynamic) in cases.into_iter().filter(|(path, _)| path.exists()) {
        let image = Image::open(&path).unwrap();
        let mut compared = 0;
        for (address, size, letter, name) in nm(&path, dynamic) {
            if !matches!(letter.as_str(), "T" | "t" | "W") {
                continue;
            }
            let function = image
                .function_at(address)
                .unwrap_or_else(|| panic!("{}: {name} at {address:#x}", path.display()));
            if function.entry() == Some(address) {
                assert_eq!(function.ranges[0].end, address + size, "{name}");
            }
            assert_eq!(
                image.vaddr_of_offset(image.file_offset(address).unwrap()),
                Some(address)
            );
            assert!(image.code(address..address + size).is_some(), "{name}");
            compared += 1;
        }
        assert!(compared > 5, "{}", path.display());
    }
}

#[test]
fn every_program_on_this_host_opens() {
    let mut opened = 0;
    for entry in fs::read_dir("/usr/bin").unwrap().flatten() {
        match Image::open(entry.path()) {
            Ok(image) => {
                let data = fs::read(entry.path()).unwrap();
                for function in image.functions() {
                    let Some(range) = function.ranges.first() else {
                        continue;
                    };
                    if function.kind == FunctionKind::Code {
                        let at = image.file_offset(range.start).unwrap() as usize;
                        let code = image.code(range.clone()).unwrap();
                        assert_eq!(&data[at..at + code.len()], code);
                    }
                }
                let _ = image.language();
                opened += 1;
            }
            Err(
                ImageError::Script { .. }
                | ImageError::NotElf { .. }
                | ImageError::Directory { .. }
                | ImageError::NotFound { .. }
                | ImageError::Empty { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(opened > 20);
}

#[test]
fn languages() {
    let language = |path: PathBuf| Image::open(path).unwrap().language();
    assert_eq!(language(samples::c(&["-O2"])), Language::C);
    assert_eq!(language(samples::c(&["-O2", "-s"])), Language::C);
    assert_eq!(language(samples::cpp(&["-O2"])), Language::Cpp);
    assert_eq!(language(samples::cpp(&["-O2", "-s"])), Language::Cpp);
    assert_eq!(language(samples::rust(&["-O"])), Language::Rust);
    let v0 = ["-O", "-Csymbol-mangling-version=v0"];
    assert_eq!(language(samples::rust(&v0)), Language::Rust);
    assert_eq!(
        language(samples::rust(&["-O", "-Cstrip=symbols"])),
        Language::Rust
    );
}

#[test]
fn kinds_of_images() {
    let image = |flags: &[&str]| Image::open(samples::c(flags)).unwrap();
    assert_eq!(image(&["-O2", "-no-pie"]).kind(), ImageKind::Executable);
    assert_eq!(
        image(&["-O2", "-pie", "-fPIE"]).kind(),
        ImageKind::PieExecutable
    );
    assert_eq!(
        image(&["-O2", "-static-pie", "-fPIE"]).kind(),
        ImageKind::PieExecutable
    );
    assert_eq!(
        image(&["-O2", "-shared", "-fPIC"]).kind(),
        ImageKind::SharedLibrary
    );
    let built = image(&["-O2", "-Wl,--build-id=0x1234abcd"]);
    assert_eq!(built.build_id(), Some("1234abcd"));
    assert_eq!(built.needed(), ["libc.so.6"]);
    assert!(built.has_symtab());
    assert!(!image(&["-O2", "-s"]).has_symtab());
}

#[test]
fn cold_parts_belong_to_their_function() {
    for flags in [&["-O2"][..], &["-O2", "-no-pie"], &["-O3", "-g"]] {
        let path = samples::c(flags);
        let image = Image::open(&path).unwrap();
        let cold = nm(&path, false)
            .into_iter()
            .find(|(.., name)| name == "with_cold.cold")
            .expect("the compiler makes a cold part");
        let function = named(&image, "with_cold");
        assert_eq!(function.ranges.len(), 2, "{flags:?}");
        assert_eq!(function.ranges[1], cold.0..cold.0 + cold.1);
        let owner = image.function_at(cold.0).map(|owner| &owner.linkage_name);
        assert_eq!(owner, Some(&function.linkage_name));
        assert!(
            image
                .functions()
                .iter()
                .all(|f| f.linkage_name != "with_cold.cold")
        );
    }
}

#[test]
fn kinds_of_functions() {
    let image = Image::open(samples::c(&["-O2", "-g"])).unwrap();
    assert_eq!(named(&image, "plain").kind, FunctionKind::Code);
    assert_eq!(named(&image, "chosen").kind, FunctionKind::Ifunc);
    assert_eq!(
        named(&image, "malloc").kind,
        FunctionKind::Imported {
            libraries: ["libc.so.6".to_owned()].into()
        }
    );
    let inlined = image.only_inlined();
    let tiny = inlined
        .iter()
        .find(|function| function.linkage_name == "tiny");
    assert_eq!(tiny.unwrap().kind, FunctionKind::Inlined { callers: 1 });
}

#[test]
fn inlined_static_function_has_its_path() {
    let image = Image::open(samples::cpp(&["-O2", "-g"])).unwrap();
    assert!(image.only_inlined().iter().any(|f| f.name() == "app::tiny"));
    let image = Image::open(samples::rust(&["-O", "-g"])).unwrap();
    assert!(
        image
            .only_inlined()
            .iter()
            .any(|f| f.name() == "sample::shop::tiny")
    );
}

#[test]
fn plt_stubs_have_names() {
    for flags in [
        &["-O2"][..],
        &["-O2", "-no-pie"],
        &["-O2", "-fcf-protection"],
    ] {
        let path = samples::c(flags);
        let image = Image::open(&path).unwrap();
        let listing = samples::output_of(Command::new("objdump").arg("-d").arg(&path));
        let mut compared = 0;
        for line in listing.lines().filter(|line| line.ends_with("@plt>:")) {
            let (address, name) = line.split_once(" <").unwrap();
            let address = u64::from_str_radix(address, 16).unwrap();
            let name = name.strip_suffix("@plt>:").unwrap();
            // objdump makes a name up for the resolver of an IFUNC.
            if !name.starts_with('*') && image.plt_name(address).is_some() {
                assert_eq!(image.plt_name(address), Some(name));
                compared += 1;
            }
        }
        assert!(compared >= 3, "{flags:?}: {compared}");
    }
}

fn refusal(content: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    let message = Image::open(file.path()).unwrap_err().to_string();
    let path = file.path().display().to_string();
    assert!(message.starts_with(&path), "{message}");
    message[path.len() + 2..].to_owned()
}

fn header(class: u8, kind: u16, machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    bytes[16..18].copy_from_slice(&kind.to_le_bytes());
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes
}

#[test]
fn what_is_no_program_is_named() {
    let open = |path: &str| Image::open(path).unwrap_err();
    assert!(matches!(
        open("/nonexistent/x"),
        ImageError::NotFound { .. }
    ));
    assert!(matches!(open("/usr"), ImageError::Directory { .. }));
    assert!(matches!(open("/dev/null"), ImageError::NotRegular { .. }));
    assert!(refusal(b"").starts_with("is empty"));
    assert!(refusal(b"#!/bin/sh -e\n").starts_with("is a script, run by /bin/sh;"));
    assert!(refusal(b"#!/usr/bin/env -S python3 -u\n").starts_with("is a script, run by python3;"));
    assert!(refusal(b"hello\n").contains("it looks like text"));
    assert!(refusal(b"MZ\x90").contains("a Windows program"));
    assert!(refusal(&[1, 2, 3]).contains("binary data"));
    assert!(refusal(b"\x7fELF").contains("damaged"));
    assert!(refusal(&header(1, 2, 3)).starts_with("is a 32-bit x86 program"));
    assert!(refusal(&header(2, 2, 183)).starts_with("is built for arm64, and this host is x86-64"));
    assert!(refusal(&header(2, 1, 62)).contains("relocatable"));
    assert!(refusal(&header(2, 4, 62)).contains("core dump"));
    assert!(refusal(&header(2, 2, 62)).contains("no loadable segment"));
    assert!(refusal(&header(9, 2, 62)).contains("class 9"));
}
