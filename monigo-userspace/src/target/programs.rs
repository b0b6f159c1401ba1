//! Programs that belong together: processes of one name, of a control group, of a container.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{
    Scope, Target,
    process::{self, Process},
    resolve::{goes_by, path_to},
};
use crate::symbols::ImageId;

/// Which processes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Those of this name.
    Name(String),
    /// Those in this control group, as `/proc/PID/cgroup` names it, and in those below it.
    Cgroup(String),
    /// Those in a control group that has this in one of its names, as that of a container has its id.
    Container(String),
}

/// The processes that are meant now, one target for each program that they run. `executable`, if there is
/// one, is the file name of the only program that counts.
///
/// Programs of a name are traced in every process, those of groups and containers only in the processes that are
/// listed and what they fork.
pub fn programs(choice: &Choice, executable: Option<&str>) -> Vec<(ImageId, Target)> {
    let mut programs: BTreeMap<ImageId, Vec<Process>> = BTreeMap::new();
    for process in process::all() {
        let named = executable.is_none_or(|name| process.basename() == name);
        if named && is_meant(&process, choice) {
            programs.entry(process.id).or_default().push(process);
        }
    }
    programs
        .into_iter()
        .filter_map(|(id, processes)| {
            let first = processes.first()?;
            let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
            // A script has its interpreter's executable, which others run, too.
            let everyone =
                matches!(choice, Choice::Name(name) if first.basename() == name.as_str());
            let target = Target {
                open_path: path_to(first),
                show_path: first.executable.clone(),
                scope: if everyone {
                    Scope::Everyone
                } else {
                    Scope::Tree(pids.clone())
                },
                pids,
            };
            Some((id, target))
        })
        .collect()
}

fn is_meant(process: &Process, choice: &Choice) -> bool {
    match choice {
        Choice::Name(name) => goes_by(process, name),
        Choice::Cgroup(group) => groups_of(process.pid).any(|own| is_within(&own, group)),
        Choice::Container(id) => groups_of(process.pid).any(|own| names_container(&own, id)),
    }
}

/// The control groups of a process: one path with cgroup v2, several with v1.
fn groups_of(pid: u32) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let paths: Vec<String> = text
        .lines()
        .filter_map(|line| Some(line.splitn(3, ':').nth(2)?.to_owned()))
        .collect();
    paths.into_iter()
}

fn is_within(own: &str, group: &str) -> bool {
    let group = group.trim_end_matches('/');
    own.strip_prefix(group)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a part of the path is that of the container: `docker-ID.scope`, `cri-containerd-ID.scope`,
/// `libpod-ID.scope`, `ID`, `machine-NAME.scope`, `lxc.payload.NAME`.
fn names_container(own: &str, wanted: &str) -> bool {
    own.split('/').any(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let part = part.strip_suffix(".service").unwrap_or(part);
        if part == wanted {
            return true;
        }
        let known = [
            "docker-",
            "cri-containerd-",
            "crio-",
            "libpod-",
            "machine-",
            "lxc.payload.",
        ];
        let bare = known.iter().find_map(|prefix| part.strip_prefix(prefix));
        let bare = bare.unwrap_or(part);
        bare == wanted || is_short_id(wanted) && bare.len() == 64 && bare.starts_with(wanted)
    })
}

/// At least as long as the ids that container tools print.
fn is_short_id(text: &str) -> bool {
    text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where Docker keeps one folder a container.
const DOCKER: &str = "/var/lib/docker/containers";
/// Where Podman keeps the list of root's containers.
const PODMAN: &str = "/var/lib/containers/storage/overlay-containers/containers.json";

/// The id of the container called `name`, as Docker or Podman (root's) note it on this host; an id, or a name that
/// neither knows, is what it is: containers of systemd-nspawn and LXC carry their name in their control group.
pub fn container_id(name: &str) -> String {
    if is_short_id(name) {
        return name.to_owned();
    }
    docker_id(Path::new(DOCKER), name)
        .or_else(|| podman_id(Path::new(PODMAN), name))
        .unwrap_or_else(|| name.to_owned())
}

fn docker_id(folder: &Path, name: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Container {
        #[serde(rename = "ID")]
        id: String,
        #[serde(rename = "Name")]
        name: String,
    }
    fs::read_dir(folder).ok()?.find_map(|entry| {
        let text = fs::read(entry.ok()?.path().join("config.v2.json")).ok()?;
        let container: Container = serde_json::from_slice(&text).ok()?;
        (container.name.trim_start_matches('/') == name).then_some(container.id)
    })
}

fn podman_id(file: &Path, name: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Container {
        id: String,
        #[serde(default)]
        names: Vec<String>,
    }
    let containers: Vec<Container> = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let found = containers
        .into_iter()
        .find(|container| container.names.iter().any(|known| known == name));
    found.map(|container| container.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn groups_contain_those_below() {
        assert!(is_within("/a/b", "/a"));
        assert!(is_within("/a", "/a/"));
        assert!(!is_within("/ab", "/a"));
        assert!(!is_within("/", "/a"));
        assert!(is_within("/x", "/"));
    }

    #[test]
    fn containers_are_known_by_id_and_name() {
        for path in [
            format!("/system.slice/docker-{ID}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
            format!("/docker/{ID}"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
        ] {
            assert!(names_container(&path, ID), "{path}");
            assert!(names_container(&path, &ID[..12]), "{path}");
            assert!(!names_container(&path, &ID[..11]), "{path}");
            assert!(!names_container(&path, "fedcba987654"), "{path}");
        }
        assert!(names_container("/machine.slice/machine-web.scope", "web"));
        assert!(names_container("/lxc.payload.web/init.scope", "web"));
        assert!(!names_container("/system.slice/webserver.service", "web"));
    }

    #[test]
    fn names_are_looked_up_where_container_tools_note_them() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(ID);
        fs::create_dir(&own).unwrap();
        let text = format!(r#"{{"ID":"{ID}","Name":"/shop","State":{{}}}}"#);
        fs::write(own.join("config.v2.json"), text).unwrap();
        fs::create_dir(folder.path().join("broken")).unwrap();
        assert_eq!(docker_id(folder.path(), "shop").as_deref(), Some(ID));
        assert_eq!(docker_id(folder.path(), "sho"), None);
        let list = folder.path().join("containers.json");
        fs::write(
            &list,
            format!(r#"[{{"id":"1"}},{{"id":"{ID}","names":["web"]}}]"#),
        )
        .unwrap();
        assert_eq!(podman_id(&list, "web").as_deref(), Some(ID));
        assert_eq!(podman_id(&list, "shop"), None);
        assert_eq!(container_id(&ID[..12]), &ID[..12]);
    }

    #[test]
    fn own_control_group() {
        // Processes of this one; monigo leaves itself out, so one that it starts.
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let group = groups_of(child.id()).last().unwrap();
        let found = programs(&Choice::Cgroup(group), Some("sleep"));
        let pids: Vec<u32> = found
            .iter()
            .flat_map(|(_, target)| target.pids.clone())
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(pids.contains(&child.id()), "{found:?}");
    }
}
