//! Targets in containers: namespaces and a root of their own, a program that only the container has, and a control
//! group with the container's name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use monigo_tests::{
    Monigo, Program, Report, Truth,
    compare::compare,
    monigo::run,
    require_root,
    targets::{self, Native},
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// What makes the container: `$1` its folder, `$2` its control group, `$3` the program, and the program's arguments.
/// The program lies in a file system that nobody else mounts.
const START: &str = r#"
root=$1 group=$2 program=$3
shift 3
echo 0 > "$group/cgroup.procs"
mount -t tmpfs tmpfs "$root"
mkdir -p "$root/opt/app" "$root/proc" "$root/host"
cp "$program" "$root/opt/app/server"
for part in usr lib lib64; do
    if [ -e "/$part" ]; then
        mkdir -p "$root/$part"
        mount --bind "/$part" "$root/$part"
    fi
done
mount -t proc proc "$root/proc"
cd "$root"
pivot_root . host
umount -l /host
exec /opt/app/server "$@"
"#;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not UTF-8")
}

/// A control group that is removed at the end.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let parts = mounts.lines().map(|line| line.split(' ').collect());
        let all: Vec<Vec<&str>> = parts.filter(|parts: &Vec<_>| parts.len() > 3).collect();
        let named = |parts: &&Vec<&str>| parts[3].split(',').any(|part| part == "name=systemd");
        let found = all
            .iter()
            .find(|parts| parts[2] == "cgroup2")
            .or_else(|| all.iter().find(named))
            .context("no control groups are mounted")?;
        let path = Path::new(found[1]).join(name);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Processes leave it some moments after their end.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Folders of containers, their groups, a database and the agent's configuration.
struct Place {
    folder: TempDir,
    program: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        require_root()?;
        let place = Self {
            folder: tempfile::tempdir()?,
            program: targets::c_scenarios(Native::O2)?,
        };
        fs::create_dir(place.path("root"))?;
        Ok(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a container and waits until its program is ready.
    fn start(&self, group: &Group, arguments: &[&str]) -> Result<Program> {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec"])
            .args([START, "container"])
            .args([&self.path("root"), &group.0, &self.program])
            .args(arguments);
        let program = Program::spawn(command)?;
        let seen = fs::read_dir(self.path("root"))?.count();
        ensure!(seen == 0, "the host sees the container's files");
        Ok(program)
    }

    fn agent(&self, container: &str) -> Result<Monigo> {
        let file = self.path("m.toml");
        let settings = format!(
            "[storage]\npath = \"{}\"\nsync_frequency = \"100ms\"\n[trace]\nmax_overhead = \"off\"\n[agent]\nwatch = \"200ms\"\n\
             [[agent.targets]]\ncontainer = \"{container}\"\nexecutable = \"server\"\nfunctions = [\"caller\", \"leaf\"]\n",
            text(&self.path("m.duckdb"))?
        );
        fs::write(&file, settings)?;
        Monigo::spawn_with(["agent", "--config", text(&file)?], &[])
    }

    fn report(&self, session: u32) -> Result<Report> {
        let (db, session) = (self.path("m.duckdb"), session.to_string());
        let arguments = ["report", "--db", text(&db)?, "--session", &session];
        let outcome = run(arguments.into_iter().chain(["--format", "json"]))?;
        ensure!(outcome.status == Some(0), "{outcome:?}");
        Ok(serde_json::from_str(&outcome.stdout)?)
    }

    /// Each of these and no other session was recorded, exactly.
    fn check(&self, truths: &[Truth]) -> Result<()> {
        for (truth, session) in truths.iter().zip(1..) {
            let report = self.report(session)?;
            compare(truth, &report).with_context(|| format!("session {session}"))?;
            let shown = &report.target.path;
            ensure!(shown == "/opt/app/server", "{shown}");
        }
        let more = self.report(truths.len() as u32 + 1);
        ensure!(more.is_err(), "another session: {more:?}");
        Ok(())
    }
}

/// Runs the container twice, as when it is replaced under the same name; its neighbour's calls do not count.
fn run_twice(place: &Place, mine: &str, neighbour: &str, wanted: &str) -> Result<()> {
    let (group, other) = (Group::new(mine)?, Group::new(neighbour)?);
    let mut beside = place.start(&other, &["calls", "1", "1000"])?;
    let mut monigo = place.agent(wanted)?;
    monigo.await_message("no process is in the container")?;
    let mut truths = Vec::new();
    for calls in ["300", "70"] {
        let mut program = place.start(&group, &["calls", "2", calls])?;
        monigo.await_line("event=\"attach\"")?;
        truths.push(program.go()?);
        if truths.len() == 1 {
            beside.go()?;
        }
        program.finish()?;
    }
    beside.finish()?;
    monigo.signal(Signal::SIGTERM)?;
    let outcome = monigo.wait()?;
    ensure!(outcome.status == Some(0), "{outcome:?}");
    place.check(&truths)
}

#[test]
fn containers_are_found_by_id_and_found_again() -> Result<()> {
    let place = Place::new()?;
    let id = |digit: &str| format!("{:064x}", std::process::id()).replace('0', digit);
    let scope = |id: &str| format!("docker-{id}.scope");
    let (mine, neighbour) = (id("a"), id("b"));
    run_twice(&place, &scope(&mine), &scope(&neighbour), &mine[..12])
}

#[test]
fn containers_are_found_by_name_and_found_again() -> Result<()> {
    let place = Place::new()?;
    let name = format!("monigo-e2e-{}", std::process::id());
    let neighbour = format!("lxc.payload.{name}-b");
    run_twice(&place, &format!("lxc.payload.{name}"), &neighbour, &name)
}

/// By its id on the host, which is another than in the container.
#[test]
fn a_process_of_a_container_is_attached_to() -> Result<()> {
    let place = Place::new()?;
    let group = Group::new(&format!("docker-{:064x}.scope", std::process::id()))?;
    let mut program = place.start(&group, &["calls", "2", "400"])?;
    let inside = fs::read_to_string(group.0.join("cgroup.procs"))?;
    let inside: Vec<&str> = inside.lines().collect();
    let [pid] = inside[..] else {
        anyhow::bail!("{inside:?}")
    };
    ensure!(pid != program.pid().to_string(), "it has no namespace");
    let monigo = Monigo::attach(pid, &["caller", "leaf"], &[])?;
    let truth = program.go()?;
    program.finish()?;
    let report = monigo.stop()?;
    compare(&truth, &report)?;
    let told = "/opt/app/server is not the one that runs";
    let warnings = report.warnings.iter();
    let (of_the_file, others): (Vec<_>, Vec<_>) = warnings
        .cloned()
        .partition(|warning| warning.contains(told));
    ensure!(of_the_file.len() == 1, "{of_the_file:?} {others:?}");
    let report = Report {
        warnings: others,
        ..report
    };
    report.expect_all_counted()
}
