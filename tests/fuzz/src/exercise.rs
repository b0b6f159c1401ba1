//! Asking an image everything that monigo asks of one.

use std::{
    ffi::CStr,
    fs::File,
    io::Write as _,
    os::fd::{AsRawFd as _, FromRawFd as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    plan::ImagePlanner,
    symbols::{Function, Image, futures, pattern, symbolize::Symbolizer},
};

/// Functions of one image that are asked about one by one. More would only be slower.
const MOST_FUNCTIONS: usize = 16;

/// Opens `bytes` as an image, through a file that lives in memory.
pub fn with_image(bytes: &[u8], ask: impl FnOnce(Arc<Image>)) {
    let name: &CStr = c"image";
    // SAFETY: the name is a C string, and the flags are none.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    assert!(descriptor >= 0, "memfd_create");
    // SAFETY: the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(bytes).expect("memory for the image");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match Image::open_as(&path, Path::new("image")) {
        Ok(image) => ask(Arc::new(image)),
        Err(error) => {
            let _ = error.to_string();
        }
    }
}

/// Everything: functions, their plans, frames, what is inlined, patterns.
pub fn exercise(bytes: &[u8]) {
    with_image(bytes, |image| {
        let _ = (
            image.language(),
            image.plt_ranges().len(),
            image.only_inlined().len(),
            image.has_symtab(),
            image.build_id().map(str::len),
            image.needed().len(),
        );
        let planner = ImagePlanner::new(&image);
        let mut symbolizer = Symbolizer::new();
        symbolizer.add_image(image.clone());
        for function in image.functions().iter().take(MOST_FUNCTIONS) {
            let _ = (function.name(), function.size_bytes());
            if let Ok(plan) = planner.plan(function) {
                for site in plan.exits.iter().chain([&plan.entry]) {
                    assert!(image.is_code(site.address), "{site:?} is not in code");
                    assert_eq!(image.file_offset(site.address), Some(site.file_offset));
                }
            }
            let Some(entry) = function.entry() else {
                continue;
            };
            let _ = (
                image.function_at(entry),
                image.plt_name(entry),
                image.inlined_into(function),
                symbolizer.source_of(&image, function),
            );
            // No process has this id, so the address is looked up in the image.
            let _ = symbolizer.frames(u32::MAX, entry.wrapping_add(9), true);
        }
        let functions = image.functions().iter().take(MOST_FUNCTIONS);
        let entries: Vec<u64> = functions.filter_map(Function::entry).collect();
        let _ = futures::layouts(&image, &entries);
        for text in ["*", "main", "a::b", "/x/"] {
            let _ = pattern::find(&image, text).map(|matches| matches.select(true).is_ok());
        }
        let _ = pattern::list(&image, None);
    });
}
