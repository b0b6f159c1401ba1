//! `monigo run`.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};
use nix::{
    fcntl::OFlag,
    sys::{
        signal::{SigSet, SigmaskHow, sigprocmask},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, execvp, fork, pipe2},
};

use super::{
    args::RunArgs,
    exit::Failure,
    list::target_failure,
    operation::Operation,
    trace::{Held, TraceOptions, trace},
};
use crate::target::{self, Scope, Target};

/// Runs the subcommand.
pub fn run(args: &RunArgs, verbose: u8) -> Result<()> {
    args.trace.symbols.install()?;
    let mut target = target::resolve_command(&args.command[0]).map_err(target_failure)?;
    // Forked before anything else starts a thread, and held until the probes are in.
    let mut child = HeldChild::start(&args.command)?;
    target = Target {
        scope: Scope::Tree(vec![child.pid()]),
        pids: vec![child.pid()],
        ..target
    };
    let common = args.trace.common.config.as_deref();
    let operation = Operation::begin(common, args.trace.given(verbose))?;
    let options = TraceOptions::new(&args.trace, &operation.config());
    trace(&target, &options, &operation, Some(&mut child))
}

/// A child that has forked and waits before it executes its command.
struct HeldChild {
    pid: Pid,
    command: String,
    /// Closing it without writing makes the child give up.
    gate: Option<OwnedFd>,
    /// The child writes here why it could not execute; it closes by executing.
    verdict: Option<OwnedFd>,
}

impl HeldChild {
    fn start(command: &[String]) -> Result<Self> {
        let words: Vec<CString> = command
            .iter()
            .map(|word| CString::new(word.as_str()))
            .collect::<Result<_, _>>()
            .map_err(|_| Failure::usage(anyhow::anyhow!("the command holds a NUL byte")))?;
        let (gate_out, gate_in) = pipe2(OFlag::O_CLOEXEC).context("making a pipe")?;
        let (verdict_out, verdict_in) = pipe2(OFlag::O_CLOEXEC).context("making a pipe")?;
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }.context("forking")? {
            ForkResult::Child => {
                drop((gate_in, verdict_out));
                execute(gate_out, verdict_in, &words)
            }
            ForkResult::Parent { child } => Ok(Self {
                pid: child,
                command: command[0].clone(),
                gate: Some(gate_in),
                verdict: Some(verdict_out),
            }),
        }
    }
}

/// Waits for the gate, then becomes the command.
fn execute(gate: OwnedFd, verdict: OwnedFd, words: &[CString]) -> ! {
    let opened = File::from(gate).read_exact(&mut [0]).is_ok();
    if opened {
        // `main` made SIGPIPE what it is for other programs; signals must not be blocked either.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        let Err(errno) = execvp(&words[0], words);
        let _ = File::from(verdict).write_all(&(errno as i32).to_ne_bytes());
    }
    // SAFETY: ends the child without running what belongs to the parent.
    unsafe { libc::_exit(127) }
}

impl Held for HeldChild {
    fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    fn release(&mut self) -> Result<()> {
        let Some(gate) = self.gate.take() else {
            return Ok(());
        };
        debug_assert!(gate.as_raw_fd() > 2);
        File::from(gate)
            .write_all(&[1])
            .context("releasing the command")?;
        let mut errno = [0; 4];
        let failed = self
            .verdict
            .take()
            .is_some_and(|verdict| File::from(verdict).read_exact(&mut errno).is_ok());
        if failed {
            let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
            let command = &self.command;
            return Err(Failure::usage(anyhow::anyhow!(
                "cannot execute {command}: {error}"
            )));
        }
        Ok(())
    }

    fn epitaph(&mut self) -> Option<String> {
        let (pid, command) = (self.pid, &self.command);
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, 0)) => None,
            Ok(WaitStatus::Exited(_, status)) => {
                Some(format!("{command} exited with status {status}"))
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                Some(format!("{command} was ended by {signal}"))
            }
            Ok(WaitStatus::StillAlive) => {
                Some(format!("{command} goes on as process {pid}, untraced"))
            }
            _ => None,
        }
    }
}
