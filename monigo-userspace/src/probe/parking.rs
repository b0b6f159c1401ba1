//! Probes on Go's scheduler, which parks goroutines without a thread switch.

use std::{num::NonZeroU32, path::Path, sync::Arc};

use aya::programs::{
    UProbe,
    uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope},
};
use monigo_common::cookie::{Cookie, FLAG_CONDITIONAL, FLAG_FRAME_POINTER};

use super::{
    Kernel, ProbeError,
    changes::close_aside,
    links::Programs,
    multi::MultiLink,
    programs::{load, program},
    windows::monotonic_ns,
};
use crate::plan::{Frame, FunctionPlan, Site, SiteKind};

const PARK: &str = "go_park";
const UNPARK: &str = "go_unpark";
const READY: &str = "go_ready";
const GIVE_WAY: &str = "go_give_way";
const EXECUTE: &str = "go_execute";
/// All of them.
pub(super) const PROGRAMS: [&str; 5] = [UNPARK, READY, PARK, EXECUTE, GIVE_WAY];

/// Where a Go program parks goroutines and makes them ready again.
#[derive(Clone, Debug)]
pub struct Parking {
    /// File to open.
    pub image: Arc<Path>,
    /// `runtime.gopark`.
    pub park: FunctionPlan,
    /// `runtime.ready`; without it, who ends a wait is not known, and neither is for how long a
    /// goroutine could have run.
    pub ready: Option<FunctionPlan>,
    /// Where goroutines begin and end to wait for their turn; without it, that time is not known.
    pub turns: Option<Turns>,
}

/// How the scheduler takes turns with goroutines that can run.
#[derive(Clone, Debug)]
pub struct Turns {
    /// Functions that put the goroutine in their first argument into a queue.
    pub give_way: Vec<FunctionPlan>,
    /// `runtime.execute`, which lets one run.
    pub execute: FunctionPlan,
}

impl Programs {
    /// Attaches programs on Go's scheduler, each to its sites: offsets in `image`, and cookies. `None` where
    /// perf events are the way.
    fn attach_scheduler(
        &self,
        image: &Path,
        sites: &[(&'static str, (u64, u64))],
        pid: Option<u32>,
    ) -> Option<Vec<MultiLink>> {
        let mut links = Vec::new();
        for (name, program) in &self.scheduler {
            let own = sites.iter().filter(|(of, _)| of == name);
            let own: Vec<(u64, u64)> = own.map(|(_, site)| *site).collect();
            if own.is_empty() {
                continue;
            }
            match program.attach(image, &own, pid) {
                Ok(link) => links.push(link),
                Err(error) => {
                    tracing::info!("links on Go's scheduler were refused: {error}");
                    return None;
                }
            }
        }
        (!links.is_empty()).then_some(links)
    }
}

/// Probes on Go's scheduler, in place or not.
#[derive(Debug)]
pub(super) struct ParkingProbes {
    parking: Parking,
    /// Only this process is probed.
    pid: Option<u32>,
    /// What one takes when it fires, ns on average; 0 when not measured.
    price_ns: u32,
    links: Option<ParkingLinks>,
}

#[derive(Debug)]
enum ParkingLinks {
    /// One for each program.
    Multi(Vec<MultiLink>),
    /// Perf events, each with its program.
    Single(Vec<(&'static str, UProbeLinkId)>),
}

impl Kernel {
    /// Watches goroutines park, for what they wait for inside traced functions. `pid` restricts the
    /// probes to one process.
    pub fn watch_parking(&mut self, parking: Parking, pid: Option<u32>) -> Result<(), ProbeError> {
        let links = self.link_parking(&parking, pid)?;
        self.parking = Some(ParkingProbes {
            price_ns: self.calibration().price_of_parking(&parking),
            parking,
            pid,
            links: Some(links),
        });
        Ok(())
    }

    /// What a probe on the scheduler takes when it fires, ns on average; 0 when not measured, and
    /// `None` when there are none.
    pub fn park_probe_ns(&self) -> Option<u32> {
        self.parking.as_ref().map(|probes| probes.price_ns)
    }

    /// Puts the probes on the scheduler back in place, if there are any.
    pub fn resume_parking(&mut self) -> Result<(), ProbeError> {
        let Some(mut probes) = self.parking.take() else {
            return Ok(());
        };
        let resumed = if probes.links.is_none() {
            // First: what was noted of parks that ended unseen must be void when the first end is seen.
            self.forget_parked_until(monotonic_ns())
                .and_then(|()| self.link_parking(&probes.parking, probes.pid))
                .map(|links| probes.links = Some(links))
        } else {
            Ok(())
        };
        self.parking = Some(probes);
        resumed
    }

    /// Takes the probes on the scheduler away, until they are put back.
    pub fn pause_parking(&mut self) {
        let links = self.parking.as_mut().and_then(|probes| probes.links.take());
        match links {
            Some(ParkingLinks::Multi(links)) => links.into_iter().rev().for_each(close_aside),
            Some(ParkingLinks::Single(links)) => self.unlink_single(links),
            None => {}
        }
    }

    fn unlink_single(&mut self, links: Vec<(&'static str, UProbeLinkId)>) {
        for (name, link) in links.into_iter().rev() {
            let program = program::<UProbe>(&mut self.ebpf, name);
            // A link that is already gone is what we want.
            if let Some(link) = program
                .ok()
                .and_then(|program| program.take_link(link).ok())
            {
                close_aside(link);
            }
        }
    }

    fn link_parking(
        &mut self,
        parking: &Parking,
        pid: Option<u32>,
    ) -> Result<ParkingLinks, ProbeError> {
        let ready = parking.ready.iter().map(|plan| &plan.entry);
        let turns = parking.turns.as_ref();
        let execute = turns.iter().map(|turns| (EXECUTE, &turns.execute.entry));
        let give_way = turns.iter().flat_map(|turns| &turns.give_way);
        // Ends first, as with calls.
        let sites: Vec<(&'static str, &Site)> =
            (parking.park.exits.iter().map(|site| (UNPARK, site)))
                .chain(ready.map(|site| (READY, site)))
                .chain([(PARK, &parking.park.entry)])
                .chain(execute)
                .chain(give_way.map(|plan| (GIVE_WAY, &plan.entry)))
                .collect();
        let pairs: Vec<_> = sites
            .iter()
            .map(|(name, site)| (*name, (site.file_offset, cookie(site).pack())))
            .collect();
        if let Some(links) = self.programs.attach_scheduler(&parking.image, &pairs, pid) {
            return Ok(ParkingLinks::Multi(links));
        }
        let mut links = Vec::new();
        for (name, site) in sites {
            match self.link_single(&parking.image, name, site, pid) {
                Ok(link) => links.push((name, link)),
                Err(error) => {
                    self.unlink_single(links);
                    return Err(error);
                }
            }
        }
        Ok(ParkingLinks::Single(links))
    }

    fn link_single(
        &mut self,
        image: &Path,
        name: &'static str,
        site: &Site,
        pid: Option<u32>,
    ) -> Result<UProbeLinkId, ProbeError> {
        load(&mut self.ebpf, name)?;
        let point = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
            cookie: Some(cookie(site).pack()),
        };
        let scope = pid
            .and_then(NonZeroU32::new)
            .map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
        program::<UProbe>(&mut self.ebpf, name)?
            .attach(point, image, scope)
            .map_err(|source| ProbeError::Attach {
                function: "runtime.gopark".to_owned(),
                path: image.to_path_buf(),
                offset: site.file_offset,
                source: Box::new(source),
            })
    }
}

fn cookie(site: &Site) -> Cookie {
    let (condition, frame) = match site.kind {
        SiteKind::Epilogue { condition, frame } => (condition, frame),
        SiteKind::ConditionalTailJump { condition } => (Some(condition), Frame::StackPointer(0)),
        _ => (None, Frame::StackPointer(0)),
    };
    let (base, words) = match frame {
        Frame::StackPointer(words) => (0, words),
        Frame::FramePointer(words) => (FLAG_FRAME_POINTER, words),
    };
    let conditional = if condition.is_some() {
        FLAG_CONDITIONAL
    } else {
        0
    };
    Cookie {
        function: 0,
        flags: base | conditional,
        condition: condition.unwrap_or(0),
        class: site.cost as u8,
        words,
    }
}
