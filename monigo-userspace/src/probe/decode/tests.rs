use monigo_common::event::{MAX_WAKER_FRAMES, MAX_WAKER_KERNEL_FRAMES};
use proptest::prelude::*;

use super::*;

fn bytes_of<T>(value: &T) -> Vec<u8> {
    let start = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: plain data without padding.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
}

fn with_stack(frames: &[u64], return_address: u64) -> CallRecordWithStack {
    let mut record = CallRecordWithStack {
        call: CallRecord {
            kind: KIND_CALL_WITH_STACK,
            function: 3,
            ..CallRecord::default()
        },
        stack_bytes: frames.len() as i64 * 8,
        return_address,
        frames: [0; MAX_FRAMES],
    };
    record.frames[..frames.len()].copy_from_slice(frames);
    record
}

fn stack(record: &CallRecordWithStack) -> Option<Vec<u64>> {
    match decode(&bytes_of(record)) {
        Ok(Record::Call { stack, .. }) => stack.map(|stack| stack.addresses),
        other => panic!("{other:?}"),
    }
}

#[test]
fn processes_are_told() {
    let record = monigo_common::event::ProcessRecord {
        kind: KIND_PROCESS,
        pid: 77,
    };
    let bytes = bytes_of(&record);
    assert_eq!(item(&bytes), Ok(Item::Process(77)));
    let short = RecordError::Kind(KIND_PROCESS);
    assert_eq!(item(&bytes[..4]), Err(short));
}

#[test]
fn caller_is_spliced_in_once() {
    assert_eq!(stack(&with_stack(&[1, 3, 4], 2)), Some(vec![1, 2, 3, 4]));
    assert_eq!(stack(&with_stack(&[1, 2, 3], 2)), Some(vec![1, 2, 3]));
}

#[test]
fn failed_walk_has_no_stack() {
    let mut record = with_stack(&[], 2);
    record.stack_bytes = -14;
    assert_eq!(stack(&record), None);
}

fn sample_bytes(head: SampleHead, callers: &[Caller], addresses: &[u64]) -> Vec<u8> {
    let mut bytes = bytes_of(&head);
    bytes.extend(callers.iter().flat_map(bytes_of));
    bytes.extend(addresses.iter().flat_map(|address| address.to_ne_bytes()));
    bytes
}

const CALLER: Caller = Caller {
    function: 9,
    above: 16,
    start_ns: 2,
};

#[test]
fn a_sample_has_what_was_walked() {
    let mut head = SampleHead {
        kind: KIND_SAMPLE_OFF_CPU,
        function: 1,
        pid: 2,
        tid: 3,
        at_ns: 4,
        weight_ns: 5,
        call_start_ns: 6,
        return_address: 20,
        user_bytes: 24,
        kernel_bytes: -14,
        away_ns: 10,
        woken_ns: 8,
        owner: 3,
        caller_count: 1,
        ..SampleHead::default()
    };
    let user = [10, 20, 0];
    let expected = Sample {
        kind: SampleKind::OffCpu,
        function: 1,
        pid: 2,
        tid: 3,
        goid: 0,
        at_ns: 4,
        weight_ns: 5,
        away_ns: 10,
        call_start_ns: 6,
        callers: vec![CALLER],
        owner: 3,
        // Six of ten, of which the sample stands for five.
        runnable_ns: 3,
        preempted: false,
        halt: None,
        return_address: Some(20),
        kernel: vec![],
        user: vec![10, 20],
        copied: false,
        cut: false,
    };
    let bytes = sample_bytes(head, &[CALLER], &user);
    assert_eq!(decode(&bytes), Ok(Record::Sample(expected.clone())));

    // More than there is room for.
    head.kernel_bytes = i64::MAX;
    head.kind = KIND_SAMPLE_CPU;
    head.return_address = 0;
    let mut addresses = user.to_vec();
    addresses.extend([9; MAX_KERNEL_FRAMES + 1]);
    let full = Sample {
        kind: SampleKind::Cpu,
        return_address: None,
        kernel: vec![9; MAX_KERNEL_FRAMES],
        ..expected.clone()
    };
    let bytes = sample_bytes(head, &[CALLER], &addresses);
    assert_eq!(decode(&bytes), Ok(Record::Sample(full.clone())));

    // It waited for its turn.
    head.reason = GAVE_WAY;
    let waited = Sample {
        halt: Some(Halt::GaveWay),
        ..full
    };
    let bytes = sample_bytes(head, &[CALLER], &addresses);
    assert_eq!(decode(&bytes), Ok(Record::Sample(waited)));

    head.reason = 0;
    head.kind = KIND_SAMPLE_PARKED;
    head.kernel_bytes = 0;
    head.park_return = 15;
    head.preempted = 1;
    head.caller_count = u32::MAX;
    let parked = Sample {
        callers: vec![CALLER; MAX_CALLERS],
        runnable_ns: 5,
        preempted: true,
        halt: Some(Halt::Parked(0)),
        return_address: None,
        user: vec![10, 15, 20],
        ..expected
    };
    let mut callers = [CALLER; MAX_CALLERS];
    let bytes = sample_bytes(head, &callers, &user);
    assert_eq!(decode(&bytes), Ok(Record::Sample(parked.clone())));

    // One of the calls around may be over.
    callers[1].function = NO_FUNCTION;
    let fewer = Sample {
        callers: vec![CALLER; MAX_CALLERS - 1],
        ..parked
    };
    let bytes = sample_bytes(head, &callers, &user);
    assert_eq!(decode(&bytes), Ok(Record::Sample(fewer)));
}

#[test]
fn a_sample_does_not_end_before_its_last_word() {
    let head = SampleHead {
        kind: KIND_SAMPLE_CPU,
        caller_count: 1,
        user_bytes: 16,
        kernel_bytes: 8,
        ..SampleHead::default()
    };
    let bytes = sample_bytes(head, &[CALLER], &[10, 20, 30, 40]);
    let whole = bytes.len() - 8;
    for length in 4..whole {
        let short = RecordError::Length {
            kind: KIND_SAMPLE_CPU,
            bytes: length,
        };
        assert_eq!(decode(&bytes[..length]), Err(short));
    }
    // There may be room behind it.
    for length in whole..=bytes.len() {
        let Ok(Record::Sample(sample)) = decode(&bytes[..length]) else {
            panic!("{length} bytes are enough");
        };
        assert_eq!(sample.callers, [CALLER]);
        assert_eq!(sample.user, [10, 20]);
        assert_eq!(sample.kernel, [30]);
    }
}

#[test]
fn a_waker_has_a_name() {
    let mut record = WakerRecord {
        kind: KIND_WAKER,
        pid: 1,
        tid: 2,
        pad: 0,
        owner: 3,
        since_ns: 4,
        goid: 0,
        name: [0; 16],
        user_bytes: 8,
        kernel_bytes: -14,
        user: [7; MAX_WAKER_FRAMES],
        kernel: [9; MAX_WAKER_KERNEL_FRAMES],
    };
    record.name[..4].copy_from_slice(b"work");
    let expected = WakerSeen {
        pid: 1,
        tid: 2,
        goid: 0,
        name: "work".to_owned(),
        owner: 3,
        since_ns: 4,
        kernel: vec![],
        user: vec![7],
    };
    assert_eq!(decode(&bytes_of(&record)), Ok(Record::Waker(expected)));
}

#[test]
fn wrong_shapes_are_refused() {
    assert_eq!(decode(&[]), Err(RecordError::Length { kind: 0, bytes: 0 }));
    assert_eq!(decode(&[99, 0, 0, 0]), Err(RecordError::Kind(99)));
    assert_eq!(
        decode(&[1, 0, 0, 0]),
        Err(RecordError::Length { kind: 1, bytes: 4 })
    );
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1700)) {
        let _ = decode(&bytes);
    }
}
