//! Landing pads: where the unwinder continues a function that an exception passes through.
//!
//! Source: the Itanium C++ ABI's exception handling tables ("language-specific data area") as GCC
//! and LLVM write them, and Rust with them.

use gimli::{EndianSlice, LittleEndian, Reader as _, constants as encoding};

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// Longest call-site table that is read, in bytes.
const MAX_TABLE_BYTES: usize = 1 << 20;

/// Adds the landing pads of the table at `address` to `out`; it belongs to the piece of code that
/// starts at `piece`. `None` if it is not a table of the known form.
pub(super) fn pads<'a>(
    address: u64,
    piece: u64,
    read: &dyn Fn(u64, usize) -> Option<&'a [u8]>,
    out: &mut Vec<u64>,
) -> Option<()> {
    // Near the end of the segment there are fewer bytes than a header can have.
    let header = [32, 16, 8, 4]
        .into_iter()
        .find_map(|length| read(address, length))?;
    let (header, start) = Header::parse(header, address, piece)?;
    let bytes = read(address.checked_add(header.bytes)?, header.table_bytes)?;
    let mut table = Bytes::new(bytes, LittleEndian);
    while !table.is_empty() {
        let _start = value(&mut table, header.encoding)?;
        let _length = value(&mut table, header.encoding)?;
        let pad = value(&mut table, header.encoding)?;
        table.read_uleb128().ok()?;
        if pad != 0 {
            out.push(start.wrapping_add(pad));
        }
    }
    Some(())
}

struct Header {
    /// Its length.
    bytes: u64,
    /// Of the values in the call-site table.
    encoding: gimli::DwEhPe,
    /// Length of the call-site table.
    table_bytes: usize,
}

impl Header {
    /// The header, and the address that landing pads count from.
    fn parse(bytes: &[u8], address: u64, piece: u64) -> Option<(Self, u64)> {
        let mut input = Bytes::new(bytes, LittleEndian);
        let here = |input: &Bytes<'_>| address.wrapping_add((bytes.len() - input.len()) as u64);
        let start = match gimli::DwEhPe(input.read_u8().ok()?) {
            encoding::DW_EH_PE_omit => piece,
            format => {
                let at = here(&input);
                let base = match format.application() {
                    encoding::DW_EH_PE_absptr => 0,
                    encoding::DW_EH_PE_pcrel => at,
                    _ => return None,
                };
                if format.is_indirect() {
                    return None;
                }
                base.wrapping_add(value(&mut input, format)?)
            }
        };
        if gimli::DwEhPe(input.read_u8().ok()?) != encoding::DW_EH_PE_omit {
            input.read_uleb128().ok()?;
        }
        let format = gimli::DwEhPe(input.read_u8().ok()?);
        if format.application() != encoding::DW_EH_PE_absptr || format.is_indirect() {
            return None;
        }
        let table_bytes = usize::try_from(input.read_uleb128().ok()?).ok()?;
        let header = Self {
            bytes: here(&input).wrapping_sub(address),
            encoding: format,
            table_bytes,
        };
        (table_bytes <= MAX_TABLE_BYTES).then_some((header, start))
    }
}

fn value(input: &mut Bytes<'_>, format: gimli::DwEhPe) -> Option<u64> {
    match format.format() {
        encoding::DW_EH_PE_uleb128 => input.read_uleb128().ok(),
        encoding::DW_EH_PE_udata2 => input.read_u16().ok().map(u64::from),
        encoding::DW_EH_PE_udata4 => input.read_u32().ok().map(u64::from),
        encoding::DW_EH_PE_absptr | encoding::DW_EH_PE_udata8 => input.read_u64().ok(),
        encoding::DW_EH_PE_sleb128 => input.read_sleb128().ok().map(|value| value as u64),
        encoding::DW_EH_PE_sdata2 => input.read_i16().ok().map(|value| value as u64),
        encoding::DW_EH_PE_sdata4 => input.read_i32().ok().map(|value| value as u64),
        encoding::DW_EH_PE_sdata8 => input.read_i64().ok().map(|value| value as u64),
        _ => None,
    }
}
