//! Reading the configuration again while monigo runs.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Config, Setting, load};

/// What another configuration would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Settings that take effect at once.
    pub taken: Vec<&'static str>,
    /// Settings that need a restart.
    pub left: Vec<&'static str>,
}

impl Change {
    /// From the settings in force to new ones. Returns the new ones too, with what cannot change left as it was.
    pub fn between(old: &Config, new: &Config) -> (Self, Config) {
        let mut change = Self::default();
        for ((key, before), (_, after)) in load::values(old).into_iter().zip(load::values(new)) {
            // Secrets look alike: they are compared below.
            if before != after {
                let reloads = Setting::of(key).is_some_and(|setting| setting.reloads);
                if reloads {
                    change.taken.push(key);
                } else {
                    change.left.push(key);
                }
            }
        }
        if old.webhook.url != new.webhook.url {
            change.taken.push("webhook.url");
        }
        if old.webhook.token != new.webhook.token {
            change.taken.push("webhook.token");
        }
        if (&old.auth.token, &old.auth.api_key) != (&new.auth.token, &new.auth.api_key) {
            change.left.push("auth");
        }
        change.taken.dedup();
        let mut merged = new.clone();
        merged.service.name.clone_from(&old.service.name);
        merged.service.headless = old.service.headless;
        merged.listen.clone_from(&old.listen);
        merged.auth.clone_from(&old.auth);
        merged.tls.clone_from(&old.tls);
        merged.storage.kind = old.storage.kind;
        merged.storage.path.clone_from(&old.storage.path);
        merged.trace.latency = old.trace.latency;
        merged.trace.stacks = old.trace.stacks;
        merged.trace.exit_probe = old.trace.exit_probe;
        merged.trace.cpu_hz = old.trace.cpu_hz;
        merged.trace.off_cpu = old.trace.off_cpu;
        merged.log.format = old.log.format;
        (change, merged)
    }

    /// Whether there is nothing to do and nothing to say.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.left.is_empty()
    }
}

/// Notices that a file was changed or replaced, also through a link. Looks, rather than being told:
/// mounted `ConfigMap`s change by a link several folders up.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// Device, inode, size, time of change.
type Stamp = (u64, u64, u64, i64, i64);

impl Watch {
    /// Watches the file as it is now.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            seen: stamp(path),
        }
    }

    /// Whether it has changed since the last look. A file that is gone has not: it is being replaced.
    pub fn changed(&mut self) -> bool {
        let now = stamp(&self.path);
        let changed = now.is_some() && now != self.seen;
        if changed {
            self.seen = now;
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SETTINGS, Share};

    #[test]
    fn what_reloads_is_taken_and_the_rest_is_named() {
        let old = Config::default();
        let mut new = Config::default();
        new.trace.max_overhead = Share(None);
        new.log.level = crate::config::LogLevel::Debug;
        new.listen.port = 9;
        new.trace.cpu_hz = 7;
        let (change, merged) = Change::between(&old, &new);
        assert_eq!(change.taken, ["trace.max_overhead", "log.level"]);
        assert_eq!(change.left, ["listen.port", "trace.cpu_hz"]);
        assert_eq!(merged.trace.max_overhead, Share(None));
        assert_eq!(merged.listen.port, 8080);
        assert_eq!(merged.trace.cpu_hz, old.trace.cpu_hz);
        assert!(Change::between(&old, &old).0.is_empty());
    }

    /// The catalogue says what reloads; the merged configuration must agree with it.
    #[test]
    fn what_needs_a_restart_is_left_as_it_was() {
        let old = Config::default();
        let mut new = Config::default();
        new.service.name = Some("x".to_owned());
        new.service.headless = true;
        new.listen.port = 1;
        new.auth.users_file = Some("x".into());
        new.tls.key_file = Some("x".into());
        new.storage.path = Some("x".into());
        new.trace.off_cpu = false;
        new.log.format = crate::config::LogFormat::Json;
        let (change, merged) = Change::between(&old, &new);
        assert_eq!(change.taken, Vec::<&str>::new());
        assert_eq!(change.left.len(), 8);
        assert_eq!(merged, old);
        assert!(SETTINGS.iter().any(|setting| setting.reloads));
    }

    #[test]
    fn files_are_watched_through_replacements() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(&path);
        assert!(!watch.changed());
        fs::write(&path, "ab").unwrap();
        assert!(watch.changed());
        assert!(!watch.changed());
        fs::remove_file(&path).unwrap();
        assert!(!watch.changed());
        fs::write(folder.path().join("new"), "ab").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(watch.changed());
    }
}
