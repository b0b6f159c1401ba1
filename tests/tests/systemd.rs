//! The unit that the package brings, under a real systemd.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Program,
    agent::{leaf_calls, leaf_of, session_of, target},
    booted::Booted,
    require_root,
    targets::{self, Native},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// BPF, PERFMON, `SYS_PTRACE`, `DAC_READ_SEARCH`, SYSLOG and `CHECKPOINT_RESTORE`.
const CAPABILITIES: u64 = 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2 | 1 << 34 | 1 << 40;

const CONFIGURATION: &str = "/etc/monigo/monigo.toml";

/// Lines of `/proc/PID/status`.
fn status(pid: u32) -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let words = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(words.collect())
}

/// Written for a unit, systemd finds nothing to complain of, and little that the service could do without.
#[test]
fn systemd_finds_nothing_wrong_with_the_unit() -> Result<()> {
    require_root()?;
    let booted = Booted::new("")?;
    let unit = "/run/units/monigo.service";
    let said = booted.run(&["systemd-analyze", "--man=no", "verify", unit])?;
    ensure!(said.is_empty(), "{said}");
    // 10 is a service that may do everything; above 3, it fails.
    booted.run(&[
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=30",
        unit,
    ])?;
    Ok(())
}

/// It is ready when it says so, traces with the privileges that are documented and no others, takes a new configuration,
/// is started again when it hangs, and ends in good order.
#[test]
fn the_unit_traces_under_systemd() -> Result<()> {
    require_root()?;
    // In /tmp, where targets may lie, and below root's home or wherever the build is.
    let image = targets::c_scenarios(Native::O2)?;
    let folder = tempfile::tempdir_in("/tmp")?;
    let second = folder.path().join("second");
    fs::copy(&image, &second)?;
    // Seldom enough for a busy host.
    let booted = Booted::new("WatchdogSec=10\nRestartSec=100ms\n")?;
    fs::create_dir_all(booted.path("/etc/monigo"))?;
    let settings = "[listen]\nport = 0\n[storage]\nsync_frequency = \"100ms\"\n[trace]\nmax_overhead = \"off\"\n";
    let configuration = settings.to_owned() + &target(&image)?;
    fs::write(booted.path(CONFIGURATION), &configuration)?;

    // Returns once it is ready.
    booted.run(&["systemctl", "start", "monigo"])?;
    ensure!(booted.property("ActiveState")? == "active");
    let text = booted.property("StatusText")?;
    ensure!(text.starts_with("tracing "), "{text}");
    let line = booted.await_line("dashboard at http://", 1)?;
    let (_, url) = line.split_once("http://").context("no address")?;
    let address = url.trim_end_matches('/').parse()?;
    let session = session_of(&booted.await_line("event=\"attach\"", 1)?)?;
    // This systemd's processes have numbers of their own, unlike those of a host's.
    booted.await_line("a PID namespace that is not the host's", 1)?;
    let mut program = Program::start(&image, &["calls", "2", "300"])?;
    leaf_calls(address, &session, leaf_of(&program.go()?)?)?;
    program.finish()?;

    let main = booted.main_pid()?;
    let of = status(main)?;
    ensure!(!of["Uid"].starts_with("0\t"), "{of:?}");
    ensure!(of["NoNewPrivs"] == "1" && of["Seccomp"] == "2", "{of:?}");
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        let mask = u64::from_str_radix(&of[set], 16)?;
        ensure!(mask == CAPABILITIES, "{set} {mask:x}");
    }

    // systemd has heard from it, and goes on hearing.
    let heard = || booted.property("WatchdogTimestampMonotonic");
    let first = heard()?;
    booted.until("the watchdog is fed", |_| {
        Ok((heard()? != first).then_some(()))
    })?;

    fs::write(
        booted.path(CONFIGURATION),
        configuration + &target(&second)?,
    )?;
    booted.run(&["systemctl", "reload", "monigo"])?;
    booted.await_line("event=\"reload\"", 1)?;
    let session = session_of(&booted.await_line("event=\"attach\"", 2)?)?;
    let mut program = Program::start(&second, &["calls", "1", "200"])?;
    leaf_calls(address, &session, leaf_of(&program.go()?)?)?;
    program.finish()?;
    ensure!(booted.main_pid()? == main, "it was started again to reload");

    kill(Pid::from_raw(main as i32), Signal::SIGSTOP)?;
    booted.until("a service that hangs is started again", |booted| {
        Ok((booted.property("NRestarts")? == "1").then_some(()))
    })?;
    booted.await_line("event=\"attach\"", 4)?;
    ensure!(booted.main_pid()? != main);

    booted.run(&["systemctl", "stop", "monigo"])?;
    ensure!(booted.property("Result")? == "success", "{}", booted.log());
    ensure!(
        booted.property("ExecMainStatus")? == "0",
        "{}",
        booted.log()
    );
    let log = booted.log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}
