//! Reading large debug information beside the collector, which must not wait for it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{Image, ImageId},
    lines::Entry,
    shelf::{SharedLines, Shelf},
};

/// Most answers that are kept; the asker keeps its own.
const MOST_ANSWERS: usize = 1 << 16;
/// Most addresses that are waited for; others are asked for again when they show up again.
const MOST_ASKED: usize = 1 << 14;
/// What the asker may wait at once.
const MOST_PATIENCE: Duration = Duration::from_millis(200);
/// Share of the time that it may wait, as a divisor.
const PATIENCE_SHARE: u32 = 10;

type Key = (ImageId, u64);

/// A thread that reads debug information, started when it is needed first.
pub(super) struct Background {
    shelf: Arc<Shelf>,
    requests: Option<mpsc::Sender<(Arc<Image>, u64)>>,
    answers: Arc<Answers>,
    asked: HashSet<Key>,
    patience: Patience,
}

#[derive(Default)]
struct Answers {
    known: Mutex<HashMap<Key, Vec<Entry>>>,
    arrived: Condvar,
}

impl Answers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Entry>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the asker may still wait: a little at first, and then a share of the time.
struct Patience {
    left: Duration,
    at: Instant,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self {
            left: MOST_PATIENCE,
            at: now,
        }
    }

    fn left(&mut self, now: Instant) -> Duration {
        let earned = now.saturating_duration_since(self.at) / PATIENCE_SHARE;
        self.at = now;
        self.left = (self.left + earned).min(MOST_PATIENCE);
        self.left
    }

    fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }
}

impl Background {
    pub(super) fn new(shelf: Arc<Shelf>) -> Self {
        Self {
            shelf,
            requests: None,
            answers: Arc::default(),
            asked: HashSet::new(),
            patience: Patience::new(Instant::now()),
        }
    }

    /// What DWARF says about `vaddr`; `None` if that is not known yet, and worth asking again.
    pub(super) fn ask(&mut self, image: &Arc<Image>, vaddr: u64) -> Option<Vec<Entry>> {
        let key = (image.id(), vaddr);
        if let Some(found) = self.take(key) {
            return Some(found);
        }
        if !self.asked.contains(&key) {
            if self.asked.len() >= MOST_ASKED {
                return None;
            }
            self.send(image, vaddr)?;
            self.asked.insert(key);
        }
        let started = Instant::now();
        let patience = self.patience.left(started);
        if patience.is_zero() {
            return None;
        }
        let answers = Arc::clone(&self.answers);
        let waited = answers
            .arrived
            .wait_timeout_while(answers.lock(), patience, |known| !known.contains_key(&key));
        drop(waited);
        self.patience.spend(started.elapsed());
        self.take(key)
    }

    fn take(&mut self, key: Key) -> Option<Vec<Entry>> {
        let found = self.answers.lock().remove(&key)?;
        self.asked.remove(&key);
        Some(found)
    }

    fn send(&mut self, image: &Arc<Image>, vaddr: u64) -> Option<()> {
        if self.requests.is_none() {
            let (requests, received) = mpsc::channel();
            let (images, answers) = (Arc::clone(&self.shelf), Arc::clone(&self.answers));
            thread::Builder::new()
                .name("symbols".to_owned())
                .spawn(move || work(&received, &images, &answers))
                .ok()?;
            self.requests = Some(requests);
        }
        self.requests.as_ref()?.send((image.clone(), vaddr)).ok()
    }
}

fn work(requests: &mpsc::Receiver<(Arc<Image>, u64)>, shelf: &Shelf, answers: &Answers) {
    let mut read: HashMap<ImageId, Arc<SharedLines>> = HashMap::new();
    while let Ok((image, vaddr)) = requests.recv() {
        let id = image.id();
        let lines = read.entry(id).or_insert_with(|| {
            // The asker takes names from the index, and must not be the one to read it.
            image.functions();
            shelf.lines(&image)
        });
        let found = lines.at(vaddr);
        let mut known = answers.lock();
        if known.len() >= MOST_ANSWERS {
            known.clear();
        }
        known.insert((id, vaddr), found);
        drop(known);
        answers.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_a_share_of_the_time() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        assert_eq!(patience.left(start), MOST_PATIENCE);
        patience.spend(MOST_PATIENCE * 2);
        assert_eq!(patience.left(start), Duration::ZERO);
        let later = start + Duration::from_secs(1);
        assert_eq!(patience.left(later), Duration::from_millis(100));
        let much_later = later + Duration::from_mins(1);
        assert_eq!(patience.left(much_later), MOST_PATIENCE);
    }
}
