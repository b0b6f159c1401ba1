//! The programs that are probed, and talking to them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Bench,
    image::{self, Function},
};
use crate::{
    build,
    process::{self, Guard},
    workspace::Workspace,
};

/// A target answers within this, or it hangs.
const ANSWER: Duration = Duration::from_mins(1);

/// How a target is made.
struct Recipe {
    name: &'static str,
    /// As monigo is asked for it.
    pattern: &'static str,
    /// What its symbol contains besides `work`.
    symbol: fn(&str) -> bool,
    unwinds: bool,
    source: &'static str,
    compiler: &'static [&'static str],
}

const RECIPES: [Recipe; 7] = [
    Recipe {
        name: "C push",
        pattern: "work",
        symbol: |name| name == "work",
        unwinds: false,
        source: "target.c",
        compiler: &[
            "gcc",
            "-O1",
            "-g",
            "-fno-omit-frame-pointer",
            "-fcf-protection=none",
        ],
    },
    Recipe {
        name: "C endbr64; push",
        pattern: "work",
        symbol: |name| name == "work",
        unwinds: false,
        source: "target.c",
        compiler: &[
            "gcc",
            "-O1",
            "-g",
            "-fno-omit-frame-pointer",
            "-fcf-protection=full",
        ],
    },
    Recipe {
        name: "C sub",
        pattern: "work",
        symbol: |name| name == "work",
        unwinds: false,
        source: "target.c",
        // Without the red zone a leaf function moves the stack pointer, as others do.
        compiler: &[
            "gcc",
            "-O1",
            "-g",
            "-fomit-frame-pointer",
            "-mno-red-zone",
            "-fcf-protection=none",
        ],
    },
    Recipe {
        name: "C nop5",
        pattern: "work",
        symbol: |name| name == "work",
        unwinds: false,
        source: "target.c",
        compiler: &[
            "gcc",
            "-O1",
            "-g",
            "-fno-pie",
            "-no-pie",
            "-fcf-protection=none",
            "-pg",
            "-mfentry",
            "-mnop-mcount",
        ],
    },
    Recipe {
        name: "C++",
        pattern: "work",
        symbol: |name| name.starts_with("_Z4work"),
        unwinds: true,
        source: "target.cpp",
        compiler: &[
            "g++",
            "-O2",
            "-g",
            "-fno-omit-frame-pointer",
            "-fcf-protection=full",
        ],
    },
    Recipe {
        name: "Rust",
        pattern: "target::work",
        symbol: |name| name.contains("6target4work"),
        unwinds: true,
        source: "target.rs",
        compiler: &[
            "rustc",
            "--edition",
            "2024",
            "--crate-name",
            "target",
            "-O",
            "-g",
            "-C",
            "force-frame-pointers=yes",
        ],
    },
    Recipe {
        name: "Go",
        pattern: "main.work",
        symbol: |name| name == "main.work",
        unwinds: true,
        source: "go",
        compiler: &[],
    },
];

/// A compiled target.
pub struct Program {
    /// What the report calls it: the language and how the function begins.
    pub name: &'static str,
    /// The file.
    pub binary: PathBuf,
    /// The function, as monigo is asked for it.
    pub pattern: &'static str,
    /// The function.
    pub function: Function,
    /// Whether it understands `unwind`.
    pub unwinds: bool,
}

/// Compiles all targets into `directory`; each fails on its own.
pub fn compile(
    workspace: &Workspace,
    directory: &Path,
) -> Result<Vec<(&'static str, Result<Program>)>> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(RECIPES
        .iter()
        .map(|recipe| (recipe.name, recipe.build(workspace, directory)))
        .collect())
}

impl Recipe {
    fn build(&self, workspace: &Workspace, directory: &Path) -> Result<Program> {
        let source = workspace.root.join("xtask/bench").join(self.source);
        let binary = directory.join(
            self.name
                .replace('+', "p")
                .replace([' ', ';'], "-")
                .to_lowercase(),
        );
        match self.compiler {
            [] => go(workspace, &source, &binary)?,
            [compiler, options @ ..] if options.contains(&"-pg") => {
                // Only the code is to have the nops: -pg in the link starts a profiler.
                let object = binary.with_extension("o");
                process::output(
                    Command::new(compiler)
                        .args(options)
                        .args(["-c", "-o"])
                        .args([&object, &source]),
                )?;
                process::output(
                    Command::new(compiler)
                        .args(["-no-pie", "-o"])
                        .args([&binary, &object]),
                )?;
            }
            [compiler, options @ ..] => {
                process::output(
                    Command::new(compiler)
                        .args(options)
                        .arg("-o")
                        .args([&binary, &source]),
                )?;
            }
        }
        Ok(Program {
            name: self.name,
            function: image::function(&binary, self.symbol)?,
            binary,
            pattern: self.pattern,
            unwinds: self.unwinds,
        })
    }
}

/// Builds a Go package with the Go of the set-up.
pub fn go(workspace: &Workspace, package: &Path, binary: &Path) -> Result<()> {
    process::output(&mut build::go(workspace, package, binary))?;
    Ok(())
}

/// Compiles a target of one C file of `xtask/bench`, with debug information.
pub fn compile_c(bench: &Bench, source: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
    let binary = bench.directory.join(name);
    fs::create_dir_all(&bench.directory)?;
    process::output(
        Command::new("gcc")
            .arg("-g")
            .args(options)
            .arg("-o")
            .arg(&binary)
            .arg(bench.workspace.root.join("xtask/bench").join(source)),
    )?;
    Ok(binary)
}

/// A target that runs and waits for orders on its stdin.
pub struct Running {
    process: Guard,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut process = Guard::spawn(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        )?;
        let stdin = process.0.stdin.take().context("stdin is piped")?;
        let stdout = process.0.stdout.take().context("stdout is piped")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            process,
            stdin,
            lines,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has died.
    pub fn has_ended(&mut self) -> bool {
        self.process
            .0
            .try_wait()
            .is_ok_and(|status| status.is_some())
    }

    /// Sends a line and waits for the answer. Fails if the target has died, or hangs.
    pub fn ask(&mut self, line: &str) -> Result<String> {
        self.send(line);
        self.answer()
    }

    /// Sends a line.
    pub fn send(&mut self, line: &str) {
        // A dead target closes the pipe; the answer that does not come says so better.
        let _ = writeln!(self.stdin, "{line}");
    }

    /// Waits for an answer. Fails if the target has died, or hangs.
    pub fn answer(&mut self) -> Result<String> {
        match self.lines.recv_timeout(ANSWER) {
            Ok(answer) => Ok(answer),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("the target hangs"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                match self.process.wait(Duration::from_secs(5)) {
                    Some(status) => bail!("the target ended with {status}"),
                    None => bail!("the target closed its output"),
                }
            }
        }
    }

    /// Nanoseconds a call, over `calls` calls.
    pub fn time(&mut self, calls: u64) -> Result<f64> {
        let answer = self.ask(&calls.to_string())?;
        let total_ns = answer.split_whitespace().next().unwrap_or_default();
        let total_ns: u64 = total_ns
            .parse()
            .with_context(|| format!("the target said {answer:?}"))?;
        ensure!(total_ns > 0, "the target's clock stands still");
        Ok(total_ns as f64 / calls as f64)
    }

    /// Nanoseconds a call while nothing disturbs it: of `slices` times over `calls` calls each, the
    /// mean of the fastest fifth. What else runs on a host makes a slice slower, never faster.
    pub fn undisturbed(&mut self, calls: u64, slices: usize) -> Result<f64> {
        let mut times = (0..slices)
            .map(|_| self.time(calls))
            .collect::<Result<Vec<_>>>()?;
        times.sort_by(f64::total_cmp);
        times.truncate((slices / 5).max(1));
        Ok(times.iter().sum::<f64>() / times.len() as f64)
    }

    /// Closes its stdin and waits until it has ended.
    pub fn finish(self) {
        let Self {
            mut process, stdin, ..
        } = self;
        drop(stdin);
        let _ = process.wait(Duration::from_secs(20));
    }
}
