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
        off_cpu: 64,
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
    kernel.sample_cpu(99).unwrap();
    let offset = kernel.sample_off_cpu().unwrap();
    assert!(
        offset >= 24,
        "next_pid comes after prev_comm and the common fields, it is at {offset}"
    );
    assert_eq!(kernel.counters(1).unwrap().entered, 0);
}
