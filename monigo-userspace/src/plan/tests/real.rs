//! Every function of several large binaries: no site may lie inside an instruction, as a second
//! disassembler sees them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, SymbolKind};

use super::{exits::Exits, paths};
use crate::plan::{Context, Fragments, FunctionCode, SiteKind, plan};

/// Names, ranges and bytes of an image.
struct Image<'a> {
    file: object::File<'a>,
    data: &'a [u8],
}

impl<'a> Image<'a> {
    fn file_offset(&self, address: u64) -> Option<u64> {
        self.file.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let delta = address.checked_sub(segment.address())?;
            (delta < size).then_some(offset + delta)
        })
    }

    fn read(&self, address: u64, length: usize) -> Option<&'a [u8]> {
        let offset = self.file_offset(address)? as usize;
        self.data.get(offset..offset.checked_add(length)?)
    }

    /// Functions by entry address, each with its cold part if it has one.
    fn functions(&self) -> BTreeMap<u64, (String, Vec<(u64, u64)>)> {
        let mut functions: BTreeMap<u64, (String, Vec<(u64, u64)>)> = BTreeMap::new();
        let mut cold: HashMap<String, Vec<(u64, u64)>> = HashMap::new();
        for symbol in self.file.symbols().chain(self.file.dynamic_symbols()) {
            if symbol.kind() != SymbolKind::Text || symbol.size() == 0 || symbol.is_undefined() {
                continue;
            }
            let range = (symbol.address(), symbol.size());
            let name = symbol.name().unwrap_or("?").to_owned();
            if let Some(owner) = name.strip_suffix(".cold") {
                cold.entry(owner.to_owned()).or_default().push(range);
            }
            functions
                .entry(range.0)
                .or_insert_with(|| (name, vec![range]));
        }
        let mut count: HashMap<String, usize> = HashMap::new();
        for (name, _) in functions.values() {
            *count.entry(name.clone()).or_default() += 1;
        }
        for (name, ranges) in functions.values_mut() {
            // Static functions may share a name; then the cold part's owner is not known.
            if count[name] == 1
                && let Some([part]) = cold.get(name).map(Vec::as_slice)
            {
                ranges.push(*part);
            }
        }
        functions
    }
}

/// Instruction addresses according to objdump, which starts anew at every symbol.
fn boundaries(path: &Path) -> HashSet<u64> {
    let mut child = Command::new("objdump")
        .args(["-d", "--no-show-raw-insn", "-w"])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("objdump (binutils)");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let addresses = output
        .split(b'\n')
        .map_while(Result::ok)
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            if line.get(colon + 1) != Some(&b'\t') {
                return None;
            }
            let text = std::str::from_utf8(&line[..colon]).ok()?;
            u64::from_str_radix(text.trim(), 16).ok()
        })
        .collect();
    assert!(child.wait().expect("objdump").success());
    addresses
}

fn pads(code: &[FunctionCode<'_>], context: &Context<'_>) -> Vec<u64> {
    let ranges = code
        .iter()
        .map(|part| part.address..part.address + part.bytes.len() as u64);
    let pads: Option<Vec<Vec<u64>>> = ranges.map(context.landing_pads).collect();
    pads.unwrap_or_default().concat()
}

/// Plans everything in `path`; returns planned and refused functions.
fn check(path: &Path) -> (usize, usize) {
    let data = fs::read(path).expect("readable");
    let image = Image {
        file: object::File::parse(&*data).expect("an ELF file"),
        data: &data,
    };
    let go = image.file.section_by_name(".go.buildinfo").is_some();
    let fragments = image
        .file
        .section_by_name(".eh_frame")
        .and_then(|section| {
            Some(Fragments::from_eh_frame(
                section.data().ok()?,
                section.address(),
            ))
        })
        .unwrap_or_default();
    let boundaries = boundaries(path);
    let mut reasons: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    let (mut planned, mut refused) = (0, 0);
    let mut prices: BTreeMap<String, usize> = BTreeMap::new();
    let mut exits = Exits::of(&image.file);
    for (name, ranges) in image.functions().values() {
        let code: Option<Vec<FunctionCode<'_>>> = ranges
            .iter()
            .map(|(address, size)| {
                Some(FunctionCode {
                    address: *address,
                    bytes: image.read(*address, *size as usize)?,
                })
            })
            .collect();
        let Some(code) = code else { continue };
        let context = Context {
            go,
            file_offset: &|address| image.file_offset(address),
            fragment: &|address| fragments.containing(address),
            read: &|address, length| image.read(address, length),
            landing_pads: &|range| {
                fragments.landing_pads(range, &|address, length| image.read(address, length))
            },
        };
        let plan = match plan(&code, &context) {
            Ok(plan) => plan,
            Err(refusal) => {
                refused += 1;
                let kind = format!("{refusal:?}");
                let kind = kind.split([' ', '{']).next().unwrap_or_default().to_owned();
                let entry = reasons.entry(kind).or_default();
                entry.0 += 1;
                if entry.1.len() < 6 {
                    entry.1.push(format!("{name}: {refusal}"));
                }
                continue;
            }
        };
        planned += 1;
        let pads = pads(&code, &context);
        let piece = |address| crate::plan::fragment(address, &context);
        paths::check(name, &code, &plan, &pads, &piece);
        exits.add(name, &code, &plan);
        *prices.entry(format!("{:?}", plan.entry.cost)).or_default() += 1;
        let mut seen = HashSet::new();
        for site in std::iter::once(&plan.entry).chain(&plan.exits) {
            assert!(
                boundaries.contains(&site.address),
                "{}: {name}: {site:x?} is not on an instruction",
                path.display()
            );
            assert!(seen.insert(site.address), "{name}: two sites at one place");
            let opcode = image.read(site.address, 1).expect("mapped")[0];
            if site.kind == SiteKind::Return {
                assert!(
                    matches!(opcode, 0xc3 | 0xc2 | 0xf2 | 0xf3),
                    "{name}: {site:x?}"
                );
            }
        }
    }
    println!(
        "{}: {planned} planned {prices:?}, {refused} refused",
        path.display()
    );
    exits.finish(path);
    for (kind, (count, examples)) in reasons {
        println!("  {count} {kind}");
        for example in examples {
            println!("      {example}");
        }
    }
    (planned, refused)
}

fn first_existing(candidates: &[&str]) -> Option<PathBuf> {
    candidates
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

fn check_if_there(candidates: &[&str], at_least: f64) {
    let Some(path) = first_existing(candidates) else {
        println!("none of {candidates:?} is here; nothing to check");
        return;
    };
    let (planned, refused) = check(&path);
    let share = planned as f64 / (planned + refused) as f64;
    assert!(
        share >= at_least,
        "{}: only {planned} of {} functions can be planned",
        path.display(),
        planned + refused
    );
}

#[test]
fn libc() {
    check_if_there(
        &["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"],
        0.8,
    );
}

#[test]
fn libstdcxx() {
    check_if_there(
        &[
            "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
            "/usr/lib64/libstdc++.so.6",
        ],
        0.8,
    );
}

#[test]
fn python() {
    check_if_there(
        &[
            "/usr/bin/python3.11",
            "/usr/bin/python3.12",
            "/usr/bin/python3.13",
            "/usr/bin/python3",
        ],
        0.8,
    );
}

#[test]
fn go_programs() {
    let home = std::env::var("HOME").unwrap_or_default();
    let compilers = [
        PathBuf::from("/usr/bin/go"),
        Path::new(&home).join(".cache/monigo/go/1.27.3/go/bin/go"),
    ];
    for compiler in compilers.iter().filter(|path| path.exists()) {
        for pie in [false, true] {
            let dir = tempfile::tempdir().expect("a directory");
            let source = dir.path().join("program.go");
            fs::write(
                &source,
                "package main\nimport (\"encoding/json\"; \"fmt\"; \"os\")\n\
                 func main() { text, _ := json.Marshal(os.Args); fmt.Println(string(text)) }\n",
            )
            .expect("writable");
            let program = dir.path().join("program");
            let built = Command::new(compiler)
                .args([
                    "build",
                    if pie {
                        "-buildmode=pie"
                    } else {
                        "-buildmode=exe"
                    },
                    "-o",
                ])
                .args([&program, &source])
                .env("GO111MODULE", "off")
                .env("GOTOOLCHAIN", "local")
                .current_dir(dir.path())
                .status()
                .expect("go runs");
            assert!(built.success());
            let (planned, refused) = check(&program);
            assert!(
                planned > 1_500 && refused * 20 < planned,
                "{}: {planned} planned, {refused} refused",
                compiler.display()
            );
        }
    }
}

#[test]
fn this_test() {
    let path = std::env::current_exe().expect("the test's path");
    let (planned, refused) = check(&path);
    assert!(
        planned > 1_000 && refused * 10 < planned,
        "{planned} planned, {refused} refused"
    );
}
