//! Causes planted in the Rust target.

use anyhow::Result;
use monigo_tests::targets;

use crate::{Planted, check};

fn find(planted: &Planted) -> Result<()> {
    let flags = ["-O", "-g", "-Cforce-frame-pointers=yes"];
    let program = targets::rust_program("tail", &flags)?;
    check(&program, "tail::handle", planted)
}

#[test]
fn a_mutex_in_rust() -> Result<()> {
    find(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["reserve_stock", "handle"],
    })
}

#[test]
fn a_sleep_in_rust() -> Result<()> {
    find(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["back_off", "handle"],
    })
}

#[test]
fn a_computation_in_rust() -> Result<()> {
    find(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

#[test]
fn a_pipe_in_rust() -> Result<()> {
    find(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["read_answer", "handle"],
    })
}
