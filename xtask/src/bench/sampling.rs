//! What a tool that samples takes from a busy target, as the target itself sees it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Bench,
    figure::{Metric, Summary},
    gaps::{self, Gap},
    targets::{Running, compile_c},
    tool::Tool,
};

/// What interrupts and probes take of the target's time: it looks at the clock all the time, and sees where
/// it did not get on. Exact, whatever frequency the host runs at. Left out are the moments at which the host and
/// the kernel interrupt it anyway ([`gaps`]).
pub const LOST: Metric = Metric {
    name: "taken",
    unit: "% of the target's CPU time",
};
/// By how much the same work takes longer: with what the tool's own threads and its use of caches cost, and
/// with the noise of the host.
pub const SLOWER: Metric = Metric {
    name: "slower",
    unit: "% more CPU time",
};

/// Tools have begun within this.
pub const LIMIT: Duration = Duration::from_mins(1);
/// Time in which a tool that has just begun comes to rest: what it meets first needs symbols, too.
const REST: Duration = Duration::from_secs(3);

/// [`Shape::blocks`] of about a second. The probes of a call meet cold caches and take some tens of microseconds: twenty
/// calls a second would add a fifth to what 99 looks take.
pub const SECOND: u32 = 5_000_000;

/// How a target is built.
pub struct Shape {
    /// Whether its code keeps frame pointers.
    pub frame_pointers: bool,
    /// Looks at the clock in a call, some 200 ns each.
    pub blocks: u32,
}

/// Compiles the target: `chunk` works 20 calls deep.
pub fn compile(bench: &Bench, shape: &Shape) -> Result<PathBuf> {
    let (option, name) = if shape.frame_pointers {
        ("-fno-omit-frame-pointer", "spin")
    } else {
        ("-fomit-frame-pointer", "spin-bare")
    };
    let blocks = format!("-DBLOCKS={}", shape.blocks);
    compile_c(bench, "spin.c", name, &["-O2", option, &blocks])
}

/// A span of the target's time.
#[derive(Clone, Copy)]
struct Span {
    /// Of a call, the middle one.
    call_ns: f64,
    /// Share of a call that it did not get on in, of the middle one.
    lost: f64,
    cpu_ns: f64,
}

/// What a tool did to the target.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// See [`LOST`].
    pub lost: f64,
    /// See [`SLOWER`].
    pub slower: f64,
    /// CPU time that the target used meanwhile, ns.
    pub cpu_ns: f64,
}

/// A target that is sampled by one tool after the other, and left alone in between.
pub struct Sampled {
    /// Its file.
    pub binary: PathBuf,
    target: Running,
    calls: usize,
    alone: Span,
}

impl Sampled {
    /// Starts one. A measurement takes `calls` calls.
    pub fn start(bench: &Bench, shape: &Shape, calls: usize) -> Result<Self> {
        let binary = compile(bench, shape)?;
        let mut target = Running::start(&mut Command::new(&binary))?;
        target.time(1)?;
        let alone = span(&mut target, calls)?;
        Ok(Self {
            binary,
            target,
            calls,
            alone,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.target.pid()
    }

    /// Has it work. Returns the CPU time that it used, ns.
    pub fn work(&mut self, calls: u64) -> Result<f64> {
        self.target.time(calls)
    }

    /// Has it work until a tool that has just begun has come to rest. Returns the CPU time that it used, ns.
    pub fn rest(&mut self) -> Result<f64> {
        let started = Instant::now();
        let mut cpu_ns = 0.0;
        while started.elapsed() < REST {
            cpu_ns += self.work(1)?;
        }
        Ok(cpu_ns)
    }

    /// Measures it under a tool, and alone just before and after.
    pub fn under(&mut self, tool: Tool) -> Result<Taken> {
        let cpu_ns = self.rest()?;
        let watched = span(&mut self.target, self.calls)?;
        tool.interrupt(LIMIT)?;
        let before = self.alone;
        self.alone = span(&mut self.target, self.calls)?;
        let alone = |of: fn(&Span) -> f64| f64::midpoint(of(&before), of(&self.alone));
        Ok(Taken {
            lost: (watched.lost - alone(|span| span.lost)) * 100.0,
            slower: (watched.call_ns / alone(|span| span.call_ns) - 1.0) * 100.0,
            cpu_ns: cpu_ns + watched.cpu_ns,
        })
    }

    /// Ends it.
    pub fn finish(self) {
        self.target.finish();
    }
}

fn span(target: &mut Running, calls: usize) -> Result<Span> {
    let (mut times, mut lost) = (Vec::new(), Vec::new());
    for _ in 0..calls {
        let answer = target.ask("1")?;
        let mut words = answer.split_whitespace();
        let cpu_ns: f64 = words.next().context("the target said nothing")?.parse()?;
        ensure!(cpu_ns > 0.0, "the target's clock stands still");
        let gaps = words
            .map(|word| Gap::parse(word).with_context(|| format!("the target said {word:?}")))
            .collect::<Result<Vec<_>>>()?;
        times.push(cpu_ns);
        lost.push(gaps::lost(&gaps, cpu_ns).context("the target is interrupted all the time")?);
    }
    Ok(Span {
        call_ns: median(&times)?,
        lost: median(&lost)?,
        cpu_ns: times.iter().sum(),
    })
}

fn median(values: &[f64]) -> Result<f64> {
    Summary::of(values)
        .map(|summary| summary.median)
        .context("nothing was measured")
}

/// Starts perf recording process `pid` by `options`, and waits until it has begun: it says nothing, but its
/// file grows.
pub fn perf(options: &[&str], pid: u32, file: &Path) -> Result<Tool> {
    let mut command = Command::new("perf");
    command
        .args(["record", "-q", "-e", "cpu-clock"])
        .args(options)
        .args(["-p", &pid.to_string(), "-o"])
        .arg(file);
    let mut tool = Tool::start(&mut command)?;
    let started = Instant::now();
    while fs::metadata(file).map_or(0, |file| file.len()) == 0 {
        tool.check()?;
        ensure!(started.elapsed() < LIMIT, "perf does not begin");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(tool)
}

/// Starts monigo sampling `chunk`, and waits until it is attached.
pub fn monigo(bench: &Bench, target: &Sampled, options: &[&str], file: &Path) -> Result<Tool> {
    let mut command = bench.monigo.attach(&target.binary, target.pid());
    command
        .args(["--fn", "chunk", "--no-off-cpu"])
        .args(options)
        .arg("--db")
        .arg(file);
    let mut tool = Tool::start(&mut command)?;
    tool.await_attached(LIMIT)?;
    Ok(tool)
}
