//! Reads `/proc`.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use procfs::{
    Current as _, CurrentSI as _, KernelStats, Meminfo, ProcessCGroups, net::DeviceStatus,
    process::Process,
};

use super::{
    HostLook, Limits, Look, NetworkLook, ProcessLook, Traffic, cgroup::Hierarchies, look::boot_ns,
};
use crate::symbols::ImageId;

const SECTOR_BYTES: u64 = 512;
const NS_PER_SECOND: u64 = 1_000_000_000;
/// Limits, name spaces and the like change seldom and are read once in this time.
const SELDOM: Duration = Duration::from_secs(10);
/// The kernel walks all pages of a process to tell its proportional memory. It is asked so seldom
/// that this takes at most 1 part in this of the time.
const WALK_REST: u32 = 200;
/// Devices that others of the list carry.
const LAYERED: [&str; 5] = ["loop", "ram", "zram", "dm-", "md"];

/// Reads `/proc` and the cgroup hierarchies.
#[derive(Debug, Default)]
pub struct ProcLook {
    hierarchies: Option<(Hierarchies, Instant)>,
    known: BTreeMap<u32, Known>,
    /// Name spaces whose traffic was read in this look already.
    networks: BTreeMap<u64, Option<Traffic>>,
    cores: Option<u32>,
}

/// What is read seldom of one process.
#[derive(Debug)]
struct Known {
    started_ns: u64,
    read: Instant,
    executable: Option<ImageId>,
    limits: Limits,
    stack_bytes: Option<u64>,
    namespace: Option<u64>,
    /// Proportional memory, of what resident memory, and when to ask again.
    proportional: Option<(u64, u64)>,
    walk_after: Instant,
}

impl Look for ProcLook {
    fn boot_ns(&mut self) -> u64 {
        boot_ns()
    }

    fn unix_ns(&mut self) -> i64 {
        crate::collect::unix_ns()
    }

    fn process(&mut self, pid: u32) -> Option<ProcessLook> {
        // Everything is read through one descriptor, which leads nowhere once the process ended:
        // never to another one of the same id.
        let process = Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok()?;
        if matches!(stat.state, 'Z' | 'X') {
            self.known.remove(&pid);
            return None;
        }
        let ticks = procfs::ticks_per_second();
        let ns = |count: u64| count.saturating_mul(NS_PER_SECOND / ticks.max(1));
        let started_ns = ns(stat.starttime);
        let resident_bytes = stat.rss.saturating_mul(procfs::page_size());
        self.look_seldom(pid, &process, started_ns);
        let known = self.known.get_mut(&pid)?;
        let proportional_bytes = proportional(known, &process, resident_bytes);
        let namespace = known.namespace;
        let (executable, limits, stack_bytes) =
            (known.executable, known.limits.clone(), known.stack_bytes);
        Some(ProcessLook {
            started_ns,
            executable,
            cpu_ns: ns(stat.utime.saturating_add(stat.stime)),
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            resident_bytes,
            proportional_bytes,
            stack_bytes,
            open_files: process.fd_count().ok().map(|count| count as u64),
            disk: process.io().ok().map(|io| Traffic {
                read_bytes: io.read_bytes,
                written_bytes: io.write_bytes,
            }),
            network: namespace.and_then(|namespace| self.network(namespace, &process)),
            limits,
        })
    }

    fn host(&mut self, first: Option<u32>) -> HostLook {
        let mut look = HostLook {
            cores: *self.cores.get_or_insert_with(physical_cores),
            ..HostLook::default()
        };
        if let Ok(stat) = KernelStats::current() {
            let total = &stat.total;
            let ticks = NS_PER_SECOND / procfs::ticks_per_second().max(1);
            // Guests' time is in `user` and `nice` already.
            let busy = total.user + total.nice + total.system;
            let others = [total.irq, total.softirq, total.steal];
            let busy = busy + others.iter().flatten().sum::<u64>();
            look.busy_ns = busy.saturating_mul(ticks);
            look.idle_ns = (total.idle + total.iowait.unwrap_or(0)).saturating_mul(ticks);
            look.cpus = u32::try_from(stat.cpu_time.len()).unwrap_or(u32::MAX);
        }
        if let Ok(memory) = Meminfo::current() {
            look.memory_bytes = memory.mem_total;
            look.available_bytes = memory.mem_available.unwrap_or(memory.mem_free);
        }
        look.disk = disks();
        look.network = own_network();
        look.disk_load_percent = first.and_then(disk_load_percent);
        // The next look begins.
        self.networks.clear();
        self.forget();
        look
    }
}

impl ProcLook {
    fn look_seldom(&mut self, pid: u32, process: &Process, started_ns: u64) {
        let now = Instant::now();
        let known = self.known.get(&pid);
        if known.is_some_and(|known| {
            known.started_ns == started_ns && now.duration_since(known.read) < SELDOM
        }) {
            return;
        }
        let before = self
            .known
            .remove(&pid)
            .filter(|known| known.started_ns == started_ns);
        let status = process.status().ok();
        let mut limits = process
            .read::<_, ProcessCGroups>("cgroup")
            .map(|groups| self.hierarchies(now).limits(&groups.0))
            .unwrap_or_default();
        limits.allowed_cpus = status
            .as_ref()
            .and_then(|status| status.cpus_allowed.as_ref())
            .map(|mask| mask.iter().map(|word| word.count_ones()).sum());
        let known = Known {
            started_ns,
            read: now,
            executable: ImageId::of(&path(pid, "exe")).ok(),
            limits,
            stack_bytes: status.and_then(|status| status.vmstk).map(|kib| kib * 1024),
            namespace: namespace(&path(pid, "ns/net")),
            proportional: before.as_ref().and_then(|known| known.proportional),
            walk_after: before.map_or(now, |known| known.walk_after),
        };
        self.known.insert(pid, known);
    }

    fn hierarchies(&mut self, now: Instant) -> &Hierarchies {
        if let Some((_, read)) = &self.hierarchies
            && now.duration_since(*read) >= SELDOM
        {
            self.hierarchies = None;
        }
        &self
            .hierarchies
            .get_or_insert_with(|| (Hierarchies::read(), now))
            .0
    }

    fn network(&mut self, namespace: u64, process: &Process) -> Option<NetworkLook> {
        let traffic = *self.networks.entry(namespace).or_insert_with(|| {
            let devices = process.dev_status().ok()?;
            Some(sum(devices.into_values()))
        });
        traffic.map(|traffic| NetworkLook { namespace, traffic })
    }

    /// Those not looked at for long have ended.
    fn forget(&mut self) {
        let now = Instant::now();
        self.known
            .retain(|_, known| now.duration_since(known.read) < 6 * SELDOM);
    }
}

fn path(pid: u32, rest: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{rest}"))
}

/// Proportional memory: as the kernel says, or as it said, scaled by resident memory since.
fn proportional(known: &mut Known, process: &Process, resident_bytes: u64) -> Option<u64> {
    let began = Instant::now();
    if began >= known.walk_after {
        known.proportional = process
            .smaps_rollup()
            .ok()
            .and_then(|rollup| rollup.memory_map_rollup.0.into_iter().next())
            .and_then(|map| map.extension.map.get("Pss").copied())
            .map(|bytes| (bytes, resident_bytes));
        let took = began.elapsed();
        known.walk_after = began + took * WALK_REST;
    }
    let (bytes, of) = known.proportional?;
    if of == 0 {
        return Some(bytes);
    }
    Some((bytes as f64 * (resident_bytes as f64 / of as f64)) as u64)
}

fn namespace(path: &std::path::Path) -> Option<u64> {
    let link = std::fs::read_link(path).ok()?;
    let text = link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    text.parse().ok()
}

fn sum(devices: impl Iterator<Item = DeviceStatus>) -> Traffic {
    devices
        .filter(|device| device.name.trim() != "lo")
        .map(|device| Traffic {
            read_bytes: device.recv_bytes,
            written_bytes: device.sent_bytes,
        })
        .fold(Traffic::default(), Traffic::plus)
}

fn own_network() -> Option<NetworkLook> {
    let devices = procfs::net::dev_status().ok()?;
    Some(NetworkLook {
        namespace: namespace(std::path::Path::new("/proc/self/ns/net"))?,
        traffic: sum(devices.into_values()),
    })
}

fn disks() -> Option<Traffic> {
    let whole: HashSet<String> = std::fs::read_dir("/sys/block")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !LAYERED.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    let disks = procfs::diskstats().ok()?.into_iter();
    let traffic = disks
        .filter(|disk| whole.contains(&disk.name))
        .map(|disk| Traffic {
            read_bytes: disk.sectors_read.saturating_mul(SECTOR_BYTES),
            written_bytes: disk.sectors_written.saturating_mul(SECTOR_BYTES),
        });
    Some(traffic.fold(Traffic::default(), Traffic::plus))
}

fn disk_load_percent(pid: u32) -> Option<f64> {
    let stat = nix::sys::statvfs::statvfs(&path(pid, "exe")).ok()?;
    let (blocks, free) = (stat.blocks() as f64, stat.blocks_free() as f64);
    // What only root may use counts as in use, as `df` shows it.
    let usable = blocks - free + stat.blocks_available() as f64;
    (usable > 0.0).then(|| 100.0 * (blocks - free) / usable)
}

fn physical_cores() -> u32 {
    let logical = || std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    let Ok(cpus) = procfs::CpuInfo::current() else {
        return logical();
    };
    let cores: BTreeSet<(String, String)> = (0..cpus.num_cores())
        .filter_map(|number| {
            let cpu = cpus.get_info(number)?;
            let field = |name: &str| cpu.get(name).map(|text| (*text).to_owned());
            Some((field("physical id")?, field("core id")?))
        })
        .collect();
    if cores.is_empty() {
        logical()
    } else {
        cores.len() as u32
    }
}
