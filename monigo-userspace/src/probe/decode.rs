//! Bytes from the ring buffer to records, checked.

use monigo_common::copy::{KIND_CALL_COPIED, KIND_STACK_COPY, STACK_COPIED};
pub use monigo_common::event::Caller;
use monigo_common::event::{
    CALLER_WORDS, CallRecord, CallRecordWithStack, GAVE_WAY, KIND_CALL, KIND_CALL_WITH_STACK,
    KIND_EXECUTION_WITH_STACK, KIND_PROCESS, KIND_SAMPLE_CPU, KIND_SAMPLE_OFF_CPU,
    KIND_SAMPLE_PARKED, KIND_WAKER, MAX_CALLERS, MAX_FRAMES, MAX_KERNEL_FRAMES, NO_FUNCTION,
    SampleHead, WakerRecord,
};

use super::StackCopy;
use crate::store::SampleKind;

/// What lies in the ring buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Record),
    /// The stack of the next record of its thread.
    Copy(StackCopy<'a>),
    /// This process makes a call that is followed, for the first time.
    Process(u32),
}

/// What the kernel side sent; times are `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// One call.
    Call {
        /// The call.
        call: CallRecord,
        /// `None` when no stack was taken, or when it comes as a copy.
        stack: Option<CallStack>,
    },
    /// What happened inside a call.
    Sample(Sample),
    /// Who ended a wait; its sample comes later.
    Waker(WakerSeen),
}

/// The stack of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStack {
    /// The exit site, then return addresses, innermost first.
    pub addresses: Vec<u64>,
    /// The stack is known to go on.
    pub cut: bool,
}

/// What Go's scheduler did with a goroutine that did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Parked it, for a reason as the runtime numbers them.
    Parked(u32),
    /// Let others run first.
    GaveWay,
}

/// What a thread or goroutine did or waited for inside a traced function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it is about.
    pub kind: SampleKind,
    /// Function index of the innermost open call.
    pub function: u32,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Goroutine id; 0 when not Go or not known.
    pub goid: u64,
    /// When it was taken, or when the time off CPU began.
    pub at_ns: u64,
    /// Time that it stands for, ns.
    pub weight_ns: u64,
    /// How long the time off CPU was, ns; 0 of one that ran.
    pub away_ns: u64,
    /// When the innermost open call began.
    pub call_start_ns: u64,
    /// Traced calls around that one, innermost first.
    pub callers: Vec<Caller>,
    /// Whose calls: thread id, or address of the goroutine's `g`.
    pub owner: u64,
    /// Off CPU: the part of `weight_ns` in which it could have run.
    pub runnable_ns: u64,
    /// Off CPU: it could have run all the time.
    pub preempted: bool,
    /// What Go's scheduler did with the goroutine, where probes on it saw this.
    pub halt: Option<Halt>,
    /// Where the innermost open call returns to, if known.
    pub return_address: Option<u64>,
    /// Kernel addresses innermost first; empty when it was in user mode.
    pub kernel: Vec<u64>,
    /// User addresses innermost first, as walked; empty when the walk failed.
    pub user: Vec<u64>,
    /// The user stack comes, or came, as a copy.
    pub copied: bool,
    /// The user stack is known to go on.
    pub cut: bool,
}

impl Sample {
    /// Gives it to the traced call at `index` of `callers`, since those further inside are over. False
    /// if there is none.
    pub fn give_to_caller(&mut self, index: usize) -> bool {
        let mut callers = std::mem::take(&mut self.callers).into_iter().skip(index);
        let Some(running) = callers.next() else {
            return false;
        };
        self.function = running.function;
        self.call_start_ns = running.start_ns;
        self.return_address = None;
        self.callers = callers
            .map(|call| Caller {
                above: call.above.saturating_sub(running.above),
                ..call
            })
            .collect();
        true
    }
}

/// Reads one item.
pub fn item(bytes: &[u8]) -> Result<Item<'_>, RecordError> {
    if bytes.first_chunk() == Some(&KIND_STACK_COPY.to_ne_bytes()) {
        return StackCopy::read(bytes).map(Item::Copy);
    }
    if let [kind, pid] = bytes.as_chunks::<4>().0
        && *kind == KIND_PROCESS.to_ne_bytes()
    {
        return Ok(Item::Process(u32::from_ne_bytes(*pid)));
    }
    decode(bytes).map(Item::Record)
}

/// Who ended a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakerSeen {
    /// Process id; 0 for the kernel's idle threads.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Goroutine id; 0 when not Go or not known.
    pub goid: u64,
    /// `comm`.
    pub name: String,
    /// [`Sample::owner`] of the wait.
    pub owner: u64,
    /// [`Sample::at_ns`] of the wait.
    pub since_ns: u64,
    /// As in [`Sample`].
    pub kernel: Vec<u64>,
    /// As in [`Sample`].
    pub user: Vec<u64>,
}

/// A record that does not have the shape it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer or more bytes than its kind has.
    #[error("a record of kind {kind} has {bytes} bytes")]
    Length {
        /// Kind found.
        kind: u32,
        /// Bytes found.
        bytes: usize,
    },
    /// A kind that this version does not know.
    #[error("unknown record kind {0}")]
    Kind(u32),
}

/// Reads one record.
pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let kind = bytes
        .first_chunk()
        .map(|kind| u32::from_ne_bytes(*kind))
        .ok_or(RecordError::Length {
            kind: 0,
            bytes: bytes.len(),
        })?;
    let expected = match kind {
        KIND_CALL | KIND_CALL_COPIED => size_of::<CallRecord>(),
        KIND_CALL_WITH_STACK | KIND_EXECUTION_WITH_STACK => size_of::<CallRecordWithStack>(),
        KIND_SAMPLE_CPU | KIND_SAMPLE_OFF_CPU | KIND_SAMPLE_PARKED => {
            return sample(bytes)
                .map(Record::Sample)
                .ok_or(RecordError::Length {
                    kind,
                    bytes: bytes.len(),
                });
        }
        KIND_WAKER => size_of::<WakerRecord>(),
        _ => return Err(RecordError::Kind(kind)),
    };
    if bytes.len() != expected {
        return Err(RecordError::Length {
            kind,
            bytes: bytes.len(),
        });
    }
    if kind == KIND_CALL || kind == KIND_CALL_COPIED {
        // SAFETY: the length was checked and every bit pattern is a valid record.
        let call = unsafe { bytes.as_ptr().cast::<CallRecord>().read_unaligned() };
        return Ok(Record::Call { call, stack: None });
    }
    if kind == KIND_WAKER {
        // SAFETY: as above.
        let record = unsafe { bytes.as_ptr().cast::<WakerRecord>().read_unaligned() };
        return Ok(Record::Waker(waker(&record)));
    }
    // SAFETY: as above.
    let record = unsafe {
        bytes
            .as_ptr()
            .cast::<CallRecordWithStack>()
            .read_unaligned()
    };
    let frames = &record.frames[..walked::<MAX_FRAMES>(record.stack_bytes)];
    Ok(Record::Call {
        call: record.call,
        stack: splice(frames, record.return_address),
    })
}

/// The sample in `bytes`; `None` if these end before it does.
fn sample(bytes: &[u8]) -> Option<Sample> {
    let (head, rest) = bytes.split_first_chunk::<{ size_of::<SampleHead>() }>()?;
    // SAFETY: every bit pattern is a valid one.
    let head = unsafe { head.as_ptr().cast::<SampleHead>().read_unaligned() };
    let words = rest.as_chunks::<8>().0;
    let callers = (head.caller_count as usize).min(MAX_CALLERS);
    let (callers, words) = words.split_at_checked(callers * CALLER_WORDS)?;
    let (user, words) = words.split_at_checked(walked::<MAX_FRAMES>(head.user_bytes))?;
    let (kernel, _) = words.split_at_checked(walked::<MAX_KERNEL_FRAMES>(head.kernel_bytes))?;
    let user: Vec<u64> = user.iter().copied().map(u64::from_ne_bytes).collect();
    let parked = head.kind == KIND_SAMPLE_PARKED;
    Some(Sample {
        kind: if head.kind == KIND_SAMPLE_CPU {
            SampleKind::Cpu
        } else {
            SampleKind::OffCpu
        },
        function: head.function,
        pid: head.pid,
        tid: head.tid,
        goid: head.goid,
        at_ns: head.at_ns,
        weight_ns: head.weight_ns,
        away_ns: head.away_ns,
        call_start_ns: head.call_start_ns,
        callers: callers
            .as_chunks::<CALLER_WORDS>()
            .0
            .iter()
            // SAFETY: as many bytes, and every bit pattern is a valid one.
            .map(|words| unsafe { words.as_ptr().cast::<Caller>().read_unaligned() })
            .filter(|caller| caller.function != NO_FUNCTION)
            .collect(),
        owner: head.owner,
        runnable_ns: runnable_ns(&head),
        preempted: head.preempted != 0,
        halt: match head.reason {
            reason if parked => Some(Halt::Parked(reason)),
            GAVE_WAY => Some(Halt::GaveWay),
            _ => None,
        },
        return_address: Some(head.return_address).filter(|&address| address != 0),
        kernel: code(kernel.iter().copied().map(u64::from_ne_bytes)),
        user: if parked {
            splice(&user, head.park_return).map_or_else(Vec::new, |stack| stack.addresses)
        } else {
            code(user)
        },
        copied: head.user_bytes == STACK_COPIED,
        cut: false,
    })
}

/// The part of the time that a sample stands for in which the thread could have run.
fn runnable_ns(record: &SampleHead) -> u64 {
    if record.preempted != 0 {
        return record.weight_ns;
    }
    if record.woken_ns == 0 || record.away_ns == 0 {
        return 0;
    }
    let back_ns = record.at_ns.saturating_add(record.away_ns);
    let runnable_ns = back_ns.saturating_sub(record.woken_ns).min(record.away_ns);
    let product = u128::from(runnable_ns) * u128::from(record.weight_ns);
    u64::try_from(product / u128::from(record.away_ns)).unwrap_or(u64::MAX)
}

fn waker(record: &WakerRecord) -> WakerSeen {
    let end = record.name.iter().position(|&byte| byte == 0);
    let name = &record.name[..end.unwrap_or(record.name.len())];
    WakerSeen {
        pid: record.pid,
        tid: record.tid,
        goid: record.goid,
        name: String::from_utf8_lossy(name).into_owned(),
        owner: record.owner,
        since_ns: record.since_ns,
        kernel: code(of_walk(&record.kernel, record.kernel_bytes)),
        user: code(of_walk(&record.user, record.user_bytes)),
    }
}

fn code(addresses: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let addresses = addresses.into_iter();
    addresses.filter(|&address| address != 0).collect()
}

/// The part of `addresses` that a walk filled.
fn of_walk<const N: usize>(addresses: &[u64; N], bytes: i64) -> impl Iterator<Item = u64> {
    addresses[..walked::<N>(bytes)].iter().copied()
}

/// How many addresses a walk found that there were `N` places for; a failed one has a negative length.
fn walked<const N: usize>(bytes: i64) -> usize {
    usize::try_from(bytes).map_or(0, |bytes| (bytes / 8).min(N))
}

/// Puts the caller back in: at a return, the frame-pointer walk starts at the caller's frame and
/// skips from the probed function to the caller's caller.
fn splice(walked: &[u64], return_address: u64) -> Option<CallStack> {
    let (&site, outer) = walked.split_first()?;
    let mut stack = Vec::with_capacity(walked.len() + 1);
    stack.push(site);
    if return_address != 0 && outer.first() != Some(&return_address) {
        stack.push(return_address);
    }
    stack.extend(outer.iter().copied().filter(|&address| address != 0));
    Some(CallStack {
        addresses: stack,
        cut: false,
    })
}

#[cfg(test)]
mod tests;
