//! Walking one stack.

use std::{cell::RefCell, collections::HashMap};

use framehop::{
    CacheNative, Error, FrameAddress, MayAllocateDuringUnwind, UnwindRegsNative, Unwinder as _,
};
use monigo_common::copy::COPY_RETURNED;

use super::{
    memo::{Memo, Start, Word},
    process::{Library, Process},
    row::Registers,
};
use crate::probe::StackCopy;

/// Most addresses of a stack.
const MOST_FRAMES: usize = 512;
/// In place of a frame pointer that is not known: nothing is read there, so a frame that is found by it
/// ends the walk, instead of leading past callers.
const UNKNOWN: u64 = 1;
/// Most processes whose maps are remembered.
const MOST_PROCESSES: usize = 1024;

type Cache = CacheNative<MayAllocateDuringUnwind>;

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At the function that the thread began with.
    Complete,
    /// The stack goes on beyond what was copied.
    CopyTooSmall,
    /// At code in this image that no unwind tables describe.
    Undescribed(Box<str>),
    /// At code in this image whose frame is found by a register that code without frame pointers had
    /// saved where nobody knows.
    RegisterLost(Box<str>),
    /// The process had ended before its maps could be read.
    ProcessUnknown,
    /// It was walked by frame pointers, since there was no room for a copy.
    NotCopied,
}

/// What a copied stack says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The instruction, then return addresses, innermost first.
    pub addresses: Vec<u64>,
    /// Where the innermost open call returns to, if its place was copied.
    pub return_address: Option<u64>,
    /// How it ended.
    pub end: End,
    /// Where the return address of the innermost open call would lie, and where those of the stack do,
    /// if it is whole and that one is not among them: the call has been left.
    pub left: Option<(u64, Vec<u64>)>,
}

/// Walks copied stacks of processes.
#[derive(Default)]
pub struct Unwinder {
    processes: HashMap<u32, Process>,
    library: Library,
    cache: Cache,
    memo: Memo,
}

impl Unwinder {
    /// Remembers what a process maps now, while it lives.
    pub fn remember(&mut self, pid: u32) {
        if self.processes.len() >= MOST_PROCESSES {
            self.processes.clear();
        }
        self.memo.clear();
        if let Some(process) = Process::look(pid, &mut self.library) {
            self.processes.insert(pid, process);
        }
    }

    /// Forgets a process: its id may come back with other code.
    pub fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
        self.memo.clear();
    }

    /// Walks a stack.
    pub fn walk(&mut self, copy: &StackCopy<'_>) -> Walk {
        let pid = copy.head.pid;
        if !self.processes.contains_key(&pid) {
            self.remember(pid);
        }
        let mut stack = Stack::new(copy);
        let start = stack.start();
        let again = self.memo.came_before(&start);
        if again {
            if let Some(walk) = self.memo.get(&start, &stack) {
                return walk.clone();
            }
            stack.taken = Some(RefCell::default());
        }
        let Some(process) = self.processes.get_mut(&pid) else {
            let mut addresses = vec![copy.head.ip];
            addresses.extend(stack.return_address());
            return Walk {
                addresses,
                return_address: stack.return_address(),
                end: End::ProcessUnknown,
                left: None,
            };
        };
        let mut walk = stack.walk(process, &mut self.cache);
        let strays = |walk: &Walk, process: &Process| {
            let mut addresses = walk.addresses.iter();
            addresses.any(|address| !process.is_code(*address))
        };
        if strays(&walk, process) {
            // The process may have loaded a library since.
            if process.refresh(&mut self.library) {
                self.memo.clear();
                walk = stack.walk(process, &mut self.cache);
            }
        } else if again {
            self.memo.keep(start, &stack, &walk);
        }
        walk
    }
}

/// A copied stack with the return addresses that return probes have taken from it.
pub(super) struct Stack<'a> {
    copy: &'a StackCopy<'a>,
    /// What was read of it, if that is to be noted.
    taken: Option<RefCell<Vec<Word>>>,
}

impl<'a> Stack<'a> {
    fn new(copy: &'a StackCopy<'a>) -> Self {
        Self { copy, taken: None }
    }

    /// All that walking it depends on, besides its words.
    pub fn start(&self) -> Start {
        let head = &self.copy.head;
        Start {
            pid: head.pid,
            flags: head.flags,
            ip: head.ip,
            sp: head.sp,
            fp: head.fp,
            position: head.position,
            end: self.end(),
            top: head.top,
        }
    }

    /// The words that were read.
    pub fn taken(&self) -> Vec<Word> {
        self.taken.as_ref().map(RefCell::take).unwrap_or_default()
    }

    fn word(&self, at: u64) -> Option<u64> {
        let word = self.peek(at);
        if let Some(taken) = &self.taken {
            taken.borrow_mut().push((at, word));
        }
        word
    }

    /// A word, without having read it.
    pub fn peek(&self, at: u64) -> Option<u64> {
        let hidden = self.copy.hidden().iter().find(|hidden| hidden.at == at);
        if let Some(hidden) = hidden {
            return Some(hidden.address);
        }
        let offset = usize::try_from(at.checked_sub(self.copy.head.sp)?).ok()?;
        let bytes = self.copy.stack.get(offset..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }

    /// Where the innermost open call returns to.
    fn return_address(&self) -> Option<u64> {
        let head = &self.copy.head;
        if head.flags & COPY_RETURNED != 0 {
            return Some(head.ip);
        }
        if head.position == 0 {
            return None;
        }
        self.word(head.position).filter(|address| *address != 0)
    }

    /// Whether an address that cannot be read lies where the stack goes on.
    fn goes_on(&self, at: u64) -> bool {
        let (end, top) = (self.end(), self.copy.head.top);
        // A walk that went astray reads anywhere.
        end <= at && at < top && at - end < (8 << 20)
    }

    fn end(&self) -> u64 {
        let head = &self.copy.head;
        head.sp.saturating_add(self.copy.stack.len() as u64)
    }

    fn walk(&self, process: &Process, cache: &mut Cache) -> Walk {
        let head = &self.copy.head;
        let return_address = self.return_address();
        let mut steps = Steps::new(self, process);
        if head.flags & COPY_RETURNED != 0 {
            steps.jump(head.ip, head.sp);
        } else if head.position == head.sp
            && let Some(caller) = return_address
        {
            // The call's frame is not set up or gone: whatever the tables say, and wherever the
            // probe makes the thread execute the instruction, the return address is here.
            steps.jump(caller, head.sp + 8);
        }
        let mut end = steps.run(cache, return_address.is_some().then_some(head.position));
        let left = match end {
            Run::Missed => {
                let mut plain = Steps::new(self, process);
                (plain.run(cache, None) == Run::Ended).then_some(plain)
            }
            // There is a zero.
            Run::Ended if self.word(head.position) == Some(0) => Some(steps.clone()),
            _ => None,
        };
        if let Some(left) = left.filter(Steps::are_described) {
            return Walk {
                addresses: left.addresses,
                return_address: None,
                end: End::Complete,
                left: Some((head.position, left.places)),
            };
        }
        if end == Run::Missed
            && let Some(caller) = return_address
        {
            // The walk lost its way between the sample and the traced function, whose caller is
            // known, and so is its frame pointer if the function saved it where code with frame
            // pointers does.
            steps.jump(caller, head.position + 8);
            let saved = self.word(head.position.wrapping_sub(8));
            let saved = saved.filter(|&saved| saved > head.position && saved < head.top);
            steps.registers.set_bp(saved.unwrap_or(UNKNOWN));
            end = steps.run(cache, None);
        }
        let end = match end {
            Run::Ended | Run::Missed => End::Complete,
            Run::TooLong => End::CopyTooSmall,
            Run::Unreadable(_) | Run::Lost if steps.registers.bp() == UNKNOWN => {
                End::RegisterLost(process.name(steps.last))
            }
            Run::Unreadable(at) if self.goes_on(at) => End::CopyTooSmall,
            Run::Unreadable(_) | Run::Lost => End::Undescribed(process.name(steps.last)),
        };
        Walk {
            addresses: steps.addresses,
            return_address,
            end,
            left: None,
        }
    }
}

/// How far steps went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// To the end of the stack.
    Ended,
    /// The traced function's return address should have come and did not.
    Missed,
    /// The stack could not be read at this address.
    Unreadable(u64),
    /// Into nowhere.
    Lost,
    /// More frames than are kept.
    TooLong,
}

#[derive(Clone)]
struct Steps<'a> {
    stack: &'a Stack<'a>,
    process: &'a Process,
    addresses: Vec<u64>,
    /// Where the return addresses lie.
    places: Vec<u64>,
    registers: UnwindRegsNative,
    at: FrameAddress,
    last: u64,
}

impl<'a> Steps<'a> {
    fn new(stack: &'a Stack<'a>, process: &'a Process) -> Self {
        let head = &stack.copy.head;
        Self {
            stack,
            process,
            addresses: vec![head.ip],
            places: Vec::new(),
            registers: UnwindRegsNative::new(head.ip, head.sp, head.fp),
            at: FrameAddress::from_instruction_pointer(head.ip),
            last: head.ip,
        }
    }

    /// Whether tables describe the code at every address, so that no step was a guess.
    fn are_described(&self) -> bool {
        let mut addresses = self.addresses.iter().enumerate();
        addresses.all(|(depth, &address)| {
            let inside = address.wrapping_sub(u64::from(depth > 0));
            self.process.describes(inside) || self.process.describes(address)
        })
    }

    /// Goes on in the caller at `address`, whose stack pointer was `sp`.
    fn jump(&mut self, address: u64, sp: u64) {
        if let Some(at) = FrameAddress::from_return_address(address) {
            self.addresses.push(address);
            self.registers.set_ip(address);
            self.registers.set_sp(sp);
            self.at = at;
            self.last = at.address_for_lookup();
        }
    }

    /// A step that `framehop` does not know: the caller's address, and whether a signal has
    /// interrupted it.
    fn special(&mut self) -> Result<(u64, bool), Run> {
        let of = Registers {
            ip: self.registers.ip(),
            sp: self.registers.sp(),
            fp: self.registers.bp(),
        };
        let mut unreadable = None;
        let caller = self.process.caller(self.last, of, |at| {
            let word = self.stack.word(at);
            if word.is_none() {
                unreadable = Some(at);
            }
            word
        });
        let Some((caller, signal)) = caller else {
            return Err(unreadable.map_or(Run::Lost, Run::Unreadable));
        };
        self.registers = UnwindRegsNative::new(caller.ip, caller.sp, caller.fp);
        Ok((caller.ip, signal))
    }

    /// Steps to the end. `position` is where the traced function's return address lies, which the
    /// walk must not leave out.
    fn run(&mut self, cache: &mut Cache, position: Option<u64>) -> Run {
        let mut ahead = position.filter(|position| *position >= self.registers.sp());
        let stack = self.stack;
        let mut read = |at| stack.word(at).ok_or(());
        let run = loop {
            if self.addresses.len() >= MOST_FRAMES {
                break Run::TooLong;
            }
            let mut interrupted = false;
            let stepped = if self.process.is_special(self.last) {
                match self.special() {
                    Ok((address, signal)) => {
                        interrupted = signal;
                        Ok(Some(address))
                    }
                    Err(run) => break run,
                }
            } else {
                let unwinder = &self.process.unwinder;
                unwinder.unwind_frame(self.at, &mut self.registers, cache, &mut read)
            };
            match stepped {
                Ok(Some(address)) => {
                    if let Some(position) = ahead
                        && self.registers.sp() > position
                    {
                        if self.registers.sp() != position + 8 {
                            break Run::Missed;
                        }
                        ahead = None;
                    }
                    let at = if interrupted {
                        Some(FrameAddress::from_instruction_pointer(address))
                    } else {
                        FrameAddress::from_return_address(address)
                    };
                    let Some(at) = at else {
                        break Run::Lost;
                    };
                    if !self.process.is_code(at.address_for_lookup()) {
                        break Run::Lost;
                    }
                    self.addresses.push(address);
                    self.places.push(self.registers.sp().wrapping_sub(8));
                    self.at = at;
                    self.last = at.address_for_lookup();
                }
                // Without tables, a zero in the frame pointer's register looks like an end.
                Ok(None) if self.process.describes(self.last) => break Run::Ended,
                Err(Error::CouldNotReadStack(at)) => break Run::Unreadable(at),
                Ok(None) | Err(_) => break Run::Lost,
            }
        };
        match run {
            Run::Ended | Run::Missed | Run::TooLong => run,
            _ if ahead.is_some() => Run::Missed,
            _ => run,
        }
    }
}
