//! A systemd that was booted for a test, in namespaces of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::{lines::PATIENCE, monigo_path, package, program::die_with_test};

/// What becomes systemd: `$1` a folder, `$2` a control group, `$3` monigo. What is written stays in the folder; the units
/// of the host are not there.
const BOOT: &str = r#"
set -e
scratch=$1 group=$2 monigo=$3
echo 0 > "$group/cgroup.procs"
exec unshare --mount --pid --fork --kill-child --cgroup --ipc --uts -- sh -ec '
    scratch=$1 monigo=$2
    mount --make-rprivate /
    for part in etc usr/bin; do
        mkdir -p "$scratch/up/$part" "$scratch/work/$part"
        mount -t overlay overlay -o "lowerdir=/$part,upperdir=$scratch/up/$part,workdir=$scratch/work/$part" "/$part"
    done
    for part in run var/lib var/cache; do mount -t tmpfs -o mode=755 tmpfs "/$part"; done
    mount -t proc proc /proc
    umount -l /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    cp "$monigo" /usr/bin/monigo
    cp -r "$scratch/units" /run/units
    export container=monigo-test SYSTEMD_UNIT_PATH=/run/units SYSTEMD_LOG_TARGET=null
    exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=no
' sh "$scratch" "$monigo"
"#;

/// Targets that units of the test may name.
const TARGETS: [&str; 6] = [
    "sysinit",
    "basic",
    "shutdown",
    "multi-user",
    "network",
    "umount",
];

/// A running systemd with the unit of monigo. It ends with the test.
#[derive(Debug)]
pub struct Booted {
    child: Child,
    /// systemd itself.
    pid: u32,
    group: PathBuf,
    scratch: TempDir,
}

impl Booted {
    /// Boots it; `unit` is added to what the unit says.
    pub fn new(unit: &str) -> Result<Self> {
        ensure!(
            Path::new("/lib/systemd/systemd").exists(),
            "systemd is not installed; `cargo xtask setup` installs it"
        );
        // An overlay cannot lie on an overlay, which /tmp may be; memory is fine.
        let scratch = tempfile::tempdir_in("/dev/shm")?;
        let units = scratch.path().join("units");
        let more = units.join("monigo.service.d");
        fs::create_dir_all(&more)?;
        for target in TARGETS {
            let text = format!("[Unit]\nDescription={target}\nDefaultDependencies=no\n");
            fs::write(units.join(format!("{target}.target")), text)?;
        }
        let ours = package().join("../packaging/monigo.service");
        fs::copy(ours, units.join("monigo.service"))?;
        // There is no journal.
        let log = "StandardOutput=append:/run/monigo.log\nStandardError=append:/run/monigo.log\n";
        fs::write(more.join("test.conf"), format!("[Service]\n{log}{unit}"))?;
        let group = group()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", BOOT, "sh"])
            .args([scratch.path(), &group, &monigo_path()?]);
        die_with_test(&mut command);
        let child = command.spawn().context("starting systemd")?;
        let mut booted = Self {
            pid: child.id(),
            child,
            group,
            scratch,
        };
        booted.pid = booted.until("systemd is running", |booted| {
            let children = format!("/proc/{0}/task/{0}/children", booted.child.id());
            let children = fs::read_to_string(children)?;
            let Some(pid) = children.split_whitespace().next() else {
                return Ok(None);
            };
            let pid: u32 = pid.parse()?;
            let is_up = Path::new(&format!("/proc/{pid}/root/run/systemd/private")).exists();
            Ok(is_up.then_some(pid))
        })?;
        Ok(booted)
    }

    /// A file as programs inside see it.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid))
    }

    /// What the service has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("/run/monigo.log")).unwrap_or_default()
    }

    /// Runs a program inside: its output, of both kinds, if it succeeds.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let output = Command::new("nsenter")
            .args(["--target", &self.pid.to_string()])
            .args(["--mount", "--pid", "--cgroup", "--ipc", "--uts", "--"])
            .args(words)
            .env("SYSTEMD_UNIT_PATH", "/run/units")
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        ensure!(
            output.status.success(),
            "{words:?}: {}\n{text}\n{}",
            output.status,
            self.log()
        );
        Ok(text)
    }

    /// A property of the service.
    pub fn property(&self, name: &str) -> Result<String> {
        self.run(&["systemctl", "show", "--value", "--property", name, "monigo"])
    }

    /// The main process of the service, as the host numbers it.
    pub fn main_pid(&self) -> Result<u32> {
        let processes = self.group.join("system.slice/monigo.service/cgroup.procs");
        let text = fs::read_to_string(processes)?;
        let first = text.lines().next().context("no process")?;
        Ok(first.parse()?)
    }

    /// Asks again until there is something.
    pub fn until<T>(&self, what: &str, ask: impl Fn(&Self) -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = ask(self)? {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                bail!("not within {PATIENCE:?}: {what}\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the service has said something with `part` for the `times`th time; the line.
    pub fn await_line(&self, part: &str, times: usize) -> Result<String> {
        self.until(part, |booted| {
            let log = booted.log();
            let mut lines = log.lines().filter(|line| line.contains(part));
            Ok(lines.nth(times - 1).map(str::to_owned))
        })
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // The kernel ends everything inside with the first process.
        if let Ok(pid) = i32::try_from(self.pid) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for _ in 0..100 {
            if remove_groups(&self.group).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // What lies there belongs to a user that does not exist any more.
        let _ = fs::remove_dir_all(self.scratch.path());
    }
}

/// A new control group of the second version.
fn group() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let parts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let found = parts
        .into_iter()
        .find(|parts| parts.get(2) == Some(&"cgroup2"))
        .context("no control groups of version 2 are mounted")?;
    let path = Path::new(found[1]).join(format!("monigo-systemd-{}", std::process::id()));
    fs::create_dir(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Removes a group with all groups in it.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
