//! Causes planted in the C target.

use anyhow::Result;
use monigo_tests::targets::{self, Native};

use crate::{Planted, check};

fn find(planted: &Planted) -> Result<()> {
    let program = targets::c_program("tail", Native::FRAME_POINTERS)?;
    check(&program, "handle", planted)
}

#[test]
fn a_lock_held_by_another_thread() -> Result<()> {
    find(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["reserve_stock", "handle"],
    })
}

#[test]
fn a_sleep() -> Result<()> {
    find(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["sleep_ms", "back_off", "handle"],
    })
}

#[test]
fn a_computation() -> Result<()> {
    find(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

#[test]
fn a_slow_pipe() -> Result<()> {
    find(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["take", "read_answer", "handle"],
    })
}
