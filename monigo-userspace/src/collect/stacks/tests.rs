//! Stacks as they are named and interned.

use super::*;
use crate::store::SampleKind;

struct Fake;

impl Resolve for Fake {
    fn resolve(&mut self, _pid: u32, address: u64, site: Site) -> Option<Vec<Frame>> {
        // Only where it matters here, so that names stay those of the addresses given.
        let behind = address == 110 && site == Site::Return;
        let address = address - u64::from(behind);
        let frame = |name: &str, inlined| Frame {
            function: format!("{name}{address}"),
            image: "a".into(),
            address,
            file: None,
            line: None,
            inlined,
            kernel: false,
        };
        (address != 0).then(|| vec![frame("inner", true), frame("outer", false)])
    }

    fn skipped_caller(&mut self, _pid: u32, address: u64, walked: u64) -> Option<u64> {
        (address == 60).then_some(walked + 1)
    }

    fn remember(&mut self, _pid: u32, _maps: ProcessMaps) {}

    fn kernel(&mut self, address: u64) -> Frame {
        let name = match address {
            990 => "bpf_prog_0123456789abcdef_thread_switch".to_owned(),
            991.. => "bpf_trace_run4".to_owned(),
            _ => format!("kernel{address}"),
        };
        frame(&name, address, true)
    }

    fn forget(&mut self, _pid: u32) {}
}

fn frame(name: &str, address: u64, kernel: bool) -> Frame {
    Frame {
        function: name.to_owned(),
        image: if kernel { "[kernel]" } else { "a" }.to_owned(),
        address,
        file: None,
        line: None,
        inlined: false,
        kernel,
    }
}

fn traced() -> Traced {
    Traced {
        frame: frame("traced", 100, false),
        ranges: std::iter::once(100..110).collect(),
    }
}

fn sample(kernel: &[u64], user: &[u64], return_address: Option<u64>) -> Sample {
    Sample {
        kind: SampleKind::OffCpu,
        function: 0,
        pid: 1,
        tid: 1,
        goid: 0,
        at_ns: 0,
        weight_ns: 1,
        away_ns: 0,
        call_start_ns: 0,
        callers: vec![],
        owner: 1,
        runnable_ns: 0,
        preempted: false,
        halt: None,
        return_address,
        kernel: kernel.to_vec(),
        user: user.to_vec(),
        copied: false,
        cut: false,
    }
}

/// Names of the frames of a sample's stack inside `traced`, whose code is at 100 to 110.
fn names(kernel: &[u64], user: &[u64], return_address: Option<u64>) -> (Vec<String>, bool) {
    let traced = traced();
    let sample = sample(kernel, user, return_address);
    let mut table = StackTable::default();
    let first = table.intern_sample(&mut Fake, Some(&traced), &sample);
    assert_eq!(
        table.intern_sample(&mut Fake, Some(&traced), &sample),
        first
    );
    let (frames, stacks) = table.pending();
    let name = |id: &u64| {
        let new = frames.iter().find(|new| new.id == *id);
        new.map_or_else(String::new, |new| new.frame.function.clone())
    };
    let outer = |name: &String| !name.starts_with("inner");
    let names = stacks[0].frames.iter().map(name).filter(outer).collect();
    (names, stacks[0].truncated)
}

#[test]
fn a_sample_has_the_kernel_then_the_function_then_its_callers() {
    let (names, truncated) = names(&[901, 902], &[50, 105, 200, 300], Some(200));
    let expected = [
        "kernel901",
        "kernel901",
        "outer50",
        "outer105",
        "outer200",
        "outer300",
    ];
    assert_eq!(names, expected);
    assert!(!truncated);
}

/// The stack of a thread that leaves its CPU is taken by a program of monigo.
#[test]
fn what_tracing_adds_on_top_is_left_out() {
    let names = names(&[990, 992, 901, 992], &[105, 200], Some(200)).0;
    let expected = ["kernel900", "bpf_trace_run4", "outer105", "outer200"];
    assert_eq!(names, expected);
}

#[test]
fn a_thread_at_the_breakpoint_of_a_return_is_inside() {
    let address = names(&[], &[110, 200, 300], Some(200)).0;
    assert_eq!(address, ["outer109", "outer200", "outer300"]);
}

/// It has no frame, so its caller is missing in the walk, be that the function or not.
#[test]
fn the_caller_of_assembly_is_put_in() {
    let inner = names(&[], &[60, 70, 105, 200], Some(200)).0;
    let expected = ["outer60", "outer71", "outer70", "outer105", "outer200"];
    assert_eq!(inner, expected);
    let function = names(&[], &[60, 104, 300], Some(104)).0;
    assert_eq!(function, ["outer60", "outer105", "outer104", "outer300"]);
    let (alone, _) = names(&[], &[60], None);
    assert_eq!(alone, ["outer60"]);
}

#[test]
fn a_function_that_the_walk_skips_is_put_in() {
    let (with, truncated) = names(&[], &[50, 200, 300], Some(200));
    assert_eq!(with, ["outer50", "traced", "outer200", "outer300"]);
    assert!(!truncated);
    // Nothing that was walked is known to be right but where it was.
    let (cut, truncated) = names(&[], &[50, 77, 88], Some(200));
    assert_eq!(cut, ["outer50", "traced", "outer200"]);
    assert!(truncated);
    let (failed, truncated) = names(&[901], &[], Some(200));
    assert_eq!(failed, ["kernel901", "traced", "outer200"]);
    assert!(truncated);
}

#[test]
fn a_caller_that_the_walk_skips_is_put_in() {
    let (names, truncated) = names(&[], &[101, 300], Some(200));
    assert_eq!(names, ["outer101", "outer200", "outer300"]);
    assert!(!truncated);
}

#[test]
fn without_a_return_address_a_sample_is_as_walked() {
    assert_eq!(names(&[], &[50, 60], None).0, ["outer50", "outer60"]);
}

#[test]
fn each_stack_and_frame_is_new_once() {
    let mut table = StackTable::default();
    let traced = traced();
    let first = table.intern(&mut Fake, 1, 0, &traced, &[20], false);
    assert_eq!(table.intern(&mut Fake, 1, 0, &traced, &[20], false), first);
    let other = table.intern(&mut Fake, 2, 0, &traced, &[20], false);
    assert_eq!(other, first, "same frames, other process");
    let (frames, stacks) = table.pending();
    let names: Vec<_> = frames
        .iter()
        .map(|new| new.frame.function.as_str())
        .collect();
    assert_eq!(names, ["traced", "inner20", "outer20"]);
    assert_eq!(
        stacks,
        [NewStack {
            id: 1,
            frames: vec![1, 2, 3],
            truncated: false
        }]
    );
    table.stored();
    assert_ne!(table.intern(&mut Fake, 1, 0, &traced, &[30], false), first);
    assert_eq!(table.pending().1.len(), 1);
}

#[test]
fn walk_that_goes_astray_is_cut() {
    let mut table = StackTable::default();
    table.intern(&mut Fake, 1, 0, &traced(), &[0, 20], false);
    assert_eq!(
        table.pending().1,
        [NewStack {
            id: 1,
            frames: vec![1],
            truncated: true
        }]
    );
}

#[test]
fn a_whole_stack_without_the_function_is_of_no_call() {
    let traced = traced();
    let whole = |user: &[u64], return_address| Sample {
        copied: true,
        ..sample(&[], user, return_address)
    };
    let mut table = StackTable::default();
    let mut intern = |sample: &Sample| table.intern_sample(&mut Fake, Some(&traced), sample);
    // Something else was called from where the function had been called.
    let other = whole(&[50, 60, 200, 300], Some(200));
    for _ in 0..2 {
        assert_eq!(intern(&other), SampleStack::WithoutFunction);
    }
    let inside = intern(&whole(&[50, 105, 200, 300], Some(200)));
    assert!(matches!(inside, SampleStack::Interned(_)), "{inside:?}");
    // Not known where it was called from.
    assert_eq!(
        intern(&whole(&[50, 60, 300], None)),
        SampleStack::WithoutFunction
    );
    for known in [
        whole(&[50, 105, 300], None),
        // At the copy of an instruction under a probe, which has no name.
        whole(&[0, 200], Some(200)),
        // Part of the stack may be missing.
        Sample {
            cut: true,
            ..other.clone()
        },
    ] {
        let stack = intern(&known);
        assert!(matches!(stack, SampleStack::Interned(_)), "{known:?}");
    }
}

#[test]
fn what_was_deleted_from_the_store_gets_new_ids_when_it_comes_again() {
    let traced = traced();
    let mut table = StackTable::default();
    let intern = |table: &mut StackTable, callers: &[u64]| {
        table
            .intern(&mut Fake, 1, 0, &traced, callers, false)
            .expect("room")
    };
    let (one, two) = (intern(&mut table, &[20, 30]), intern(&mut table, &[20, 40]));
    table.stored();
    let frames_of = |table: &StackTable, id: u64| {
        let (_, stacks) = table.pending();
        let stack = stacks.iter().find(|stack| stack.id == id);
        stack.map(|stack| stack.frames.clone()).unwrap_or_default()
    };
    // The frames of 30; those of 20 are in the other, too.
    let gone = Forgotten {
        stacks: vec![one],
        frames: vec![4, 5],
    };
    table.drop_ids(&gone);
    assert_eq!(intern(&mut table, &[20, 40]), two, "is still there");
    assert!(table.pending().1.is_empty());
    let again = intern(&mut table, &[20, 30]);
    assert!(again > two, "{again}");
    let frames = frames_of(&table, again);
    assert_eq!(frames[..3], [1, 2, 3], "those are still there");
    let new: Vec<u64> = table.pending().0.iter().map(|new| new.id).collect();
    assert_eq!(frames[3..], new, "stored again");
    assert!(new.iter().all(|id| *id > 7), "{new:?}");
    assert_eq!(table.wait(again), table.wait(two));
}
