//! The kernel's own code in user space, which no file holds.

use std::{io, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use memmap2::MmapMut;

use super::{
    Image,
    maps::{Backing, ProcessMaps},
};

/// Larger ones are none.
const LARGEST_BYTES: u64 = 1 << 20;

/// The vDSO as an image. The kernel maps the same code into every 64-bit process, so this reads that of
/// monigo and no other process's memory.
pub(super) fn image() -> Option<Arc<Image>> {
    let copy = copy().ok()??;
    Image::of_memory(copy, Path::new("[vdso]"))
        .ok()
        .map(Arc::new)
}

fn copy() -> io::Result<Option<memmap2::Mmap>> {
    let maps = ProcessMaps::read(std::process::id())?;
    let Some(range) = maps.range_of(&Backing::Vdso) else {
        return Ok(None);
    };
    let size = range.end - range.start;
    if size > LARGEST_BYTES {
        return Ok(None);
    }
    let mut copy = MmapMut::map_anon(size as usize)?;
    std::fs::File::open("/proc/self/mem")?.read_exact_at(&mut copy, range.start)?;
    copy.make_read_only().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_functions_that_read_the_clock() {
        let image = image().unwrap();
        let names: Vec<&str> = image
            .functions()
            .iter()
            .map(crate::symbols::Function::name)
            .collect();
        let clock = |name: &&str| name.contains("clock_gettime");
        assert!(names.iter().any(clock), "{names:?}");
    }
}
