//! What waits to be sent: bounded, the oldest goes first.

use std::collections::VecDeque;

/// A queue of batches.
#[derive(Debug)]
pub struct Queue<T> {
    batches: VecDeque<(T, u64)>,
    most: usize,
    items: u64,
}

impl<T> Queue<T> {
    /// Holds at most `most` batches, at least one.
    pub fn new(most: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            most: most.max(1),
            items: 0,
        }
    }

    /// Appends a batch of `items`. Returns how many items of old batches had to go.
    pub fn push(&mut self, batch: T, items: u64) -> u64 {
        let mut dropped = 0;
        while self.batches.len() >= self.most {
            dropped += self.pop().map_or(0, |(_, items)| items);
        }
        self.items += items;
        self.batches.push_back((batch, items));
        dropped
    }

    /// The oldest, which stays.
    pub fn first(&self) -> Option<&(T, u64)> {
        self.batches.front()
    }

    /// Takes the oldest out.
    pub fn pop(&mut self) -> Option<(T, u64)> {
        let first = self.batches.pop_front();
        self.items -= first.as_ref().map_or(0, |(_, items)| *items);
        first
    }

    /// Items that wait.
    pub fn items(&self) -> u64 {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_is_counted() {
        let mut queue = Queue::new(2);
        assert_eq!(queue.push('a', 10), 0);
        assert_eq!(queue.push('b', 20), 0);
        assert_eq!(queue.push('c', 30), 10);
        assert_eq!(queue.items(), 50);
        assert_eq!(queue.first(), Some(&('b', 20)));
        assert_eq!(queue.pop(), Some(('b', 20)));
        assert_eq!(queue.pop(), Some(('c', 30)));
        assert_eq!((queue.pop(), queue.items()), (None, 0));
    }
}
