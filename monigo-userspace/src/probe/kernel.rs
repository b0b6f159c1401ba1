//! The loaded programs and their maps.

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
};
use monigo_common::{
    config::{Control, Costs, FunctionControl, FutureSite, MAX_FUTURE_SITES},
    copy::{CopyControl, MAX_COPY_BYTES},
    counters::{Buckets, Counters},
    open::{DeepKey, ForeignKey, FutureKey, FutureState, OpenCall, OpenCalls, OwnerKey},
};

use crate::store::ExitProbe;

use super::{
    PlannedFunction, ProbeError, Records,
    calibration::{self, PROBED as CALIBRATION_FUNCTIONS},
    groundwork::Groundwork,
    layout::{Layout, ThreadLayout},
    links::{FutureSites, Programs},
    parking::{self, ParkingProbes},
    prices::{Calibration, Price},
    programs::Features,
    ticks,
    tracepoints::{event_field_offset, trace, watch},
    watching::Group,
    windows::Open,
};

/// How much the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Traced functions, those to be added later included.
    pub functions: u32,
    /// Functions with a latency histogram; each takes 4.9 kB per CPU. Those called first get one.
    pub histograms: u32,
    /// Threads or goroutines with calls open, or that had one, at a time.
    pub owners: u32,
    /// Threads that are off CPU inside a traced function at a time; 0 when that is not sampled.
    pub off_cpu: u32,
    /// Threads whose stack is kept while they are off CPU, at a time; each takes 16 kB. 0 when
    /// stacks are not copied.
    pub kept: u32,
    /// Executions of async functions that are open at a time; 0 when there are no async functions.
    pub futures: u32,
    /// Ring buffer, bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
}

impl Sizes {
    /// Enough histograms for most sessions.
    pub const HISTOGRAMS: u32 = 1024;
}

/// What will be watched besides calls: its programs are checked together with the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What threads do on CPU, see [`Kernel::sample_cpu`].
    pub on_cpu: bool,
    /// What threads wait for, see [`Kernel::sample_off_cpu`].
    pub off_cpu: bool,
    /// What goroutines wait for, see [`Kernel::watch_parking`].
    pub parking: bool,
}

impl Expected {
    fn programs(self) -> Vec<&'static str> {
        let mut names = vec![THREAD_EXIT, PROCESS_EXEC];
        if self.on_cpu {
            names.push(ticks::PROGRAM);
        }
        if self.off_cpu {
            names.extend([THREAD_SWITCH, THREAD_WAKING]);
        }
        if self.parking {
            names.extend(parking::PROGRAMS);
        }
        names
    }
}

const THREAD_EXIT: &str = "thread_exit";
const PROCESS_EXEC: &str = "process_exec";
const THREAD_SWITCH: &str = "thread_switch";
const THREAD_WAKING: &str = "thread_waking";

/// monigo's programs in the kernel.
pub struct Kernel {
    pub(super) ebpf: Ebpf,
    pub(super) programs: Programs,
    features: Features,
    settings: Control,
    layout: Layout,
    /// By id.
    pub(super) functions: Vec<PlannedFunction>,
    /// Where futures have their state.
    pub(super) future_sites: FutureSites,
    pub(super) future_places: Array<MapData, FutureSite>,
    pub(super) futures: HashMap<MapData, FutureKey, FutureState>,
    /// By id, as in the kernel.
    pub(super) controls: Vec<FunctionControl>,
    /// Number of functions that the maps have room for.
    pub(super) room: u32,
    /// Links of the functions.
    pub(super) groups: Vec<Group>,
    /// Generation of those links.
    pub(super) generation: u32,
    /// Only this process is probed.
    pub(super) pid: Option<u32>,
    /// Set while a window is open.
    pub(super) window: Option<Open>,
    calibration: Calibration,
    control: Array<MapData, Control>,
    copy: Array<MapData, CopyControl>,
    /// Most bytes of a stack that are copied; 0 when it is walked by frame pointers.
    copied_bytes: u32,
    function_controls: Array<MapData, FunctionControl>,
    costs: Array<MapData, Costs>,
    pub(super) slots: Array<MapData, u64>,
    pub(super) foreign: HashMap<MapData, ForeignKey, OpenCall>,
    pub(super) counters: PerCpuArray<MapData, Counters>,
    pub(super) histograms: PerCpuArray<MapData, Buckets>,
    pub(super) open: HashMap<MapData, OwnerKey, OpenCalls>,
    pub(super) deep: HashMap<MapData, DeepKey, OpenCall>,
    pub(super) losses: PerCpuArray<MapData, u64>,
    pub(super) park_probes: PerCpuArray<MapData, u64>,
    /// Probes on Go's scheduler, where there are any.
    pub(super) parking: Option<ParkingProbes>,
    processes: HashMap<MapData, u32, u8>,
    pub(super) ring: Option<RingBuf<MapData>>,
}

impl Kernel {
    /// Creates the maps and loads the programs for calls, and for what is `expected`.
    pub fn load(
        groundwork: Groundwork,
        sizes: Sizes,
        expected: Expected,
    ) -> Result<Self, ProbeError> {
        let Groundwork {
            features,
            layout,
            mut loader,
        } = groundwork;
        if features.portable_programs {
            tracing::info!("using the programs for kernels before 5.17");
        }
        // Those that calibration calls come behind the others.
        let functions = sizes.functions + CALIBRATION_FUNCTIONS;
        let mut ebpf = loader
            .map_max_entries("FUNCTIONS", functions)
            .map_max_entries("COUNTERS", functions)
            .map_max_entries("SLOTS", functions)
            .map_max_entries(
                "HISTOGRAMS",
                sizes.functions.min(sizes.histograms) + CALIBRATION_FUNCTIONS,
            )
            .map_max_entries("OPEN", sizes.owners)
            .map_max_entries("FUTURES", sizes.futures.max(1))
            .map_max_entries(
                "FUTURE_SITES",
                if sizes.futures == 0 {
                    1
                } else {
                    MAX_FUTURE_SITES
                },
            )
            .map_max_entries("OFF_CPU", sizes.off_cpu.max(1))
            .map_max_entries("KEPT", sizes.kept.max(1))
            .map_max_entries("RECORDS", sizes.ring_bytes)
            .load(features.object())
            .map_err(|error| ProbeError::Maps(Box::new(error)))?;
        let programs = Programs::load(&mut ebpf, features, &expected.programs())?;
        for (name, event) in [
            (THREAD_EXIT, "sched_process_exit"),
            (PROCESS_EXEC, "sched_process_exec"),
        ] {
            watch(&mut ebpf, name, event)?;
        }
        Ok(Self {
            control: map(&mut ebpf, "CONTROL")?,
            copy: map(&mut ebpf, "COPY")?,
            copied_bytes: 0,
            function_controls: map(&mut ebpf, "FUNCTIONS")?,
            costs: map(&mut ebpf, "COSTS")?,
            slots: map(&mut ebpf, "SLOTS")?,
            foreign: map(&mut ebpf, "FOREIGN")?,
            future_sites: FutureSites::default(),
            future_places: map(&mut ebpf, "FUTURE_SITES")?,
            futures: map(&mut ebpf, "FUTURES")?,
            counters: map(&mut ebpf, "COUNTERS")?,
            histograms: map(&mut ebpf, "HISTOGRAMS")?,
            open: map(&mut ebpf, "OPEN")?,
            deep: map(&mut ebpf, "DEEP")?,
            losses: map(&mut ebpf, "LOSSES")?,
            park_probes: map(&mut ebpf, "PARK_PROBES")?,
            parking: None,
            processes: map(&mut ebpf, "PROCESSES")?,
            ring: Some(map(&mut ebpf, "RECORDS")?),
            programs,
            features,
            settings: Control::default(),
            layout,
            functions: Vec::new(),
            controls: Vec::new(),
            room: sizes.functions,
            groups: Vec::new(),
            generation: 0,
            pid: None,
            window: None,
            calibration: Calibration::default(),
            ebpf,
        })
    }

    /// Measures what probes cost on this host, by probing functions of monigo itself. To be called
    /// before [`Kernel::attach`].
    pub fn calibrate(&mut self) -> Result<(), ProbeError> {
        let started = std::time::Instant::now();
        let calibration = Calibration::measure(self)?;
        tracing::info!("calibrated in {:?}: {calibration:?}", started.elapsed());
        self.costs
            .set(0, calibration.costs(), 0)
            .map_err(in_map("COSTS"))?;
        self.calibration = calibration;
        Ok(())
    }

    /// Whether a return probe leaves a process alone that runs under a seccomp filter. Until Linux
    /// 6.14 the kernel ended it, for a system call of its own.
    pub fn return_probes_pass_seccomp(&mut self) -> Result<bool, ProbeError> {
        calibration::return_probes_pass_seccomp(self)
    }

    /// What the probes of one call of a function cost.
    pub fn price(&self, function: u32) -> Price {
        let function = self.functions.get(function as usize);
        function.map_or_else(Price::default, |function| self.calibration.price(function))
    }

    /// What [`Kernel::calibrate`] found; zeros before.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Whether the kernel tells where the stack of every thread is; else only that of the initial
    /// thread of each process may be known.
    pub fn knows_stacks(&self) -> bool {
        self.layout.thread.is_some() && !self.features.portable_programs
    }

    pub(super) fn arm(&mut self, armed: bool) -> Result<(), ProbeError> {
        self.settings.armed = u32::from(armed);
        self.write_settings()
    }

    /// Of goroutines that parked before, the end may have been missed.
    pub(super) fn forget_parked_until(&mut self, now_ns: u64) -> Result<(), ProbeError> {
        self.settings.parking_from_ns = now_ns;
        self.write_settings()
    }

    fn write_settings(&mut self) -> Result<(), ProbeError> {
        let layout = self.layout.thread.unwrap_or(ThreadLayout {
            fsbase: 0,
            mm: 0,
            start_stack: 0,
        });
        self.settings.fsbase_offset = layout.fsbase;
        self.settings.mm_offset = layout.mm;
        self.settings.start_stack_offset = layout.start_stack;
        self.control
            .set(0, self.settings, 0)
            .map_err(in_map("CONTROL"))
    }

    /// Writes the settings of one function as they are in `controls`.
    pub(super) fn write_control(&mut self, id: u32) -> Result<(), ProbeError> {
        let control = self.controls.get(id as usize).copied().unwrap_or_default();
        self.set_function_control(id, control)
    }

    pub(super) fn set_function_control(
        &mut self,
        id: u32,
        control: FunctionControl,
    ) -> Result<(), ProbeError> {
        self.function_controls
            .set(id, control, 0)
            .map_err(in_map("FUNCTIONS"))
    }

    /// Lists a process to trace, for [`Control::only_listed`].
    pub fn list(&mut self, pid: u32) -> Result<(), ProbeError> {
        self.processes
            .insert(pid, 1, 0)
            .map_err(in_map("PROCESSES"))
    }

    /// Watches forks, so that children of listed processes are listed too. Returns the offset for
    /// [`Control::fork_child_offset`].
    pub fn follow_forks(&mut self) -> Result<u32, ProbeError> {
        let offset = event_field_offset("sched_process_fork", "child_pid")?;
        trace(&mut self.ebpf, "process_fork", "sched_process_fork")?;
        Ok(offset)
    }

    /// Watches threads leave and get CPUs, for what they wait for inside traced functions, and who
    /// ends that. Completes `control`, which is to be put in force before anything is counted.
    pub fn sample_off_cpu(&mut self, control: &mut Control) -> Result<(), ProbeError> {
        if self.features.portable_programs {
            control.switch_next_offset = event_field_offset("sched_switch", "next_pid")?;
            control.switch_state_offset = event_field_offset("sched_switch", "prev_state")?;
            control.waking_pid_offset = event_field_offset("sched_waking", "pid")?;
            trace(&mut self.ebpf, THREAD_WAKING, "sched_waking")?;
            return trace(&mut self.ebpf, THREAD_SWITCH, "sched_switch");
        }
        let layout = self.layout.switches.ok_or(ProbeError::EventFormat {
            event: "sched_switch",
            field: "next",
        })?;
        control.task_pid_offset = layout.pid;
        control.switch_state_offset = layout.state;
        watch(&mut self.ebpf, THREAD_WAKING, "sched_waking")?;
        watch(&mut self.ebpf, THREAD_SWITCH, "sched_switch")
    }

    /// Sends copies of stacks, of at most `bytes` each, instead of walking frame pointers; 0 for
    /// the latter.
    pub fn copy_stacks(&mut self, bytes: u32) -> Result<(), ProbeError> {
        self.copied_bytes = bytes.min(MAX_COPY_BYTES as u32);
        self.write_copy_control()
    }

    /// Whether stacks come as copies.
    pub fn copies_stacks(&self) -> bool {
        self.copied_bytes > 0
    }

    /// Says how stacks are taken, and how to find what return probes hide, if there are any.
    pub(super) fn write_copy_control(&mut self) -> Result<(), ProbeError> {
        let mut control = CopyControl {
            bytes: self.copied_bytes,
            ..CopyControl::default()
        };
        let mut functions = self.functions.iter();
        let hidden = functions.any(|function| function.exit == ExitProbe::Uretprobe);
        if let Some(layout) = self.layout.return_probes.filter(|_| hidden) {
            control.find_hidden = 1;
            control.utask_offset = layout.utask;
            control.instances_offset = layout.instances;
            control.stack_offset = layout.stack;
            control.address_offset = layout.address;
            control.next_offset = layout.next;
        }
        self.copy.set(0, control, 0).map_err(in_map("COPY"))
    }

    /// Replaces the settings; whether calls are counted stays as it is.
    pub fn set_control(&mut self, control: Control) -> Result<(), ProbeError> {
        self.settings = Control {
            armed: self.settings.armed,
            parking_from_ns: self.settings.parking_from_ns,
            ..control
        };
        self.write_settings()
    }

    /// Calls of `function` at least this long are always recorded; `u64::MAX` for none.
    pub fn set_slow_ns(&mut self, function: u32, slow_ns: u64) -> Result<(), ProbeError> {
        let slow_ns = if slow_ns == u64::MAX {
            0
        } else {
            slow_ns.max(1)
        };
        match self.controls.get_mut(function as usize) {
            Some(control) if control.slow_ns != slow_ns => control.slow_ns = slow_ns,
            _ => return Ok(()),
        }
        self.write_control(function)
    }

    /// The ring buffer, which can be taken once.
    pub fn take_records(&mut self) -> Result<Records, ProbeError> {
        let ring = self.ring.take().ok_or(ProbeError::Missing("RECORDS"))?;
        Records::new(ring).map_err(ProbeError::Ring)
    }
}

fn map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, ProbeError>
where
    M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or(ProbeError::Missing(name))?;
    M::try_from(map).map_err(in_map(name))
}

pub(super) fn in_map(map: &'static str) -> impl FnOnce(aya::maps::MapError) -> ProbeError {
    move |source| ProbeError::Map { map, source }
}
