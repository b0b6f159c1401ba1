//! Causes planted in the C++ target.

use anyhow::Result;
use monigo_tests::targets::{self, Native};

use crate::{Planted, check};

fn find(planted: &Planted) -> Result<()> {
    let program = targets::cpp_tail(Native::FRAME_POINTERS)?;
    check(&program, "shop::handle", planted)
}

#[test]
fn a_mutex_in_cpp() -> Result<()> {
    find(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["Stock::reserve", "shop::handle"],
    })
}

#[test]
fn a_sleep_in_cpp() -> Result<()> {
    find(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["back_off", "shop::handle"],
    })
}

#[test]
fn a_computation_in_cpp() -> Result<()> {
    find(&Planted {
        reason: "spin",
        wait: None,
        places: &["checksum"],
    })
}

#[test]
fn a_pipe_in_cpp() -> Result<()> {
    find(&Planted {
        reason: "pipe",
        wait: Some(&["io"]),
        places: &["read_answer", "shop::handle"],
    })
}
