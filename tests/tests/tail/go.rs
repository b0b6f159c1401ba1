//! Causes planted in the Go target.

use anyhow::Result;
use monigo_tests::targets::{self, Go, GoVersion};

use crate::{Planted, check};

fn find(planted: &Planted) -> Result<()> {
    let program = targets::go_tail(Go {
        version: GoVersion::Current,
        flags: &[],
    })?;
    check(&program, "main.handle", planted)
}

#[test]
fn a_computation_in_go() -> Result<()> {
    find(&Planted {
        reason: "spin",
        wait: None,
        places: &["main.checksum"],
    })
}

#[test]
fn a_mutex_in_go() -> Result<()> {
    find(&Planted {
        reason: "lock",
        wait: Some(&["lock"]),
        places: &["main.reserveStock"],
    })
}

#[test]
fn a_sleep_in_go() -> Result<()> {
    find(&Planted {
        reason: "sleep",
        wait: Some(&["sleep"]),
        places: &["main.backOff"],
    })
}

#[test]
fn a_channel_in_go() -> Result<()> {
    find(&Planted {
        reason: "channel",
        wait: Some(&["channel"]),
        places: &["main.receive"],
    })
}

#[test]
fn a_pipe_in_go() -> Result<()> {
    find(&Planted {
        reason: "pipe",
        wait: Some(&["io", "network"]),
        places: &["main.readAnswer"],
    })
}
