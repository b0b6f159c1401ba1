//! All goroutines of a process at about one instant.

use std::sync::Arc;

use super::{
    MOST_ROUTINES,
    fields::{Fields, GoroutineState},
    memory::Memory,
    stack::Walker,
};
use crate::symbols::{
    Image,
    go::{self, GoroutineLayout},
    maps::ProcessMaps,
};

/// Goroutines of a process that are believed to exist.
const MOST_LISTED: u64 = 1 << 22;
/// Most of one stack that is copied, from the innermost frame on.
const MOST_STACK_BYTES: u64 = 16 << 10;
/// Most of all stacks of a process.
const MOST_STACKS_BYTES: u64 = 64 << 20;
/// How often goroutines that change while they are copied are tried.
const TRIES: usize = 3;
/// Goroutines that may look wrong, since they were changing, besides one in a hundred.
const MOST_ODD: usize = 8;
/// One goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Its id.
    pub id: u64,
    /// What it does.
    pub state: GoroutineState,
    /// Number of the wait reason.
    pub wait_reason: u8,
    /// Since when it waits, on the monotonic clock in ns, as a garbage collection noticed it; 0 when
    /// none did.
    pub wait_since_ns: u64,
    /// Where the `go` statement that made it is; 0 when not known.
    pub created_at: u64,
    /// Where each frame has left off, innermost first. Empty when that could not be read.
    pub stack: Vec<u64>,
    /// The stack goes on.
    pub truncated: bool,
}

/// All goroutines but the runtime's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many there are, also beyond those that were read.
    pub count: u64,
    /// The runtime's own.
    pub system: u64,
    /// Those that were read.
    pub goroutines: Vec<Goroutine>,
    /// Bytes that stacks have, those of the runtime's own included.
    pub stack_bytes: u64,
    /// How many of them changed all the time while they were copied.
    pub restless: u64,
    /// How many have a stack that was not copied for want of room.
    pub too_large: u64,
}

/// Why there is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Gone, or still starting.
    #[error("process {pid} does not run the program any more")]
    Gone {
        /// Process id.
        pid: u32,
    },
    /// Reading its memory was refused.
    #[error(
        "the memory of process {pid} cannot be read: {reason}; run monigo as root or with CAP_SYS_PTRACE"
    )]
    Refused {
        /// Process id.
        pid: u32,
        /// As the kernel says.
        reason: String,
    },
    /// What is there does not look like goroutines.
    #[error(
        "the goroutines of process {pid} do not look as those of {version} should; they are not shown"
    )]
    Unexpected {
        /// Process id.
        pid: u32,
        /// Go version.
        version: String,
    },
}

/// Reads goroutines of processes that run one image.
pub struct Source {
    image: Arc<Image>,
    layout: GoroutineLayout,
    lists: Vec<u64>,
}

impl Source {
    /// Finds out how the program keeps its goroutines.
    pub fn new(image: Arc<Image>) -> Result<Self, go::GoroutineError> {
        Ok(Self {
            layout: go::goroutine_layout(&image)?,
            lists: go::list_candidates(&image)?,
            image,
        })
    }

    /// The program.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Whether the runtime's own goroutines can be told from others.
    pub fn knows_system(&self) -> bool {
        self.layout.start_pc.is_some()
    }

    /// What has to be added to addresses of the image in process `pid`.
    pub fn bias(&self, pid: u32) -> Result<u64, SnapshotError> {
        let gone = || SnapshotError::Gone { pid };
        let maps = ProcessMaps::read(pid).map_err(|_| gone())?;
        let mapping = maps.find_image(self.image.id()).ok_or_else(gone)?;
        let vaddr = self.image.vaddr_of_offset(mapping.file_offset);
        Ok(mapping.range.start.wrapping_sub(vaddr.ok_or_else(gone)?))
    }

    /// Reads the goroutines of process `pid`, with stacks if wanted.
    pub fn read(&self, pid: u32, stacks: bool) -> Result<Snapshot, SnapshotError> {
        let memory = Memory::of(pid).ok_or(SnapshotError::Gone { pid })?;
        let bias = self.bias(pid)?;
        let addresses = self.list(pid, memory, bias)?;
        let mut snapshot = Snapshot::default();
        let mut wanted: Vec<(u64, Fields)> = Vec::new();
        let mut odd = 0;
        for chunk in addresses.chunks(MOST_ROUTINES) {
            for (address, fields) in self.fields(pid, memory, chunk)? {
                let Some(fields) = self.plausible(memory, address, fields) else {
                    odd += 1;
                    continue;
                };
                if fields.state() == Some(GoroutineState::Dead) {
                    continue;
                }
                snapshot.stack_bytes += fields.stack.1.saturating_sub(fields.stack.0);
                let start = fields.start.wrapping_sub(bias);
                if go::function_name(&self.image, start).is_some_and(go::is_system) {
                    snapshot.system += 1;
                    continue;
                }
                snapshot.count += 1;
                if wanted.len() < MOST_ROUTINES {
                    wanted.push((address, fields));
                }
            }
        }
        if odd > MOST_ODD + addresses.len() / 100 {
            return Err(self.unexpected(pid));
        }
        if stacks {
            self.take(pid, memory, bias, wanted, &mut snapshot)?;
        }
        Ok(snapshot)
    }

    /// The fields of a goroutine, which may have been copied while it was set up.
    fn plausible(&self, memory: Memory, address: u64, first: Option<Fields>) -> Option<Fields> {
        let mut fields = first;
        for _ in 0..TRIES {
            if let Some(fields) = fields.filter(|fields| fields.is_plausible(address)) {
                return Some(fields);
            }
            let mut bytes = vec![0; self.layout.bytes()];
            memory.read(address, &mut bytes).ok()?;
            fields = Fields::parse(&bytes, &self.layout);
        }
        None
    }

    fn unexpected(&self, pid: u32) -> SnapshotError {
        let version = self.image.go().map(|go| go.version.clone());
        SnapshotError::Unexpected {
            pid,
            version: version
                .filter(|version| !version.is_empty())
                .unwrap_or_else(|| "Go".to_owned()),
        }
    }

    /// Addresses of all `runtime.g`, dead ones too.
    fn list(&self, pid: u32, memory: Memory, bias: u64) -> Result<Vec<u64>, SnapshotError> {
        for list in &self.lists {
            for _ in 0..TRIES {
                let header = |at: u64| -> nix::Result<[u64; 3]> {
                    let mut bytes = [0; 24];
                    memory.read(at, &mut bytes)?;
                    let word = |at: usize| {
                        let mut word = [0; 8];
                        word.copy_from_slice(&bytes[at..at + 8]);
                        u64::from_le_bytes(word)
                    };
                    Ok([word(0), word(8), word(16)])
                };
                let at = list.wrapping_add(bias);
                let before = match header(at) {
                    Ok(header) => header,
                    Err(nix::Error::EFAULT) => break,
                    Err(error) => return Err(refused(pid, error)),
                };
                let [array, length, capacity] = before;
                if array == 0 || length == 0 || length > capacity || capacity > MOST_LISTED {
                    break;
                }
                let mut bytes = vec![0; length as usize * 8];
                if memory.read(array, &mut bytes).is_err() {
                    break;
                }
                // The runtime appends at any time, and moves the array then.
                if header(at).ok().is_none_or(|after| after[0] != array) {
                    continue;
                }
                let addresses: Vec<u64> = bytes
                    .chunks_exact(8)
                    .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
                    .collect();
                if self.is_list(memory, &addresses) {
                    return Ok(addresses);
                }
                break;
            }
        }
        Err(self.unexpected(pid))
    }

    /// The first goroutine is the first that was made.
    fn is_list(&self, memory: Memory, addresses: &[u64]) -> bool {
        let Some(&first) = addresses.first() else {
            return false;
        };
        let mut bytes = vec![0; self.layout.bytes()];
        memory.read(first, &mut bytes).is_ok()
            && Fields::parse(&bytes, &self.layout)
                .is_some_and(|fields| fields.id == 1 && fields.is_plausible(first))
    }

    fn fields(
        &self,
        pid: u32,
        memory: Memory,
        addresses: &[u64],
    ) -> Result<Vec<(u64, Option<Fields>)>, SnapshotError> {
        let length = self.layout.bytes();
        let pieces: Vec<(u64, usize)> = addresses.iter().map(|at| (*at, length)).collect();
        let read = memory
            .read_many(&pieces)
            .map_err(|error| refused(pid, error))?;
        Ok(addresses
            .iter()
            .zip(read)
            .map(|(at, bytes)| {
                (
                    *at,
                    bytes.and_then(|bytes| Fields::parse(&bytes, &self.layout)),
                )
            })
            .collect())
    }

    /// Copies the stacks, looks again whether they still are what they were, and walks them.
    fn take(
        &self,
        pid: u32,
        memory: Memory,
        bias: u64,
        wanted: Vec<(u64, Fields)>,
        snapshot: &mut Snapshot,
    ) -> Result<(), SnapshotError> {
        let mut walker = Walker::new(&self.image, bias);
        let mut room = MOST_STACKS_BYTES;
        let mut rest = wanted;
        for attempt in 1..=TRIES {
            let copies = self.copy(pid, memory, rest, &mut room)?;
            rest = Vec::new();
            for copy in copies {
                if copy.is_settled() || attempt == TRIES {
                    snapshot.take_in(&copy, &mut walker);
                } else if copy.may_settle() {
                    rest.push((copy.address, copy.after));
                } else {
                    // It ended meanwhile.
                    snapshot.count -= 1;
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Copies the stacks of these goroutines, but for those that cannot be read again afterwards.
    fn copy(
        &self,
        pid: u32,
        memory: Memory,
        wanted: Vec<(u64, Fields)>,
        room: &mut u64,
    ) -> Result<Vec<Copied>, SnapshotError> {
        let piece = |(_, fields): &(u64, Fields)| {
            let (sp, _) = fields.position();
            (sp, stack_length(fields, room))
        };
        let pieces: Vec<(u64, usize)> = wanted.iter().map(piece).collect();
        let stacks = memory
            .read_many(&pieces)
            .map_err(|error| refused(pid, error))?;
        let addresses: Vec<u64> = wanted.iter().map(|(address, _)| *address).collect();
        let after = self.fields(pid, memory, &addresses)?;
        let stacks = stacks.into_iter().zip(pieces);
        let all = wanted.into_iter().zip(stacks).zip(after);
        Ok(all
            .filter_map(|(((address, before), (stack, (_, length))), (_, after))| {
                Some(Copied {
                    address,
                    before,
                    stack,
                    has_room: length > 0,
                    after: after?,
                })
            })
            .collect())
    }
}

/// A goroutine before and after its stack was copied.
struct Copied {
    address: u64,
    before: Fields,
    /// From the innermost frame on.
    stack: Option<Box<[u8]>>,
    /// There was room to copy it.
    has_room: bool,
    after: Fields,
}

impl Copied {
    fn state(&self) -> GoroutineState {
        self.before.state().unwrap_or(GoroutineState::Dead)
    }

    /// Whether the copy is of one state: the goroutine did not run meanwhile, or its stack is not looked at.
    fn is_settled(&self) -> bool {
        !self.state().is_off_stack() || self.after.still_is(&self.before)
    }

    /// Whether it is worth another try.
    fn may_settle(&self) -> bool {
        self.after.state() != Some(GoroutineState::Dead) && self.after.is_plausible(self.address)
    }
}

impl Snapshot {
    /// Adds a goroutine, with its stack if the copy is good for that.
    fn take_in(&mut self, copy: &Copied, walker: &mut Walker<'_>) {
        let (state, before) = (copy.state(), &copy.before);
        let mut goroutine = Goroutine {
            id: before.id,
            state,
            wait_reason: before.wait_reason,
            wait_since_ns: before.wait_since_ns,
            created_at: before.created_at,
            stack: Vec::new(),
            truncated: false,
        };
        if !copy.is_settled() {
            self.restless += 1;
        } else if state.is_off_stack() && !copy.has_room {
            self.too_large += 1;
        } else if state.is_off_stack()
            && let Some(stack) = &copy.stack
        {
            let (_, pc) = before.position();
            (goroutine.stack, goroutine.truncated) = walker.walk(pc, stack);
        }
        self.goroutines.push(goroutine);
    }
}

/// Bytes from the innermost frame on; 0 when there is no room.
fn stack_length(fields: &Fields, room: &mut u64) -> usize {
    let off_stack = fields.state().is_some_and(GoroutineState::is_off_stack);
    let (sp, _) = fields.position();
    let (low, high) = fields.stack;
    if !off_stack || !(low..high).contains(&sp) {
        return 0;
    }
    let length = (high - sp).min(MOST_STACK_BYTES);
    if length > *room {
        return 0;
    }
    *room -= length;
    length as usize
}

fn refused(pid: u32, error: nix::Error) -> SnapshotError {
    match error {
        nix::Error::ESRCH => SnapshotError::Gone { pid },
        error => SnapshotError::Refused {
            pid,
            reason: error.desc().to_owned(),
        },
    }
}
