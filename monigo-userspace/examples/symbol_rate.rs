//! How many frames a second one asker gets for addresses that were not asked for before, from monigo and
//! from blazesym: names, files, lines and inlined functions of this program's own code.
//!
//! One JSON object on stdout; the first addresses are in both cases not counted, in which debug information is
//! read.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use blazesym::symbolize::{
    Input, Symbolized, Symbolizer as Blazesym,
    source::{Elf, Source},
};
use monigo::symbols::{Image, symbolize::Symbolizer};
use serde_json::{Value, json};

/// Addresses that are asked for first, and those that are measured.
const FIRST: usize = 1000;
const MEASURED: usize = 20_000;
/// Bytes between addresses.
const APART: usize = 64;
/// Frames of a stack: as many are asked for at a time where that is faster.
const STACK: usize = 32;
/// Longest wait for debug information that another thread reads.
const LIMIT: Duration = Duration::from_mins(2);

fn main() -> Result<()> {
    let program = std::env::current_exe()?;
    let addresses = addresses(&program)?;
    let (first, measured) = addresses.split_at(FIRST);
    let answer = json!({
        "addresses": measured.len(),
        "monigo": monigo(&program, first, measured)?,
        "blazesym": blazesym(&program, first, measured)?,
    });
    println!("{answer}");
    Ok(())
}

/// Instructions inside functions all over the program, in no order.
fn addresses(program: &Path) -> Result<Vec<u64>> {
    let image = Image::open(program)?;
    let mut found: Vec<u64> = image
        .functions()
        .iter()
        .filter_map(|function| Some((function.entry()?, function.size_bytes())))
        .flat_map(|(entry, bytes)| (entry..entry + bytes).step_by(APART))
        .collect();
    let wanted = FIRST + MEASURED;
    ensure!(found.len() >= wanted, "only {} places", found.len());
    let mut random = 1_u64;
    for last in (1..found.len()).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        found.swap(last, (random >> 33) as usize % (last + 1));
    }
    found.truncate(wanted);
    Ok(found)
}

/// What lies between an address in the file and in this process.
fn bias(program: &Path) -> Result<u64> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let program = program.to_str().context("path is not UTF-8")?;
    let line = maps.lines().find(|line| line.ends_with(program));
    let start = line.and_then(|line| line.split('-').next());
    Ok(u64::from_str_radix(start.context("not mapped")?, 16)?)
}

fn monigo(program: &Path, first: &[u64], measured: &[u64]) -> Result<Value> {
    let (pid, bias) = (std::process::id(), bias(program)?);
    let mut symbolizer = Symbolizer::new();
    let mut ask = |addresses: &[u64]| {
        let frames = addresses.iter().filter_map(|address| {
            let frames = symbolizer.frames(pid, bias + address, false)?;
            Some((
                frames.len(),
                frames.iter().any(|frame| frame.line.is_some()),
            ))
        });
        let summed = frames.fold((0, 0), |sum, (frames, lined)| {
            (sum.0 + frames, sum.1 + usize::from(lined))
        });
        (summed, symbolizer.take_unsettled())
    };
    let started = Instant::now();
    while ask(first).1 {
        ensure!(started.elapsed() < LIMIT, "debug information is not read");
        thread::sleep(Duration::from_millis(20));
    }
    let started = Instant::now();
    let ((frames, lined), _) = ask(measured);
    Ok(figures(frames, lined, started.elapsed()))
}

fn blazesym(program: &Path, first: &[u64], measured: &[u64]) -> Result<Value> {
    let symbolizer = Blazesym::new();
    let source = Source::Elf(Elf::new(program));
    let ask = |addresses: &[u64]| -> Result<(usize, usize)> {
        let (mut frames, mut lined) = (0, 0);
        for stack in addresses.chunks(STACK) {
            for symbolized in symbolizer.symbolize(&source, Input::VirtOffset(stack))? {
                if let Symbolized::Sym(sym) = symbolized {
                    frames += 1 + sym.inlined.len();
                    lined += usize::from(sym.code_info.is_some());
                }
            }
        }
        Ok((frames, lined))
    };
    ask(first)?;
    let started = Instant::now();
    let (frames, lined) = ask(measured)?;
    Ok(figures(frames, lined, started.elapsed()))
}

fn figures(frames: usize, lined: usize, took: Duration) -> Value {
    json!({ "frames": frames, "addresses_with_lines": lined, "wall_s": took.as_secs_f64() })
}
