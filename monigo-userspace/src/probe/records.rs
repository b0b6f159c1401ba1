//! The ring buffer that records come through.

use aya::maps::{MapData, RingBuf};

use super::{
    RecordError,
    decode::{self, Item},
};

/// What the kernel side sends.
pub struct Records {
    ring: RingBuf<MapData>,
    ring_bytes: u32,
}

impl Records {
    pub(super) const fn new(ring: RingBuf<MapData>, ring_bytes: u32) -> Self {
        Self { ring, ring_bytes }
    }

    /// How much it holds, bytes.
    pub const fn ring_bytes(&self) -> usize {
        self.ring_bytes as usize
    }

    /// Takes at most `limit` items and returns how many it took; `visit` is told the bytes of each.
    pub fn take(
        &mut self,
        limit: usize,
        mut visit: impl FnMut(usize, Result<Item<'_>, RecordError>),
    ) -> usize {
        for taken in 0..limit {
            let Some(item) = self.ring.next() else {
                return taken;
            };
            visit(item.len(), decode::item(&item));
        }
        limit
    }
}
