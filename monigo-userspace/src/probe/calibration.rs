//! What probes cost on this host: how much time each kind takes from the target, and how much of
//! it ends up in measured durations. Measured at start with monigo's own programs on functions of
//! monigo itself that do nothing.

mod probed;
mod seccomp;

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
    time::Instant,
};

use monigo_common::{
    config::{Control, FunctionControl, WATCH_COUNTED},
    open::OwnerKey,
};

pub use self::probed::PROBED;
use self::probed::{End, Label, PLAIN, Probed, probed};
pub(super) use self::seccomp::return_probes_pass_seccomp;
use super::{
    Kernel, PlannedFunction, ProbeError,
    links::{Links, Role, Selection},
    prices::Calibration,
};
use crate::{
    histogram::Histogram,
    plan::{CostClass, FunctionPlan, Site, SiteKind},
    store::ExitProbe,
    symbols::maps::ProcessMaps,
};

/// Calls of each function whose time is taken together.
const BATCH: u32 = 20;
/// Batches; the median counts.
const BATCHES: usize = 7;
/// Calls before measuring: the kernel optimises some probes when they are first hit.
const WARM_UP: u32 = 16;

impl Calibration {
    /// Measures with the programs of `kernel`, which is left as it was.
    pub(super) fn measure(kernel: &mut Kernel) -> Result<Self, ProbeError> {
        let functions = probed();
        let plain_ns = time_call(PLAIN);
        let first = kernel.room;
        let image = own_image()?;
        let planned = functions
            .iter()
            .map(|probed| planned(probed, &image))
            .collect::<Result<Vec<_>, _>>()?;
        let links = start(kernel, first, &planned, &functions)?;
        let times: Vec<f64> = functions
            .iter()
            .map(|probed| (time_call(probed.function) - plain_ns).max(0.0))
            .collect();
        let stopped = stop(kernel, links);
        let mut calibration = Self::default();
        for (index, (probed, cost_ns)) in functions.iter().zip(times).enumerate() {
            let from = probed.entry as usize;
            let cost_ns = cost_ns.round() as u32;
            let to = match probed.end {
                End::Site(_, _, class) => class as usize,
                End::ReturnProbe => usize::from(monigo_common::cookie::CLASS_RETURN_PROBE),
                End::NotSeen => {
                    for price in &mut calibration.prices[from] {
                        price.count_ns = cost_ns;
                    }
                    continue;
                }
            };
            let durations = durations(kernel, first + index as u32)?;
            if durations.total() == 0 {
                let text = format!("no call was measured ({index})");
                return Err(ProbeError::Calibration(text));
            }
            let [low, middle, high] = [0.1, 0.5, 0.85].map(|share| durations.percentile(share));
            let price = &mut calibration.prices[from][to];
            price.cost_ns = cost_ns;
            price.bias_ns = middle as u32;
            price.floor_ns = (high - low).max(LEAST_FLOOR_NS) as u32;
        }
        for row in &mut calibration.prices {
            // The kernel traps at a nop at the end as it does at a jump.
            row[CostClass::Nop5 as usize] = row[CostClass::Emulated as usize];
        }
        stopped?;
        Ok(calibration)
    }
}

/// Clocks and buckets are not finer than this.
const LEAST_FLOOR_NS: u64 = 50;

/// A function without sites. Ids are positions, so those before the calibrated ones need functions.
static NOTHING: LazyLock<PlannedFunction> = LazyLock::new(|| PlannedFunction {
    name: String::new(),
    image: Arc::from(Path::new("")),
    plans: Vec::new(),
    go: false,
    exit: ExitProbe::Ret,
    futures: Vec::new(),
    executions: false,
});

/// Probes the functions, which get ids from `first` on, and starts to count.
fn start(
    kernel: &mut Kernel,
    first: u32,
    planned: &[PlannedFunction],
    functions: &[Probed],
) -> Result<Vec<Links>, ProbeError> {
    for (id, probed) in (first..).zip(functions) {
        if matches!(probed.end, End::NotSeen) {
            let control = FunctionControl {
                watch: WATCH_COUNTED,
                ..FunctionControl::default()
            };
            kernel.set_function_control(id, control)?;
        }
    }
    let mut all = vec![NOTHING.clone(); first as usize];
    all.extend_from_slice(planned);
    let ids: Vec<u32> = (first..first + functions.len() as u32).collect();
    let mut links = Vec::new();
    for role in Role::ALL {
        let selection = Selection {
            functions: &all,
            ids: &ids,
            generation: 0,
            pid: Some(std::process::id()),
            futures: &kernel.future_sites,
        };
        links.push(kernel.programs.attach(&mut kernel.ebpf, role, selection)?);
    }
    kernel.set_control(Control::default())?;
    kernel.arm(true)?;
    Ok(links)
}

fn stop(kernel: &mut Kernel, links: Vec<Links>) -> Result<(), ProbeError> {
    let disarmed = kernel.arm(false);
    Links::detach_all(links.into_iter().rev().collect(), &mut kernel.ebpf);
    let own = std::process::id();
    let thread = nix::unistd::gettid().as_raw();
    kernel.forget(OwnerKey {
        pid: own,
        pad: 0,
        owner: thread as u64,
    });
    // It told of itself as a process that is followed.
    if let Some(ring) = &mut kernel.ring {
        while ring.next().is_some() {}
    }
    disarmed
}

/// Nanoseconds that a call takes: the median of some batches.
fn time_call(function: Label) -> f64 {
    let run = |calls: u32| {
        let started = Instant::now();
        for _ in 0..calls {
            // SAFETY: the functions above do nothing and keep all registers that they must.
            unsafe { function() };
        }
        started.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    run(WARM_UP);
    let mut times: Vec<f64> = (0..BATCHES).map(|_| run(BATCH)).collect();
    times.sort_by(f64::total_cmp);
    times[BATCHES / 2]
}

/// Completed calls by bucket.
fn durations(kernel: &Kernel, function: u32) -> Result<Histogram, ProbeError> {
    let mut histogram = Histogram::default();
    kernel.histograms(function, |_, buckets| {
        for (bucket, &count) in (0..).zip(&buckets.counts) {
            histogram.add(bucket, count.into());
        }
    })?;
    Ok(histogram)
}

fn planned(probed: &Probed, image: &ProcessMaps) -> Result<PlannedFunction, ProbeError> {
    let site = |label: Label, kind, cost| {
        let address = address_of(label);
        Ok(Site {
            address,
            file_offset: file_offset(image, address)?,
            kind,
            cost,
        })
    };
    let entry = site(probed.function, SiteKind::Entry, probed.entry)?;
    let exits = match probed.end {
        End::Site(label, kind, cost) => vec![site(label, kind, cost)?],
        End::ReturnProbe | End::NotSeen => Vec::new(),
    };
    Ok(PlannedFunction {
        name: "calibration".to_owned(),
        image: Arc::from(Path::new("/proc/self/exe")),
        plans: vec![FunctionPlan { entry, exits }],
        go: false,
        exit: match probed.end {
            End::ReturnProbe => ExitProbe::Uretprobe,
            End::Site(..) | End::NotSeen => ExitProbe::Ret,
        },
        futures: Vec::new(),
        executions: false,
    })
}

fn address_of(label: Label) -> u64 {
    label as *const () as u64
}

/// What this process maps.
fn own_image() -> Result<ProcessMaps, ProbeError> {
    let failed = |error| ProbeError::Calibration(format!("/proc/self/maps: {error}"));
    let text = fs::read("/proc/self/maps").map_err(failed)?;
    Ok(ProcessMaps::parse(std::process::id(), &text))
}

/// Where in monigo's own file the code at an address is.
fn file_offset(maps: &ProcessMaps, address: u64) -> Result<u64, ProbeError> {
    let mapping = maps.find(address);
    let offset = mapping.and_then(|mapping| mapping.offset_of(address));
    offset.ok_or_else(|| {
        ProbeError::Calibration("monigo's own code is not in /proc/self/maps".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_is_found_in_the_file() {
        let image = own_image().unwrap();
        let offset = file_offset(&image, address_of(probed()[1].function)).unwrap();
        let file = fs::read("/proc/self/exe").unwrap();
        assert_eq!(
            file[offset as usize..][..3],
            [0x53, 0x5b, 0xc3],
            "push rbx; pop rbx; ret"
        );
    }

    #[test]
    fn the_functions_can_be_called() {
        assert!(time_call(PLAIN) >= 0.0);
        for probed in probed() {
            assert!(time_call(probed.function) >= 0.0);
        }
    }
}
