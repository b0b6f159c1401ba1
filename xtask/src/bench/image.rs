//! What the bench itself reads from a target's ELF file.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};

/// Where a function is.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name of its symbol.
    pub symbol: String,
    /// Address of its first instruction.
    pub address: u64,
    /// Addresses of its `ret` instructions.
    pub returns: Vec<u64>,
    /// Its first instructions, for the report.
    pub beginning: String,
}

/// Finds the one function whose symbol `wanted` accepts and disassembles it.
pub fn function(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Function> {
    let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = object::File::parse(&*data)?;
    let symbol = file
        .symbols()
        .find(|symbol| symbol.size() > 0 && symbol.name().is_ok_and(&wanted))
        .with_context(|| format!("{} has no such function", path.display()))?;
    let (address, size) = (symbol.address(), symbol.size());
    let offset = in_segment(&file, address)? as usize;
    let code = data
        .get(offset..offset + size as usize)
        .context("the function lies outside the file")?;
    let mut returns = Vec::new();
    let mut beginning = Vec::new();
    for instruction in Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        if instruction.flow_control() == FlowControl::Return {
            returns.push(instruction.ip());
        }
        if beginning.len() < 2 {
            beginning.push(format!("{:?}", instruction.mnemonic()).to_lowercase());
        }
    }
    if returns.is_empty() {
        bail!("{} never returns", symbol.name()?);
    }
    Ok(Function {
        symbol: symbol.name()?.to_owned(),
        address,
        returns,
        beginning: beginning.join("; "),
    })
}

/// File offsets of addresses.
pub fn offsets(path: &Path, addresses: &[u64]) -> Result<Vec<u64>> {
    let data = fs::read(path)?;
    let file = object::File::parse(&*data)?;
    addresses
        .iter()
        .map(|address| in_segment(&file, *address))
        .collect()
}

fn in_segment(file: &object::File<'_>, address: u64) -> Result<u64> {
    file.segments()
        .find_map(|segment| {
            let into = address.checked_sub(segment.address())?;
            let (offset, size) = segment.file_range();
            (into < size).then_some(offset + into)
        })
        .with_context(|| format!("{address:#x} is in no segment"))
}
