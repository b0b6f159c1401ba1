//! Many probes through one link (`uprobe_multi`, Linux 6.6 and later): thousands attach and
//! detach in the time that perf events need for one.
//!
//! aya 0.14 has no such link, so the programs are loaded here a second time, with the attach type
//! that it needs, over the maps that aya made. Layouts: `union bpf_attr` in Linux
//! `include/uapi/linux/bpf.h`.

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    io, mem,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya::{Ebpf, maps::Map};
use aya_obj::{
    Function, Object,
    generated::{BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type},
};

use super::changes::Change;

/// A program loaded for multi links.
#[derive(Debug)]
pub struct MultiProgram {
    fd: OwnedFd,
    on_return: bool,
}

/// Probes on many sites; closing the descriptor removes them.
#[derive(Debug)]
pub struct MultiLink {
    fd: Option<OwnedFd>,
}

impl Drop for MultiLink {
    fn drop(&mut self) {
        let _change = Change::begin();
        drop(self.fd.take());
    }
}

/// Descriptors of maps by name.
pub type MapDescriptors = HashMap<String, RawFd>;

/// Those of the maps that `ebpf` still holds.
pub fn map_descriptors(ebpf: &Ebpf) -> MapDescriptors {
    ebpf.maps()
        .filter_map(|(name, map)| Some((name.to_owned(), map_fd(map)?)))
        .collect()
}

/// Programs that can be loaded for multi links.
pub struct MultiObject {
    object: Object,
    btf: Option<OwnedFd>,
}

impl MultiObject {
    /// The programs of `object`, over `maps`.
    ///
    /// # Errors
    /// Whatever keeps this kernel or this object from it; perf events are the way then.
    pub fn new(object: &[u8], maps: &MapDescriptors) -> Result<Self, io::Error> {
        let other = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
        let mut object = Object::parse(object).map_err(|error| other(&error))?;
        let text: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section_index, _)| *section_index)
            .collect();
        // Callbacks of `bpf_loop` need type information.
        let btf = match aya::features().btf() {
            Some(features) => object
                .fixup_and_sanitize_btf(features)
                .map_err(|error| other(&error))?,
            None => None,
        };
        let btf = btf.map(|btf| load_btf(&btf.to_bytes())).transpose()?;
        let definitions: Vec<(String, aya_obj::Map)> = object.maps.drain().collect();
        let descriptors: Vec<(&str, RawFd, &aya_obj::Map)> = definitions
            .iter()
            .filter_map(|(name, map)| Some((name.as_str(), *maps.get(name)?, map)))
            .collect();
        object
            .relocate_maps(descriptors.into_iter(), &text)
            .map_err(|error| other(&error))?;
        object
            .relocate_calls(&text)
            .map_err(|error| other(&error))?;
        object.sanitize_functions(aya::features());
        Ok(Self { object, btf })
    }

    /// Loads a program. `on_return` if it is to fire at returns.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn load(&self, name: &str, on_return: bool) -> Result<MultiProgram, io::Error> {
        let program = self
            .object
            .programs
            .get(name)
            .ok_or_else(|| io::Error::other(format!("no program {name}")))?;
        let function = self
            .object
            .functions
            .get(&program.function_key())
            .ok_or_else(|| io::Error::other(format!("no code for program {name}")))?;
        let fd = load_program(function, &program.license, self.btf.as_ref())?;
        Ok(MultiProgram { fd, on_return })
    }
}

/// Descriptor of the kinds of maps that the programs use.
fn map_fd(map: &Map) -> Option<RawFd> {
    use std::os::fd::AsFd as _;
    match map {
        Map::Array(data) | Map::PerCpuArray(data) | Map::HashMap(data) | Map::RingBuf(data) => {
            Some(data.fd().as_fd().as_raw_fd())
        }
        _ => None,
    }
}

fn load_btf(bytes: &[u8]) -> Result<OwnedFd, io::Error> {
    // SAFETY: all-zero is a valid `bpf_attr`.
    let mut attr: bpf_attr = unsafe { mem::zeroed() };
    // SAFETY: the member that BPF_BTF_LOAD reads.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = bytes.as_ptr() as u64;
    load.btf_size = bytes.len() as u32;
    bpf(bpf_cmd::BPF_BTF_LOAD, &attr)
}

fn load_program(
    function: &Function,
    license: &CString,
    btf: Option<&OwnedFd>,
) -> Result<OwnedFd, io::Error> {
    let instructions = &function.instructions;
    let functions = function.func_info.func_info_bytes();
    // SAFETY: all-zero is a valid `bpf_attr`.
    let mut attr: bpf_attr = unsafe { mem::zeroed() };
    // SAFETY: the member that BPF_PROG_LOAD reads.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = license.as_ptr() as u64;
    if let Some(btf) = btf
        && function.func_info_rec_size > 0
    {
        load.prog_btf_fd = btf.as_raw_fd().unsigned_abs();
        load.func_info_rec_size = function.func_info_rec_size as u32;
        load.func_info = functions.as_ptr() as u64;
        load.func_info_cnt = function.func_info.len() as u32;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &attr)
}

impl MultiProgram {
    /// Attaches to every offset of the file at `path`, with a cookie each; `pid` restricts the
    /// probes to one process.
    pub fn attach(
        &self,
        path: &Path,
        sites: &[(u64, u64)],
        pid: Option<u32>,
    ) -> Result<MultiLink, io::Error> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let (offsets, cookies): (Vec<u64>, Vec<u64>) = sites.iter().copied().unzip();
        // SAFETY: all-zero is a valid `bpf_attr`.
        let mut attr: bpf_attr = unsafe { mem::zeroed() };
        // SAFETY: the member that BPF_LINK_CREATE reads.
        let link = unsafe { &mut attr.link_create };
        link.__bindgen_anon_1.prog_fd = self.fd.as_raw_fd().unsigned_abs();
        link.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
        // SAFETY: the member for this attach type.
        let multi = unsafe { &mut link.__bindgen_anon_3.uprobe_multi };
        multi.path = path.as_ptr() as u64;
        multi.offsets = offsets.as_ptr() as u64;
        multi.cookies = cookies.as_ptr() as u64;
        multi.cnt = sites.len() as u32;
        multi.flags = if self.on_return {
            BPF_F_UPROBE_MULTI_RETURN
        } else {
            0
        };
        multi.pid = pid.unwrap_or(0);
        let _change = Change::begin();
        let fd = bpf(bpf_cmd::BPF_LINK_CREATE, &attr)?;
        Ok(MultiLink { fd: Some(fd) })
    }
}

/// A `bpf()` call that makes a descriptor.
fn bpf(command: bpf_cmd, attr: &bpf_attr) -> Result<OwnedFd, io::Error> {
    let mut attr = *attr;
    // SAFETY: what `attr` points to outlives the call, and these commands only read it.
    let fd = unsafe { call(command, &mut attr) }?;
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The system call `bpf()`; returns what it returned.
///
/// # Safety
/// What `attr` points to must be as the command demands.
pub(super) unsafe fn call(command: bpf_cmd, attr: &mut bpf_attr) -> Result<i32, io::Error> {
    // SAFETY: `attr` lives through the call, and so does what it points to.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    match i32::try_from(answer) {
        Ok(answer) if answer >= 0 => Ok(answer),
        _ => Err(io::Error::last_os_error()),
    }
}
