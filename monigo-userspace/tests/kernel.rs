//! The kernel accepts monigo's programs. Needs root.

use monigo::{
    probe::{Kernel, PlannedFunction, Sizes},
    store::ExitProbe,
};

#[test]
fn every_program_passes_the_verifier() {
    let function = |exit| PlannedFunction {
        name: "f".into(),
        plans: Vec::new(),
        go: false,
        exit,
    };
    let sizes = Sizes {
        functions: 2,
        owners: 1024,
        ring_bytes: 1 << 20,
    };
    let mut kernel = Kernel::load(
        sizes,
        &[function(ExitProbe::Ret), function(ExitProbe::Uretprobe)],
    )
    .unwrap();
    kernel.list(std::process::id()).unwrap();
    let offset = kernel.follow_forks().unwrap();
    assert!(
        offset >= 8,
        "the common fields of an event take 8 bytes, child_pid is at {offset}"
    );
    assert_eq!(kernel.counters(1).unwrap().entered, 0);
}
