use monigo_common::event::MAX_CALLERS;
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

#[test]
fn a_sample_has_what_was_walked() {
    let mut record = SampleRecord {
        kind: KIND_SAMPLE_OFF_CPU,
        function: 1,
        pid: 2,
        tid: 3,
        goid: 0,
        at_ns: 4,
        weight_ns: 5,
        call_start_ns: 6,
        return_address: 20,
        away_ns: 10,
        woken_ns: 8,
        owner: 3,
        park_return: 0,
        reason: 0,
        preempted: 0,
        caller_count: 1,
        pad: 0,
        callers: [Caller {
            function: 9,
            above: 16,
            start_ns: 2,
        }; MAX_CALLERS],
        user_bytes: 24,
        kernel_bytes: -14,
        user: [9; MAX_FRAMES],
        kernel: [9; MAX_KERNEL_FRAMES],
    };
    record.user[..3].copy_from_slice(&[10, 20, 0]);
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
        callers: vec![record.callers[0]],
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
    assert_eq!(
        decode(&bytes_of(&record)),
        Ok(Record::Sample(expected.clone()))
    );
    record.kernel_bytes = i64::MAX;
    record.kind = KIND_SAMPLE_CPU;
    record.return_address = 0;
    let full = Sample {
        kind: SampleKind::Cpu,
        return_address: None,
        kernel: vec![9; MAX_KERNEL_FRAMES],
        ..expected.clone()
    };
    assert_eq!(decode(&bytes_of(&record)), Ok(Record::Sample(full.clone())));

    // It waited for its turn.
    record.reason = GAVE_WAY;
    let waited = Sample {
        halt: Some(Halt::GaveWay),
        ..full
    };
    assert_eq!(decode(&bytes_of(&record)), Ok(Record::Sample(waited)));

    record.reason = 0;
    record.kind = KIND_SAMPLE_PARKED;
    record.kernel_bytes = 0;
    record.park_return = 15;
    record.preempted = 1;
    record.caller_count = u32::MAX;
    let parked = Sample {
        callers: record.callers.to_vec(),
        runnable_ns: 5,
        preempted: true,
        halt: Some(Halt::Parked(0)),
        return_address: None,
        user: vec![10, 15, 20],
        ..expected
    };
    assert_eq!(
        decode(&bytes_of(&record)),
        Ok(Record::Sample(parked.clone()))
    );

    // One of the calls around may be over.
    record.callers[1].function = NO_FUNCTION;
    let fewer = Sample {
        callers: vec![record.callers[0]; MAX_CALLERS - 1],
        ..parked
    };
    assert_eq!(decode(&bytes_of(&record)), Ok(Record::Sample(fewer)));
}

#[test]
fn a_sample_may_end_with_its_last_address() {
    // SAFETY: every bit pattern is a valid record.
    let mut record: SampleRecord = unsafe { std::mem::zeroed() };
    record.kind = KIND_SAMPLE_CPU;
    record.user_bytes = 16;
    record.user[..3].copy_from_slice(&[10, 20, 30]);
    let bytes = bytes_of(&record);
    let whole = offset_of!(SampleRecord, user) + 16;
    match decode(&bytes[..whole]) {
        Ok(Record::Sample(sample)) => assert_eq!(sample.user, [10, 20]),
        other => panic!("{other:?}"),
    }
    let short = RecordError::Length {
        kind: KIND_SAMPLE_CPU,
        bytes: whole - 8,
    };
    assert_eq!(decode(&bytes[..whole - 8]), Err(short));
    // The kernel's come behind all that there is room for.
    record.kernel_bytes = 8;
    let bytes = bytes_of(&record);
    assert!(decode(&bytes[..whole]).is_err());
    assert!(decode(&bytes).is_ok());
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
