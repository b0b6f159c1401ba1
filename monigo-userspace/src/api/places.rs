//! Places for connections: so many in all, and so many for each client.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use ipnet::IpNet;
use tokio::sync::Notify;

use super::guard::network_of;
use crate::sync::lock;

/// The connections that are open.
pub struct Places {
    most: usize,
    /// For one client; 0 for no limit.
    most_of_one: usize,
    /// Proxies, each of which stands for many clients.
    proxies: Vec<IpNet>,
    open: Mutex<HashMap<u64, Entry>>,
}

struct Entry {
    /// Who has it; `None` for a proxy.
    client: Option<IpAddr>,
    /// Requests being answered.
    requests: usize,
    /// Since when there are none.
    idle_since: Instant,
    evict: Arc<Notify>,
}

impl Places {
    /// `most` of them, and `most_of_one` for each client that is none of `proxies`.
    pub fn new(most: usize, most_of_one: usize, proxies: Vec<IpNet>) -> Self {
        Self {
            most: most.max(1),
            most_of_one,
            proxies,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        lock(&self.open)
    }

    /// A place for a new connection. When the client has all of its own, or when all are taken, the connection
    /// that is idle for longest, of the client or of all, loses its place; `None` when none is idle.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let proxy = self.proxies.iter().any(|network| network.contains(&peer));
        let client = (!proxy).then(|| network_of(peer));
        let mut open = self.lock();
        let own = |entry: &Entry| client.is_some() && entry.client == client;
        let held = || open.values().filter(|entry| own(entry)).count();
        if self.most_of_one > 0 && held() >= self.most_of_one {
            evict(&mut open, own)?;
        }
        if open.len() >= self.most {
            evict(&mut open, |_| true)?;
        }
        let number = loop {
            let number = rand::random();
            if !open.contains_key(&number) {
                break number;
            }
        };
        let evict = Arc::new(Notify::new());
        let entry = Entry {
            client,
            requests: 0,
            idle_since: Instant::now(),
            evict: Arc::clone(&evict),
        };
        open.insert(number, entry);
        drop(open);
        Some(Place {
            places: Arc::clone(self),
            number,
            evict,
        })
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(&number) {
            change(entry);
        }
    }
}

/// Takes the place from the connection that is idle for longest among some.
fn evict(open: &mut HashMap<u64, Entry>, among: impl Fn(&Entry) -> bool) -> Option<()> {
    let idle = open
        .iter()
        .filter(|(_, entry)| entry.requests == 0 && among(entry))
        .min_by_key(|(number, entry)| (entry.idle_since, **number))
        .map(|(number, _)| *number)?;
    open.remove(&idle)?.evict.notify_one();
    Some(())
}

/// A connection's place; given back when dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
    evict: Arc<Notify>,
}

impl Place {
    /// Notified when another connection takes the place.
    pub fn evicted(&self) -> Arc<Notify> {
        Arc::clone(&self.evict)
    }

    /// A request begins; it ends when the result is dropped.
    pub fn begin(&self) -> Busy {
        self.places.change(self.number, |entry| entry.requests += 1);
        Busy {
            places: Arc::clone(&self.places),
            number: self.number,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(&self.number);
    }
}

/// A request that is being answered.
pub struct Busy {
    places: Arc<Places>,
    number: u64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.places.change(self.number, |entry| {
            entry.requests -= 1;
            entry.idle_since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn places(most: usize, most_of_one: usize) -> Arc<Places> {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Arc::new(Places::new(most, most_of_one, proxies))
    }

    #[test]
    fn the_connection_that_is_idle_for_longest_makes_room() {
        let open = places(3, 0);
        let one = address("192.0.2.1");
        let held: Vec<Place> = (0..3).filter_map(|_| open.enter(one)).collect();
        let first = held[0].begin();
        // The second is idle for longest; the third was busy meanwhile.
        drop(held[2].begin());
        let fourth = open.enter(one).expect("one is idle");
        assert!(open.lock().contains_key(&held[0].number));
        assert!(!open.lock().contains_key(&held[1].number));
        assert!(open.lock().contains_key(&held[2].number));
        let busy = (held[2].begin(), fourth.begin());
        assert!(open.enter(one).is_none(), "all are busy");
        drop((first, busy));
        assert!(open.enter(one).is_some());
    }

    #[test]
    fn a_client_makes_room_for_itself_only() {
        let open = places(10, 2);
        let other = open.enter(address("192.0.2.9")).unwrap();
        let one = address("2001:db8::1");
        let neighbour = address("2001:db8::2");
        let first = open.enter(one).unwrap();
        let second = open.enter(neighbour).unwrap();
        let third = open.enter(one).unwrap();
        assert!(
            !open.lock().contains_key(&first.number),
            "a /64 is one client"
        );
        assert!(open.lock().contains_key(&other.number), "idle for longest");
        let busy = (second.begin(), third.begin());
        assert!(open.enter(one).is_none(), "its own are busy");
        assert!(open.enter(address("192.0.2.1")).is_some());
        drop(busy);
        let proxy = address("10.1.1.1");
        let many: Vec<Place> = (0..6).filter_map(|_| open.enter(proxy)).collect();
        assert_eq!(many.len(), 6, "a proxy stands for many");
    }

    #[test]
    fn places_are_given_back() {
        let open = places(2, 1);
        let place = open.enter(address("127.0.0.1")).unwrap();
        let busy = place.begin();
        drop(place);
        drop(busy);
        assert!(open.lock().is_empty());
    }
}
