//! A machine with another kernel, emulated by QEMU: an initial file system with monigo and targets,
//! and what it prints on its console.
//!
//! The machine has one processor. With several, QEMU 7.2 now and then executes old code in the page
//! where the kernel single-steps probed instructions: plain uprobes without any program crash their
//! target there.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    Report, Truth,
    compare::{compare, run_alone},
    monigo_path,
    program::die_with_test,
};

/// From switching on to switching off; it takes a minute.
const LIMIT: Duration = Duration::from_mins(4);
const FINISHED: &str = "@finished";

/// Something to trace in the machine.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The target.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// Further options of monigo.
    pub options: &'a [&'a str],
}

/// Boots `kernel`, runs each case there, and compares monigo's counts with
/// the target's own. Returns the kernel's release.
pub fn check(kernel: &Path, cases: &[Case<'_>]) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let archive = directory.path().join("initrd");
    write_archive(&archive, cases)?;
    let console = boot(kernel, &archive)?;
    let mut parts = console.split("@case ");
    let start = parts.next().unwrap_or_default();
    let release = start
        .lines()
        .find_map(|line| line.strip_prefix("@release "));
    let release = release.with_context(|| format!("the kernel did not start:\n{start}"))?;
    let mut checked = 0;
    for (case, part) in cases.iter().zip(parts) {
        check_case(part).with_context(|| format!("{case:?} on {release}:\n{part}"))?;
        checked += 1;
    }
    ensure!(
        checked == cases.len() && console.contains(FINISHED),
        "the machine stopped after {checked} of {} cases:\n{console}",
        cases.len()
    );
    Ok(release.to_owned())
}

fn check_case(console: &str) -> Result<()> {
    let between = |start: &str, end: &str| {
        let (_, rest) = console.split_once(start)?;
        Some(rest.split_once(end)?.0)
    };
    let truth = between("@truth", "@report").context("the target printed no truth")?;
    let report = between("@report", "@end").context("monigo printed no report")?;
    let truth: Truth = serde_json::from_str(truth.trim()).context("the truth")?;
    let report: Report = serde_json::from_str(report.trim()).context("the report")?;
    compare(&truth, &report)
}

/// What the machine does: for each case, start the target, attach monigo, compare notes.
fn script(cases: &[Case<'_>]) -> Result<String> {
    let mut script = String::from(
        r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp LD_LIBRARY_PATH=/lib
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
echo "@release $(uname -r)"
trace() {
    echo "@case $target $*, $(cut -d' ' -f1 /proc/uptime) s after the start"
    mkfifo /tmp/input
    $target $arguments < /tmp/input > /tmp/output &
    traced=$!
    exec 3> /tmp/input
    until grep -q ready /tmp/output; do sleep 0.1; done
    monigo attach $target --headless --max-overhead off --format json "$@" > /tmp/report 2> /tmp/log &
    monigo=$!
    until grep -q '^monigo: attached ' /tmp/log || ! kill -0 $monigo; do sleep 0.1; done
    echo go >&3
    until grep -q '^{' /tmp/output || ! kill -0 $monigo || ! kill -0 $traced; do sleep 0.1; done
    kill -INT $monigo
    wait $monigo
    echo exit >&3
    exec 3>&-
    cat /tmp/log
    echo @truth
    grep '^{' /tmp/output
    echo @report
    cat /tmp/report
    echo @end
    rm /tmp/input
}
"#,
    );
    for case in cases {
        let truth = run_alone(case.program, case.arguments)?;
        write!(
            script,
            "target=/{} arguments='{}'; trace {}",
            file_name(case.program)?,
            case.arguments.join(" "),
            case.options.join(" ")
        )?;
        for function in truth.functions.keys() {
            write!(script, " --fn '{function}'")?;
        }
        script.push('\n');
    }
    writeln!(script, "echo {FINISHED}\npoweroff -f")?;
    Ok(script)
}

fn file_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("file name of {}", path.display()))
}

fn write_archive(path: &Path, cases: &[Case<'_>]) -> Result<()> {
    let mut archive = Archive::new(io::BufWriter::new(fs::File::create(path)?));
    for directory in ["bin", "lib", "lib64", "proc", "sys", "dev", "tmp"] {
        archive.directory(directory)?;
    }
    archive.file("init", script(cases)?.as_bytes())?;
    archive.file("bin/busybox", &fs::read(busybox()?)?)?;
    let monigo = monigo_path()?;
    archive.file("bin/monigo", &stripped(&monigo)?)?;
    let mut libraries = libraries(&monigo)?;
    let programs: BTreeSet<&Path> = cases.iter().map(|case| case.program).collect();
    for program in programs {
        archive.file(file_name(program)?, &fs::read(program)?)?;
        libraries.extend(self::libraries(program)?);
    }
    for library in libraries {
        let name = file_name(&library)?;
        let place = if name.starts_with("ld-") {
            "lib64"
        } else {
            "lib"
        };
        archive.file(&format!("{place}/{name}"), &fs::read(&library)?)?;
    }
    archive.finish()
}

/// One that needs no libraries.
fn busybox() -> Result<PathBuf> {
    let path = PathBuf::from("/bin/busybox");
    ensure!(
        path.exists(),
        "no {}: install busybox-static",
        path.display()
    );
    Ok(path)
}

/// The program without its debug information, which would have to be unpacked.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let small = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip")
        .arg("-o")
        .arg(small.path())
        .arg(program)
        .status()?;
    ensure!(status.success(), "strip {}", program.display());
    Ok(fs::read(small.path())?)
}

/// Files of the libraries of `program` and of its loader; none for static programs.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

fn boot(kernel: &Path, archive: &Path) -> Result<String> {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "1"])
        .args(["-m", "1536", "-nic", "none", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio", "-monitor", "none"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(archive)
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    die_with_test(&mut command);
    let mut machine = command.spawn().context("starting qemu-system-x86_64")?;
    let mut console = machine.stdout.take().context("the console")?;
    let (sender, text) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = console.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).replace('\r', ""));
    });
    let in_time = text.recv_timeout(LIMIT);
    let _ = machine.kill();
    machine.wait()?;
    if let Ok(text) = in_time {
        return Ok(text);
    }
    let text = text.recv().unwrap_or_default();
    bail!("the machine did not finish within {LIMIT:?}:\n{text}")
}

/// The format of initial file systems: `cpio`'s "newc".
/// Source: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.
struct Archive<W> {
    out: W,
    files: u32,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self { out, files: 0 }
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, 0o40_755, &[])
    }

    /// A file that anybody may execute.
    fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.entry(name, 0o100_755, content)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.files += 1;
        let size = u32::try_from(content.len())?;
        let name_size = u32::try_from(name.len())? + 1;
        // inode, mode, user, group, links, time, size, device (twice two), name, checksum.
        let fields = [self.files, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            write!(header, "{field:08x}")?;
        }
        self.padded(&[header.as_bytes(), name.as_bytes(), &[0]].concat())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all(&[0; 3][..padding])?;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(())
    }
}
