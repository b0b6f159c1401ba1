//! The kernel accepts monigo's programs. Needs root.

use monigo::probe::{Kernel, LinkKind, Sizes};

fn load(links: LinkKind) -> Kernel {
    let sizes = Sizes {
        functions: 2,
        owners: 1024,
        off_cpu: 64,
        ring_bytes: 1 << 20,
    };
    Kernel::load(sizes, links).unwrap()
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

#[test]
fn probes_are_priced_on_this_host() {
    for links in [LinkKind::Best, LinkKind::Perf] {
        let mut kernel = load(links);
        kernel.calibrate().unwrap();
        let costs = kernel.calibration().costs();
        for entry in 0..3 {
            // Exit classes: emulated, single-step, return probe.
            for exit in 1..4 {
                let (bias, cost) = (costs.bias_ns[entry][exit], costs.cost_ns[entry][exit]);
                assert!(
                    bias > 0 && bias < cost,
                    "{entry} {exit}: {bias} of {cost} ns"
                );
            }
        }
        assert_eq!(kernel.counters(0).unwrap().entered, 0);
        assert!(kernel.owners(8).is_empty(), "monigo itself is not traced");
    }
}
