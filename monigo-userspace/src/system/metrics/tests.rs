use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use proptest::prelude::*;

use super::{differ::Differ, *};
use crate::symbols::ImageId;

const SECOND: u64 = 1_000_000_000;

/// A host that does what the test says.
#[derive(Clone, Default)]
struct Fake {
    boot_ns: u64,
    unix_ns: i64,
    processes: BTreeMap<u32, ProcessLook>,
    host: HostLook,
}

impl Look for Fake {
    fn boot_ns(&mut self) -> u64 {
        self.boot_ns
    }

    fn unix_ns(&mut self) -> i64 {
        self.unix_ns
    }

    fn process(&mut self, pid: u32) -> Option<ProcessLook> {
        self.processes.get(&pid).cloned()
    }

    fn host(&mut self, _: Option<u32>) -> HostLook {
        self.host.clone()
    }
}

fn program(inode: u64) -> ImageId {
    ImageId { device: 1, inode }
}

fn process(started_ns: u64, cpu_ns: u64) -> ProcessLook {
    ProcessLook {
        started_ns,
        executable: Some(program(7)),
        cpu_ns,
        threads: 3,
        resident_bytes: 1 << 20,
        disk: Some(Traffic::default()),
        ..ProcessLook::default()
    }
}

fn host(cpus: u32) -> HostLook {
    HostLook {
        cores: cpus,
        cpus,
        memory_bytes: 8 << 30,
        available_bytes: 6 << 30,
        ..HostLook::default()
    }
}

fn fake() -> Fake {
    Fake {
        boot_ns: 1_000 * SECOND,
        unix_ns: 5_000_000 * SECOND as i64,
        processes: BTreeMap::from([(10, process(900 * SECOND, 50 * SECOND))]),
        host: host(4),
    }
}

impl Fake {
    fn pass(&mut self, seconds: f64) {
        self.boot_ns += (seconds * SECOND as f64) as u64;
        self.unix_ns += (seconds * SECOND as f64) as i64;
    }
}

fn pids(ids: &[u32]) -> BTreeSet<u32> {
    ids.iter().copied().collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

#[test]
fn rates_come_of_differences() {
    let mut fake = fake();
    let mut differ = Differ::default();
    let first = differ.look(&mut fake, &pids(&[10]));
    assert!(close(
        first.metrics.cpu_statistics.cores_used_by_service,
        0.0
    ));
    assert_eq!(first.metrics.core_statistics.uptime, "1m 40s");
    fake.pass(2.0);
    let known = fake.processes.get_mut(&10).unwrap();
    known.cpu_ns += 3 * SECOND;
    known.disk = Some(Traffic {
        read_bytes: 4096,
        written_bytes: 8192,
    });
    fake.host.busy_ns += 4 * SECOND;
    fake.host.idle_ns += 4 * SECOND;
    let second = differ.look(&mut fake, &pids(&[10]));
    let metrics = &second.metrics;
    assert!(close(metrics.cpu_statistics.cores_used_by_service, 1.5));
    assert!(close(metrics.cpu_statistics.cores_used_by_system, 2.0));
    assert!(close(
        metrics.load_statistics.service_cpu_load_percent,
        37.5
    ));
    assert!(close(metrics.load_statistics.system_cpu_load_percent, 50.0));
    assert!(close(
        metrics.load_statistics.system_memory_load_percent,
        25.0
    ));
    let disk = metrics.disk_io.service.as_ref().unwrap();
    assert_eq!((disk.read_bytes, disk.written_bytes), (4096, 8192));
    assert!(close(disk.read_bytes_per_second, 2048.0));
    assert_eq!(disk.covers, "process 10");
}

#[test]
fn the_wall_clock_may_step() {
    let mut fake = fake();
    let mut differ = Differ::default();
    let first = differ.look(&mut fake, &pids(&[10]));
    for step in [-86_400, 86_400] {
        fake.pass(1.0);
        fake.unix_ns += step * SECOND as i64;
        fake.processes.get_mut(&10).unwrap().cpu_ns += SECOND / 2;
        let figures = differ.look(&mut fake, &pids(&[10]));
        let cpu = &figures.metrics.cpu_statistics;
        assert!(close(cpu.cores_used_by_service, 0.5), "{step}");
        assert_eq!(figures.started_ns, first.started_ns, "{step}");
        assert_eq!(figures.at_ns, fake.unix_ns);
    }
}

#[test]
fn a_target_that_restarts_every_second_is_counted_once() {
    let mut fake = fake();
    fake.processes.clear();
    let mut differ = Differ::default();
    differ.look(&mut fake, &pids(&[]));
    let mut known = BTreeSet::new();
    for round in 0..100_u32 {
        let pid = 100 + round;
        known.insert(pid);
        fake.pass(1.0);
        let mut now = process(fake.boot_ns - SECOND / 2, SECOND / 4);
        now.disk = Some(Traffic {
            read_bytes: 10,
            written_bytes: 1,
        });
        fake.processes = BTreeMap::from([(pid, now)]);
        let figures = differ.look(&mut fake, &known);
        let metrics = &figures.metrics;
        assert_eq!(figures.pids, [pid]);
        assert_eq!(metrics.core_statistics.processes, 1);
        assert!(close(metrics.cpu_statistics.cores_used_by_service, 0.25));
        let disk = metrics.disk_io.service.as_ref().unwrap();
        assert_eq!(disk.read_bytes, u64::from(10 * (round + 1)), "never falls");
        assert!(close(disk.read_bytes_per_second, 10.0));
    }
    fake.pass(1.0);
    fake.processes.clear();
    let gone = differ.look(&mut fake, &known);
    assert_eq!(gone.metrics.core_statistics.processes, 0);
    assert_eq!(gone.started_ns, None);
    let disk = gone.metrics.disk_io.service.unwrap();
    assert_eq!(disk.read_bytes, 1000);
    assert_eq!(
        disk.covers,
        "no process that lives and 100 processes that ended"
    );
}

#[test]
fn an_id_that_comes_back_as_something_else_does_not_count() {
    let mut fake = fake();
    let mut differ = Differ::default();
    differ.look(&mut fake, &pids(&[10]));
    fake.pass(1.0);
    let mut other = process(fake.boot_ns, 40 * SECOND);
    other.executable = Some(program(8));
    fake.processes.insert(10, other);
    let figures = differ.look(&mut fake, &pids(&[10]));
    assert!(figures.pids.is_empty());
    assert!(close(
        figures.metrics.cpu_statistics.cores_used_by_service,
        0.0
    ));
    // The target again, with the same id.
    fake.pass(1.0);
    fake.processes
        .insert(10, process(fake.boot_ns - SECOND / 2, SECOND / 2));
    let figures = differ.look(&mut fake, &pids(&[10]));
    assert_eq!(figures.pids, [10]);
    assert!(close(
        figures.metrics.cpu_statistics.cores_used_by_service,
        0.5
    ));
}

#[test]
fn an_old_process_found_late_is_no_burst() {
    let mut fake = fake();
    let mut differ = Differ::default();
    differ.look(&mut fake, &pids(&[]));
    fake.pass(1.0);
    let figures = differ.look(&mut fake, &pids(&[10]));
    assert!(close(
        figures.metrics.cpu_statistics.cores_used_by_service,
        0.0
    ));
}

#[test]
fn limits_bound_the_service() {
    let mut fake = fake();
    let limits = |cpus, bytes, group: &str| Limits {
        quota_cpus: Some(cpus),
        allowed_cpus: Some(4),
        memory_bytes: Some(bytes),
        quota_group: group.to_owned(),
        memory_group: group.to_owned(),
    };
    fake.processes.get_mut(&10).unwrap().limits = limits(0.5, 4 << 20, "a");
    let mut second = process(901 * SECOND, 0);
    second.limits = limits(0.5, 4 << 20, "a");
    fake.processes.insert(11, second);
    let look = |fake: &mut Fake| Differ::default().look(fake, &pids(&[10, 11])).metrics;
    let metrics = look(&mut fake);
    assert!(close(metrics.cpu_statistics.cores_limit, 0.5), "shared");
    assert_eq!(metrics.memory_statistics.memory_limit_bytes, Some(4 << 20));
    assert!(close(
        metrics.load_statistics.service_memory_load_percent,
        50.0
    ));
    fake.processes.get_mut(&11).unwrap().limits = limits(1.0, 4 << 20, "b");
    assert!(
        close(look(&mut fake).cpu_statistics.cores_limit, 1.5),
        "apart"
    );
    fake.processes.get_mut(&11).unwrap().limits = Limits::default();
    let metrics = look(&mut fake);
    assert!(
        close(metrics.cpu_statistics.cores_limit, 4.0),
        "one is free"
    );
    assert_eq!(metrics.memory_statistics.memory_limit_bytes, None);
}

#[test]
fn networks_say_what_they_cover() {
    let mut fake = fake();
    let network = |bytes| {
        Some(NetworkLook {
            namespace: 5,
            traffic: Traffic {
                read_bytes: bytes,
                written_bytes: 2 * bytes,
            },
        })
    };
    fake.processes.get_mut(&10).unwrap().network = network(100);
    let mut second = process(901 * SECOND, 0);
    second.network = network(100);
    fake.processes.insert(11, second);
    let mut differ = Differ::default();
    differ.look(&mut fake, &pids(&[10, 11]));
    fake.pass(1.0);
    for process in fake.processes.values_mut() {
        process.network = network(150);
    }
    let service = differ
        .look(&mut fake, &pids(&[10, 11]))
        .metrics
        .network_io
        .service
        .unwrap();
    assert_eq!(service.read_bytes, 150, "a shared namespace counts once");
    assert!(close(service.written_bytes_per_second, 100.0));
    assert_eq!(service.covers, "the network namespace of processes 10, 11");
}

#[test]
fn a_hundred_readers_look_once() {
    struct Counting(Fake, Arc<AtomicU64>);
    impl Look for Counting {
        fn boot_ns(&mut self) -> u64 {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.boot_ns()
        }
        fn unix_ns(&mut self) -> i64 {
            self.0.unix_ns()
        }
        fn process(&mut self, pid: u32) -> Option<ProcessLook> {
            self.0.process(pid)
        }
        fn host(&mut self, first: Option<u32>) -> HostLook {
            self.0.host(first)
        }
    }
    let looks = Arc::new(AtomicU64::new(0));
    let look = Counting(fake(), Arc::clone(&looks));
    let monitor = Monitor::new(Box::new(look), Box::new(|| pids(&[10])));
    let began = std::time::Instant::now();
    assert_eq!(looks.load(Ordering::SeqCst), 1);
    let times = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let figures = monitor.figures();
                assert_eq!(figures.pids, [10]);
                times.lock().unwrap().insert(Arc::as_ptr(&figures) as usize);
            });
        }
    });
    // The first was taken when the monitor was made.
    let most = 2 + began.elapsed().as_secs();
    assert!(looks.load(Ordering::SeqCst) <= most);
    assert!(times.into_inner().unwrap().len() as u64 <= most);
}

#[test]
fn series_have_names_of_their_own_and_values() {
    let mut names = BTreeSet::new();
    for series in SERIES {
        assert!(names.insert(series.name), "{} twice", series.name);
        assert!(series.description.ends_with('.'), "{}", series.name);
        assert!(Topic::of_name(series.topic.name()) == Some(series.topic));
    }
    for topic in Topic::ALL {
        assert!(SERIES.iter().any(|series| series.topic == topic), "{topic}");
    }
    let metrics = Differ::default().look(&mut fake(), &pids(&[10])).metrics;
    let readings = readings(&metrics, 17);
    assert!(readings.iter().all(|reading| reading.at_ns == 17));
    let threads = readings.iter().find(|reading| reading.name == "threads");
    assert!(close(threads.unwrap().value, 3.0));
    assert!(!readings.iter().any(|reading| reading.name == "goroutines"));
}

/// This very process, as the kernel shows it.
#[test]
fn own_process() {
    let mut look = ProcLook::default();
    let own = std::process::id();
    let mut differ = Differ::default();
    let first = differ.look(&mut look, &pids(&[own]));
    // Ticks of CPU time are 10 ms long.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(100) {
        std::hint::spin_loop();
    }
    let metrics = differ.look(&mut look, &pids(&[own])).metrics;
    assert_eq!(first.pids, [own]);
    assert!(metrics.cpu_statistics.cores_used_by_service > 0.0);
    assert!(metrics.cpu_statistics.cores_limit > 0.0);
    assert!(metrics.core_statistics.threads > 0);
    assert!(metrics.core_statistics.open_files.unwrap() > 0);
    let memory = &metrics.memory_statistics;
    assert!(memory.memory_used_by_service_bytes > 1 << 20, "{memory:?}");
    assert!(memory.memory_used_by_service_bytes < memory.total_system_memory_bytes);
    assert!(metrics.disk_io.service.is_some());
    assert!(metrics.network_io.service.is_some());
    assert!(metrics.load_statistics.system_disk_load_percent.unwrap() > 0.0);
}

#[test]
fn a_process_that_is_gone() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let figures = Differ::default().look(&mut ProcLook::default(), &pids(&[pid]));
    assert!(figures.pids.is_empty());
}

proptest! {
    /// Whatever counters and clocks do, figures are finite and not negative.
    #[test]
    fn figures_are_numbers(
        steps in proptest::collection::vec((0_u64..u64::MAX / 4, any::<i64>(), any::<u64>(), any::<u64>(), any::<u64>()), 1..6),
    ) {
        let mut fake = fake();
        let mut differ = Differ::default();
        for (boot_ns, unix_ns, cpu_ns, bytes, busy_ns) in steps {
            fake.boot_ns = boot_ns;
            fake.unix_ns = unix_ns;
            fake.host.busy_ns = busy_ns / 2;
            fake.host.idle_ns = cpu_ns / 2;
            let mut next = process(boot_ns / 2, cpu_ns);
            next.resident_bytes = bytes;
            next.disk = Some(Traffic { read_bytes: bytes, written_bytes: cpu_ns });
            fake.processes = BTreeMap::from([(10, next)]);
            let metrics = differ.look(&mut fake, &pids(&[10])).metrics;
            for reading in readings(&metrics, unix_ns) {
                prop_assert!(reading.value >= 0.0, "{reading:?}");
                prop_assert!(reading.value.is_finite());
                let series = series(&reading.name).unwrap();
                if series.unit == "percent" {
                    prop_assert!(reading.value <= 100.0, "{reading:?}");
                }
            }
        }
    }
}
