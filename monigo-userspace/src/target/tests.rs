use std::{
    fs, mem,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::*;
use crate::symbols::{Image, ImageId, tests::samples};

/// A process that waits for input and dies with the test.
struct Running(Child);

impl Running {
    fn start(path: &Path) -> Self {
        let child = Command::new(path)
            .arg("wait")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // `spawn` returns after `exec`, so `/proc` shows the new program.
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A copy of the sample under a name that nothing else has.
fn copy(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    fs::copy(samples::c(&["-O2"]), &path).unwrap();
    path.canonicalize().unwrap()
}

fn message(text: &str, pid: Option<u32>) -> String {
    resolve(text, pid).unwrap_err().to_string()
}

#[test]
fn by_path_with_and_without_processes() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy(directory.path(), "mg-by-path");
    let text = path.to_str().unwrap();
    let idle = resolve(text, None).unwrap();
    assert_eq!(idle.scope, Scope::Everyone);
    assert_eq!(idle.pids, Vec::<u32>::new());
    assert_eq!((&idle.open_path, &idle.show_path), (&path, &path));
    let running = Running::start(&path);
    assert_eq!(resolve(text, None).unwrap().pids, [running.pid()]);
    // Links are followed, so that the path shown is the one in the maps.
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(
        resolve(link.to_str().unwrap(), None).unwrap().show_path,
        path
    );
    assert!(message("/nonexistent/x", None).starts_with("/nonexistent/x: no such file"));
}

#[test]
fn by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy(directory.path(), "mg-by-name-longer-than-comm");
    let (one, two) = (Running::start(&path), Running::start(&path));
    let target = resolve("mg-by-name-longer-than-comm", None).unwrap();
    let mut pids = vec![one.pid(), two.pid()];
    pids.sort_unstable();
    assert_eq!(target.pids, pids);
    assert_eq!(target.scope, Scope::Everyone);
    assert_eq!(target.show_path, path);
    let text = message("mg-by-name-longer-than-con", None);
    assert!(
        text.contains("running: mg-by-name-longer-than-comm"),
        "{text}"
    );
}

#[test]
fn one_name_two_programs() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = [copy(a.path(), "mg-twin"), copy(b.path(), "mg-twin")];
    let running: Vec<Running> = paths.iter().map(|path| Running::start(path)).collect();
    let text = message("mg-twin", None);
    assert!(text.starts_with("mg-twin: processes of that name run different programs:"));
    for (one, path) in running.iter().zip(&paths) {
        let line = format!("\n  PID {}  {}", one.pid(), path.display());
        assert!(text.contains(&line), "{text}");
    }
    assert!(text.ends_with("give one of the PIDs or paths"));
}

#[test]
fn scripts_are_their_processes_only() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("mg-script");
    fs::write(&script, "#!/bin/sh\nread line\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let running = Running::start(&script);
    let other = Command::new("/bin/sh")
        .args(["-c", "read line"])
        .stdin(Stdio::piped())
        .spawn();
    let _other = Running(other.unwrap());
    let target = resolve("mg-script", None).unwrap();
    assert_eq!(target.scope, Scope::Tree(vec![running.pid()]));
    assert_eq!(
        target.show_path,
        Path::new("/bin/sh").canonicalize().unwrap()
    );
}

#[test]
fn by_pid() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy(directory.path(), "mg-by-pid");
    let running = Running::start(&path);
    let pid = running.pid();
    let target = resolve(&pid.to_string(), None).unwrap();
    assert_eq!(target.scope, Scope::Process(pid));
    assert_eq!((&target.open_path, &target.pids), (&path, &vec![pid]));
    assert!(!target.is_replaced());
    for text in ["mg-by-pid", path.to_str().unwrap()] {
        assert_eq!(resolve(text, Some(pid)).unwrap(), target);
    }
    let text = message("1", Some(pid));
    assert!(text.contains("different processes"), "{text}");
}

#[test]
fn deleted_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy(directory.path(), "mg-deleted");
    let running = Running::start(&path);
    let id = ImageId::of(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for replaced in [false, true] {
        if replaced {
            fs::copy("/bin/true", &path).unwrap();
        }
        let target = resolve(&running.pid().to_string(), None).unwrap();
        assert_eq!(target.show_path, path);
        assert!(target.is_replaced());
        let image = Image::open_as(&target.open_path, &target.show_path).unwrap();
        assert_eq!(image.id(), id);
    }
}

#[test]
fn libraries_inside_a_process() {
    let path = samples::c(&["-O2"]);
    let running = Running::start(&path);
    let pid = Some(running.pid());
    // The loader may still be at work: wait until the library is there.
    let target = loop {
        match resolve("libc.so.6", pid) {
            Ok(target) => break target,
            Err(TargetError::NotMapped { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(target.scope, Scope::Process(running.pid()));
    assert_eq!(target.show_path.file_name().unwrap(), "libc.so.6");
    let by_path = resolve(target.show_path.to_str().unwrap(), pid).unwrap();
    assert_eq!(by_path, target);
    let everyone = resolve(target.show_path.to_str().unwrap(), None).unwrap();
    assert!(everyone.pids.contains(&running.pid()));
    let text = message("libcc.so.6", pid);
    assert!(text.contains("has not loaded it; it has:\n  /"), "{text}");
    assert!(text.contains("libc.so.6"), "{text}");
    assert!(message("/nonexistent.so", pid).contains("no such file"));
}

#[test]
fn gone() {
    let mut child = Command::new("/bin/true").spawn().unwrap();
    let pid = child.id();
    // Waits for the end without collecting it: that is what a zombie is.
    // SAFETY: an all-zero `siginfo_t` is valid, and the call writes only to it.
    let ended = unsafe {
        let mut info: libc::siginfo_t = mem::zeroed();
        libc::waitid(
            libc::P_PID,
            pid,
            &raw mut info,
            libc::WEXITED | libc::WNOWAIT,
        )
    };
    assert_eq!(ended, 0);
    let text = message(&pid.to_string(), None);
    assert!(
        text.starts_with(&format!("PID {pid} (true) is a zombie")),
        "{text}"
    );
    child.wait().unwrap();
    let text = message(&pid.to_string(), None);
    assert!(
        text.starts_with(&format!("PID {pid}: no such process")),
        "{text}"
    );
    assert!(message("4294967295", None).contains("no such process"));
}

#[test]
fn threads_and_kernel_threads() {
    let own = std::process::id();
    let tid = nix::unistd::gettid().as_raw() as u32;
    if tid != own {
        let text = message(&tid.to_string(), None);
        assert!(
            text.contains(&format!("is a thread of process {own}")),
            "{text}"
        );
    }
    if process::name(2).as_deref() == Some("kthreadd") {
        assert!(message("2", None).contains("is a kernel thread"));
        assert!(message("kthreadd", None).contains("is a kernel thread"));
    }
}

#[test]
fn commands_and_nonsense() {
    let shell = resolve("true", None).unwrap();
    assert_eq!(shell.show_path.file_name().unwrap(), "true");
    assert!(matches!(resolve("", None), Err(TargetError::Empty)));
    let text = message("no-such-thing-anywhere", None);
    assert!(
        text.starts_with("no-such-thing-anywhere: no process of that name"),
        "{text}"
    );
}
