//! From counters at two instants to figures.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Figures, HostLook, Look, NetworkLook, ProcessLook, Traffic,
    bounds::{cpu_limit, memory_limit},
    words::{list, rfc3339, uptime},
};
use crate::{
    service::{
        CoreStatistics, CpuStatistics, DiskIo, IoFigures, LoadStatistics, MemoryStatistics,
        Metrics, NetworkIo,
    },
    symbols::ImageId,
};

const NS_PER_SECOND: f64 = 1e9;

/// Processes of which is known what they ran.
const MOST_REMEMBERED: usize = 65_536;

/// What the last look brought.
#[derive(Debug, Default)]
pub struct Differ {
    last: Option<Last>,
    /// What each id ran when it was last seen, also of processes that ended.
    ran: BTreeMap<u32, (u64, Option<ImageId>)>,
    disk: Traffic,
    ended: u64,
    /// When the oldest process started, in Unix time as it was when first asked for: a step of the
    /// clock does not move it.
    started: Option<(u32, u64, i64)>,
}

#[derive(Debug)]
struct Last {
    boot_ns: u64,
    processes: BTreeMap<u32, ProcessLook>,
    host: HostLook,
}

/// Sums of differences.
#[derive(Debug, Default)]
struct Sums {
    cpu_ns: u64,
    disk: Traffic,
    disk_readable: bool,
}

impl Differ {
    /// Reads the processes with these ids, and the host.
    pub fn look(&mut self, look: &mut dyn Look, pids: &BTreeSet<u32>) -> Figures {
        let boot_ns = look.boot_ns();
        let at_ns = look.unix_ns();
        let processes: BTreeMap<u32, ProcessLook> = pids
            .iter()
            .filter_map(|&pid| Some((pid, look.process(pid)?)))
            .filter(|(pid, process)| self.is_ours(*pid, process))
            .collect();
        let host = look.host(processes.keys().next().copied());
        let elapsed_ns = self
            .last
            .as_ref()
            .map_or(0, |last| boot_ns.saturating_sub(last.boot_ns));
        let sums = self.add_up(&processes);
        let figures = self.figures(boot_ns, at_ns, elapsed_ns, &processes, &host, &sums);
        self.last = Some(Last {
            boot_ns,
            processes,
            host,
        });
        figures
    }

    /// Whether a process is of the service: the id of one that ended may come back as anything.
    fn is_ours(&mut self, pid: u32, process: &ProcessLook) -> bool {
        match self.ran.get(&pid) {
            Some((started_ns, executable))
                if *started_ns != process.started_ns && *executable != process.executable =>
            {
                false
            }
            _ => {
                self.ran
                    .insert(pid, (process.started_ns, process.executable));
                true
            }
        }
    }

    fn add_up(&mut self, processes: &BTreeMap<u32, ProcessLook>) -> Sums {
        let mut sums = Sums::default();
        let none = BTreeMap::new();
        let (before, looked_ns) = self
            .last
            .as_ref()
            .map_or((&none, None), |last| (&last.processes, Some(last.boot_ns)));
        let continues = |pid: &u32, process: &ProcessLook| {
            before
                .get(pid)
                .filter(|before| before.started_ns == process.started_ns)
        };
        for (pid, process) in processes {
            let before = continues(pid, process);
            // Of a process that was not known before, what it did since the last look is known if it
            // did not live then.
            let whole = before.is_some()
                || looked_ns.is_some_and(|looked_ns| process.started_ns >= looked_ns);
            let cpu_before = before.map_or(0, |before| before.cpu_ns);
            if whole {
                sums.cpu_ns += process.cpu_ns.saturating_sub(cpu_before);
            }
            if let Some(disk) = process.disk {
                sums.disk_readable = true;
                let before = before.and_then(|before| before.disk).unwrap_or_default();
                let added = disk.since(before);
                self.disk = self.disk.plus(added);
                if whole {
                    sums.disk = sums.disk.plus(added);
                }
            }
        }
        let ended = before
            .iter()
            .filter(|(pid, before)| {
                processes
                    .get(pid)
                    .is_none_or(|now| now.started_ns != before.started_ns)
            })
            .count();
        self.ended += ended as u64;
        // What an id ran must be known as long as it can be asked for; ids are reused in turn, so
        // those of long ago go first.
        if self.ran.len() > MOST_REMEMBERED {
            self.ran.retain(|pid, _| processes.contains_key(pid));
        }
        sums
    }

    fn figures(
        &mut self,
        boot_ns: u64,
        at_ns: i64,
        elapsed_ns: u64,
        processes: &BTreeMap<u32, ProcessLook>,
        host: &HostLook,
        sums: &Sums,
    ) -> Figures {
        let mut by_age: Vec<(u64, u32)> = processes
            .iter()
            .map(|(pid, process)| (process.started_ns, *pid))
            .collect();
        by_age.sort_unstable();
        let pids: Vec<u32> = by_age.iter().map(|(_, pid)| *pid).collect();
        let oldest = by_age.first().copied();
        let age_ns = oldest.map(|(started_ns, _)| boot_ns.saturating_sub(started_ns));
        let cpu = self.cpu(elapsed_ns, processes, host, sums);
        let memory = memory(processes, host);
        let metrics = Metrics {
            time: rfc3339(at_ns),
            core_statistics: core(processes, age_ns.unwrap_or(0)),
            load_statistics: load(&cpu, &memory, host),
            cpu_statistics: cpu,
            memory_statistics: memory,
            disk_io: self.disk_io(elapsed_ns, &pids, host, sums),
            network_io: self.network_io(elapsed_ns, processes, host),
            ..Metrics::default()
        };
        Figures {
            at_ns,
            started_ns: oldest.map(|oldest| self.unix_start(oldest, boot_ns, at_ns)),
            pids,
            metrics,
        }
    }

    fn unix_start(&mut self, (started_ns, pid): (u64, u32), boot_ns: u64, at_ns: i64) -> i64 {
        if let Some((known_pid, known, unix_ns)) = self.started
            && (known_pid, known) == (pid, started_ns)
        {
            return unix_ns;
        }
        let age_ns = i64::try_from(boot_ns.saturating_sub(started_ns)).unwrap_or(0);
        let unix_ns = at_ns.saturating_sub(age_ns);
        self.started = Some((pid, started_ns, unix_ns));
        unix_ns
    }

    fn cpu(
        &self,
        elapsed_ns: u64,
        processes: &BTreeMap<u32, ProcessLook>,
        host: &HostLook,
        sums: &Sums,
    ) -> CpuStatistics {
        let cpus = f64::from(host.cpus.max(1));
        let used_by_system = self.last.as_ref().map_or(0.0, |last| {
            let busy = host.busy_ns.saturating_sub(last.host.busy_ns) as f64;
            let idle = host.idle_ns.saturating_sub(last.host.idle_ns) as f64;
            if busy + idle > 0.0 {
                cpus * busy / (busy + idle)
            } else {
                0.0
            }
        });
        CpuStatistics {
            total_cores: host.cores,
            total_logical_cores: host.cpus,
            cores_limit: cpu_limit(processes, cpus),
            cores_used_by_system: used_by_system,
            // Ticks are counted up to 10 ms late, so a short interval can seem to have more than
            // there is.
            cores_used_by_service: per_elapsed(sums.cpu_ns, elapsed_ns).min(cpus),
        }
    }

    fn disk_io(&self, elapsed_ns: u64, pids: &[u32], host: &HostLook, sums: &Sums) -> DiskIo {
        let service = (sums.disk_readable || self.disk != Traffic::default())
            .then(|| io_figures(self.disk, sums.disk, elapsed_ns, self.covered(pids)));
        let before = self.last.as_ref().and_then(|last| last.host.disk);
        let system = host.disk.map(|disk| {
            let added = before.map_or(Traffic::default(), |before| disk.since(before));
            let covers = "all block devices of the host".to_owned();
            io_figures(disk, added, elapsed_ns, covers)
        });
        DiskIo { service, system }
    }

    fn covered(&self, pids: &[u32]) -> String {
        let living = match pids {
            [] => "no process that lives".to_owned(),
            [pid] => format!("process {pid}"),
            _ => format!("processes {}", list(pids)),
        };
        match self.ended {
            0 => living,
            1 => format!("{living} and 1 process that ended"),
            ended => format!("{living} and {ended} processes that ended"),
        }
    }

    fn network_io(
        &mut self,
        elapsed_ns: u64,
        processes: &BTreeMap<u32, ProcessLook>,
        host: &HostLook,
    ) -> NetworkIo {
        let mut spaces: BTreeMap<u64, (NetworkLook, Vec<u32>)> = BTreeMap::new();
        for (pid, process) in processes {
            if let Some(look) = process.network {
                spaces
                    .entry(look.namespace)
                    .or_insert((look, Vec::new()))
                    .1
                    .push(*pid);
            }
        }
        let (mut total, mut added) = (Traffic::default(), Traffic::default());
        for (look, _) in spaces.values() {
            let before = self.network_before(look.namespace);
            total = total.plus(look.traffic);
            added = added.plus(before.map_or(Traffic::default(), |b| look.traffic.since(b)));
        }
        let own = host.network.map(|network| network.namespace);
        let names: Vec<String> = spaces
            .values()
            .map(|(look, pids)| {
                let of = if pids.len() == 1 {
                    "process"
                } else {
                    "processes"
                };
                let shared = if own == Some(look.namespace) {
                    ", which monigo and all others in it share"
                } else {
                    ""
                };
                format!("the network namespace of {of} {}{shared}", list(pids))
            })
            .collect();
        let service =
            (!spaces.is_empty()).then(|| io_figures(total, added, elapsed_ns, names.join("; ")));
        let before = self
            .last
            .as_ref()
            .and_then(|last| last.host.network)
            .map(|network| network.traffic);
        let system = host.network.map(|network| {
            let added = before.map_or(Traffic::default(), |b| network.traffic.since(b));
            let covers = "all interfaces but loopback of the network namespace that monigo runs in";
            io_figures(network.traffic, added, elapsed_ns, covers.to_owned())
        });
        NetworkIo { service, system }
    }

    fn network_before(&self, namespace: u64) -> Option<Traffic> {
        let last = self.last.as_ref()?;
        let mut networks = last.processes.values().filter_map(|before| before.network);
        networks
            .find(|before| before.namespace == namespace)
            .map(|before| before.traffic)
    }
}

fn core(processes: &BTreeMap<u32, ProcessLook>, age_ns: u64) -> CoreStatistics {
    let files: Vec<u64> = processes.values().filter_map(|p| p.open_files).collect();
    CoreStatistics {
        goroutines: None,
        threads: processes.values().map(|process| process.threads).sum(),
        processes: processes.len() as u64,
        open_files: (!files.is_empty()).then(|| files.iter().sum()),
        uptime: uptime(age_ns),
        uptime_seconds: age_ns as f64 / NS_PER_SECOND,
    }
}

fn memory(processes: &BTreeMap<u32, ProcessLook>, host: &HostLook) -> MemoryStatistics {
    let used = processes
        .values()
        .map(|process| process.proportional_bytes.unwrap_or(process.resident_bytes))
        .sum();
    let stacks: Vec<u64> = processes.values().filter_map(|p| p.stack_bytes).collect();
    MemoryStatistics {
        total_system_memory_bytes: host.memory_bytes,
        memory_used_by_system_bytes: host.memory_bytes.saturating_sub(host.available_bytes),
        available_memory_bytes: host.available_bytes,
        memory_used_by_service_bytes: used,
        memory_limit_bytes: memory_limit(processes),
        stack_memory_usage_bytes: (!stacks.is_empty()).then(|| stacks.iter().sum()),
        gc_pause_total_ns: None,
        gc_pause_last_ns: None,
    }
}

fn load(cpu: &CpuStatistics, memory: &MemoryStatistics, host: &HostLook) -> LoadStatistics {
    let percent = |part: f64, whole: f64| {
        if whole > 0.0 {
            (100.0 * part / whole).min(100.0)
        } else {
            0.0
        }
    };
    let total = memory.total_system_memory_bytes;
    let usable = memory.memory_limit_bytes.unwrap_or(total).min(total);
    let service_cpu = percent(cpu.cores_used_by_service, cpu.cores_limit);
    let service_memory = percent(memory.memory_used_by_service_bytes as f64, usable as f64);
    let logical = f64::from(cpu.total_logical_cores);
    LoadStatistics {
        service_cpu_load_percent: service_cpu,
        system_cpu_load_percent: percent(cpu.cores_used_by_system, logical),
        service_memory_load_percent: service_memory,
        system_memory_load_percent: percent(
            memory.memory_used_by_system_bytes as f64,
            total as f64,
        ),
        overall_load_of_service_percent: (0.5 * service_cpu + 0.5 * service_memory).min(100.0),
        system_disk_load_percent: host.disk_load_percent,
    }
}

fn per_elapsed(amount: u64, elapsed_ns: u64) -> f64 {
    if elapsed_ns > 0 {
        amount as f64 / elapsed_ns as f64
    } else {
        0.0
    }
}

fn io_figures(total: Traffic, added: Traffic, elapsed_ns: u64, covers: String) -> IoFigures {
    IoFigures {
        read_bytes: total.read_bytes,
        written_bytes: total.written_bytes,
        read_bytes_per_second: NS_PER_SECOND * per_elapsed(added.read_bytes, elapsed_ns),
        written_bytes_per_second: NS_PER_SECOND * per_elapsed(added.written_bytes, elapsed_ns),
        covers,
    }
}
