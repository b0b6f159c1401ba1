//! How stacks are taken: by frame pointers, or as copies that are unwound by tables.

use std::sync::Arc;

use monigo_common::copy::MAX_COPY_BYTES;

use super::TraceOptions;
use crate::{
    cli::{args::StackMode, exit::say},
    symbols::Image,
    target::{Libraries, Target},
    unwind::Ways,
};

/// Libraries that are looked at; those that programs need first come first.
const MOST_LIBRARIES: usize = 32;

/// How much of each stack is copied, bytes; 0 for walking by frame pointers. `images` are those of
/// traced functions. Says so if that is not what was asked for.
pub fn copied_bytes(target: &Target, images: &[Arc<Image>], args: &TraceOptions) -> u32 {
    let go = images.iter().any(|image| image.go().is_some());
    let copied = match args.stacks {
        StackMode::Off | StackMode::Fp => false,
        StackMode::Dwarf if go => {
            say!(
                "--stacks dwarf: stacks of Go programs are walked by frame pointers, which Go always keeps"
            );
            return 0;
        }
        StackMode::Dwarf => true,
        StackMode::Auto => !go && needs_tables(target, images),
    };
    if copied { MAX_COPY_BYTES as u32 } else { 0 }
}

/// Whether any code that is likely to be on the stack keeps no frame pointers.
fn needs_tables(target: &Target, images: &[Arc<Image>]) -> bool {
    let mut ways = Ways::default();
    for image in images {
        ways.add(image);
    }
    let Some(own) = images.first() else {
        return false;
    };
    if ways.copy() {
        return true;
    }
    let libraries = Libraries::of(target, own);
    for library in libraries.all().iter().take(MOST_LIBRARIES) {
        if let Ok(image) = Image::open_as(&library.open_path, &library.show_path) {
            ways.add(&image);
        }
        if ways.copy() {
            return true;
        }
    }
    false
}
