//! Limits that cgroups set, version 1 and 2, also side by side.

use std::{
    fs,
    path::{Path, PathBuf},
};

use procfs::{
    ProcessCGroup,
    process::{MountInfo, Process},
};

use super::Limits;

/// Version 1 says "no limit" by a number near 2^63, rounded to pages.
const NO_LIMIT_BYTES: u64 = 1 << 62;

/// Where the hierarchies are mounted.
#[derive(Clone, Debug, Default)]
pub struct Hierarchies {
    mounts: Vec<Mount>,
}

#[derive(Clone, Debug)]
struct Mount {
    /// Of version 1; empty for version 2.
    controllers: Vec<String>,
    /// Path in the hierarchy that is mounted.
    root: String,
    /// Where.
    at: PathBuf,
}

impl Hierarchies {
    /// Those that monigo sees.
    pub fn read() -> Self {
        let mounts = Process::myself().and_then(|own| own.mountinfo());
        Self::of(mounts.map(|mounts| mounts.0).unwrap_or_default())
    }

    fn of(mounts: Vec<MountInfo>) -> Self {
        let mounts = mounts.into_iter().filter_map(|mount| {
            let controllers = match mount.fs_type.as_str() {
                "cgroup" => mount.super_options.into_keys().collect(),
                "cgroup2" => Vec::new(),
                _ => return None,
            };
            Some(Mount {
                controllers,
                root: mount.root,
                at: mount.mount_point,
            })
        });
        Self {
            mounts: mounts.collect(),
        }
    }

    /// The least limits of a process's cgroups and of all around them.
    pub fn limits(&self, groups: &[ProcessCGroup]) -> Limits {
        let mut limits = Limits::default();
        for group in groups {
            let version_2 = group.controllers.is_empty();
            for controller in ["cpu", "memory"] {
                if !version_2 && !group.controllers.iter().any(|name| name == controller) {
                    continue;
                }
                let Some((mut folder, top)) = self.folder(group, controller) else {
                    continue;
                };
                loop {
                    if controller == "cpu" {
                        if let Some(cpus) = quota(&folder, version_2)
                            && limits.quota_cpus.is_none_or(|least| cpus < least)
                        {
                            limits.quota_cpus = Some(cpus);
                            limits.quota_group = folder.display().to_string();
                        }
                    } else if let Some(bytes) = memory(&folder, version_2)
                        && limits.memory_bytes.is_none_or(|least| bytes < least)
                    {
                        limits.memory_bytes = Some(bytes);
                        limits.memory_group = folder.display().to_string();
                    }
                    if folder == top || !folder.pop() {
                        break;
                    }
                }
            }
        }
        limits
    }

    /// Where a group is, and the top of its hierarchy.
    fn folder(&self, group: &ProcessCGroup, controller: &str) -> Option<(PathBuf, PathBuf)> {
        let mount = self.mounts.iter().find(|mount| {
            if group.controllers.is_empty() {
                mount.controllers.is_empty()
            } else {
                mount.controllers.iter().any(|name| name == controller)
            }
        })?;
        // A container sees a part of the hierarchy, mounted as if it were the whole.
        let below = group
            .pathname
            .strip_prefix(mount.root.trim_end_matches('/'))
            .filter(|below| below.is_empty() || below.starts_with('/'))?;
        // Paths outside of monigo's cgroup namespace begin with `..`.
        if below.split('/').any(|part| part == "..") {
            return None;
        }
        let below = below.trim_matches('/');
        let folder = if below.is_empty() {
            mount.at.clone()
        } else {
            mount.at.join(below)
        };
        Some((folder, mount.at.clone()))
    }
}

fn quota(folder: &Path, version_2: bool) -> Option<f64> {
    let number = |name: &str| -> Option<f64> {
        fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let (quota, period) = if version_2 {
        let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
        let mut words = text.split_whitespace();
        // `max` is no number.
        let quota: f64 = words.next()?.parse().ok()?;
        (quota, words.next()?.parse().ok()?)
    } else {
        (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn memory(folder: &Path, version_2: bool) -> Option<u64> {
    let name = if version_2 {
        "memory.max"
    } else {
        "memory.limit_in_bytes"
    };
    let bytes = fs::read_to_string(folder.join(name)).ok()?;
    let bytes: u64 = bytes.trim().parse().ok()?;
    (bytes < NO_LIMIT_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(controllers: &[&str], path: &str) -> ProcessCGroup {
        ProcessCGroup {
            hierarchy: 0,
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            pathname: path.to_owned(),
        }
    }

    fn mount(controllers: &[&str], root: &str, at: &Path) -> Mount {
        Mount {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            root: root.to_owned(),
            at: at.to_owned(),
        }
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let top = tempfile::tempdir().unwrap();
        let inner = top.path().join("system.slice/app.service");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("cpu.max"), "max 100000\n").unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        let outer = top.path().join("system.slice");
        fs::write(outer.join("cpu.max"), "150000 100000\n").unwrap();
        fs::write(outer.join("memory.max"), "1073741824\n").unwrap();
        let hierarchies = Hierarchies {
            mounts: vec![mount(&[], "/", top.path())],
        };
        let limits = hierarchies.limits(&[group(&[], "/system.slice/app.service")]);
        assert_eq!(limits.quota_cpus, Some(1.5));
        assert_eq!(limits.memory_bytes, Some(1 << 30));
        assert_eq!(limits.memory_group, outer.display().to_string());
    }

    #[test]
    fn version_1_beside_version_2() {
        let top = tempfile::tempdir().unwrap();
        let (cpu, memory) = (top.path().join("cpu"), top.path().join("memory"));
        fs::create_dir_all(cpu.join("box")).unwrap();
        fs::create_dir_all(memory.join("box")).unwrap();
        fs::write(cpu.join("cpu.cfs_quota_us"), "-1\n").unwrap();
        fs::write(cpu.join("cpu.cfs_period_us"), "100000\n").unwrap();
        fs::write(cpu.join("box/cpu.cfs_quota_us"), "50000\n").unwrap();
        fs::write(cpu.join("box/cpu.cfs_period_us"), "100000\n").unwrap();
        fs::write(
            memory.join("memory.limit_in_bytes"),
            "9223372036854771712\n",
        )
        .unwrap();
        fs::write(memory.join("box/memory.limit_in_bytes"), "1048576\n").unwrap();
        let hierarchies = Hierarchies {
            mounts: vec![
                mount(&["rw", "cpu", "cpuacct"], "/", &cpu),
                mount(&["rw", "memory"], "/", &memory),
                mount(&[], "/", &top.path().join("unified")),
            ],
        };
        let groups = [
            group(&["cpu", "cpuacct"], "/box"),
            group(&["memory"], "/box"),
            group(&[], "/"),
        ];
        let limits = hierarchies.limits(&groups);
        assert_eq!(limits.quota_cpus, Some(0.5));
        assert_eq!(limits.memory_bytes, Some(1 << 20));
        let free = hierarchies.limits(&[group(&["memory"], "/")]);
        assert_eq!(free.memory_bytes, None, "a huge number is no limit");
    }

    #[test]
    fn what_is_mounted_may_be_a_part() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("memory.max"), "4096\n").unwrap();
        let hierarchies = Hierarchies {
            mounts: vec![mount(&[], "/docker/abc", top.path())],
        };
        let limits = hierarchies.limits(&[group(&[], "/docker/abc")]);
        assert_eq!(limits.memory_bytes, Some(4096));
        for elsewhere in ["/../other", "/docker/abcd", "/docker/abc/../abd"] {
            let outside = hierarchies.limits(&[group(&[], elsewhere)]);
            assert_eq!(outside, Limits::default(), "{elsewhere}");
        }
    }
}
