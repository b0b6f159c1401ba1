//! The kernel accepts monigo's programs. Needs root.

use monigo::{
    plan::{CostClass, FunctionPlan, Site, SiteKind},
    probe::{Kernel, LinkKind, PlannedFunction, Sizes},
    store::ExitProbe,
};

/// A function with a site for each role, so that every program is loaded.
fn function(exit: ExitProbe) -> PlannedFunction {
    let site = |address, kind| Site {
        address,
        file_offset: address,
        kind,
        cost: CostClass::SingleStep,
    };
    let plan = FunctionPlan {
        entry: site(1, SiteKind::Entry),
        exits: vec![site(2, SiteKind::Return)],
    };
    PlannedFunction {
        name: "f".into(),
        plans: vec![plan],
        go: false,
        exit,
    }
}

fn load(links: LinkKind) -> Kernel {
    let sizes = Sizes {
        functions: 2,
        owners: 1024,
        off_cpu: 64,
        ring_bytes: 1 << 20,
    };
    let functions = [function(ExitProbe::Ret), function(ExitProbe::Uretprobe)];
    Kernel::load(sizes, &functions, links).unwrap()
}

#[test]
fn call_programs_pass_the_verifier_for_either_link() {
    for links in [LinkKind::Best, LinkKind::Perf] {
        assert_eq!(load(links).counters(1).unwrap().entered, 0);
    }
}

#[test]
fn scheduler_and_clock_programs_pass_the_verifier() {
    let mut kernel = load(LinkKind::Best);
    kernel.list(std::process::id()).unwrap();
    let offset = kernel.follow_forks().unwrap();
    assert!(
        offset >= 8,
        "the common fields of an event take 8 bytes, child_pid is at {offset}"
    );
    kernel.sample_cpu(99).unwrap();
    let offset = kernel.sample_off_cpu().unwrap();
    assert!(
        offset >= 24,
        "next_pid comes after prev_comm and the common fields, it is at {offset}"
    );
}
