//! On a real old kernel, in an emulator: the verifier takes the programs, and counts are exact.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use monigo_tests::{
    emulated::{self, Case},
    targets::{self, Go, GoVersion, Native},
};

/// The programs for older kernels; without samples, which take the emulator's time.
const PORTABLE: &[&str] = &["--portable-programs", "--cpu-hz", "0", "--no-off-cpu"];

#[test]
#[ignore = "takes an emulator and a kernel; `cargo xtask test` finds them"]
fn counts_on_an_old_kernel() -> Result<()> {
    let kernel = std::env::var_os("MONIGO_OLD_KERNEL");
    let kernel = PathBuf::from(kernel.context("MONIGO_OLD_KERNEL names no kernel")?);
    let c = targets::c_scenarios(Native::O2)?;
    let cpp = targets::cpp_exceptions(Native::O2)?;
    let go = targets::go_scenarios(Go {
        version: GoVersion::Current,
        flags: &[],
    })?;
    let case = |program, arguments, options| Case {
        program,
        arguments,
        options,
    };
    let release = emulated::check(
        &kernel,
        &[
            case(&c, &["recursion", "200", "1"], &[]),
            case(&cpp, &["2", "20", "3"], PORTABLE),
            case(&go, &["panic", "2", "3", "10"], PORTABLE),
        ],
    )?;
    eprintln!("counted on Linux {release}");
    Ok(())
}
