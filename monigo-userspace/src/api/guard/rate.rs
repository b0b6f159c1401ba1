//! A limit of requests per client.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::{InMemoryState, NotKeyed, keyed::HashMapStateStore},
};

use super::{Check, Client};
use crate::api::error::ApiError;

/// Clients that are told apart.
const MOST_CLIENTS: usize = 10_000;

/// Lets each client ask so often, and refuses the rest with 429 and `Retry-After`. Needs
/// [`super::ClientAddress`] before it; clients whose address is not known share one limit.
///
/// Addresses of one IPv6 /64 are one client. At most 10,000 clients are told apart; when more
/// ask at the same time, the rest share one limit, so that memory stays bounded.
pub struct RateLimit {
    clients: RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>,
    shared: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
    clock: DefaultClock,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}

impl RateLimit {
    /// `per_second` requests in the long run, `burst` at once.
    pub fn per_second(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::new(Quota::per_second(per_second).allow_burst(burst))
    }

    /// `per_minute` requests in the long run, `burst` at once.
    pub fn per_minute(per_minute: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::new(Quota::per_minute(per_minute).allow_burst(burst))
    }

    fn new(quota: Quota) -> Self {
        Self {
            clients: RateLimiter::hashmap(quota),
            shared: RateLimiter::direct(quota),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request; `Err` is the time until the next is let through.
    pub fn take(&self, client: Option<Client>) -> Result<(), Duration> {
        if self.clients.len() >= MOST_CLIENTS {
            self.clients.retain_recent();
        }
        let refused = match client {
            Some(Client(address)) if self.clients.len() < MOST_CLIENTS => {
                self.clients.check_key(&network_of(address)).err()
            }
            _ => self.shared.check().err(),
        };
        refused.map_or(Ok(()), |until| Err(until.wait_time_from(self.clock.now())))
    }
}

/// What counts as one client.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// The answer to too many requests.
pub fn too_many(wait: Duration, message: &str) -> Response {
    let seconds = wait.as_secs() + 1;
    let retry = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
    (retry, error).into_response()
}

impl Check for RateLimit {
    async fn check(&self, request: Request) -> Result<Request, Response> {
        let client = request.extensions().get().copied();
        self.take(client).map_err(|wait| {
            too_many(wait, "too many requests from your address; ask less often")
        })?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

    fn take(limit: &RateLimit, client: &str) -> Result<(), Duration> {
        limit.take(Some(Client(client.parse().unwrap())))
    }

    #[test]
    fn each_client_has_its_own_limit() {
        let limit = RateLimit::per_minute(THREE, THREE);
        for name in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
            for _ in 0..3 {
                assert!(take(&limit, name).is_ok(), "{name}");
            }
            let wait = take(&limit, name).unwrap_err();
            assert!(
                wait > Duration::ZERO && wait <= Duration::from_mins(1),
                "{wait:?}"
            );
        }
        assert!(take(&limit, "2001:db8::ffff").is_err(), "the same /64");
        assert!(
            take(&limit, "::ffff:192.0.2.1").is_err(),
            "the same address"
        );
        assert!(take(&limit, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let limit = RateLimit::per_minute(THREE, THREE);
        let mut refused = 0;
        for number in 0..3 * MOST_CLIENTS as u32 {
            let address = IpAddr::from(number.to_be_bytes());
            refused += u32::from(limit.take(Some(Client(address))).is_err());
        }
        assert!(
            limit.clients.len() <= MOST_CLIENTS,
            "{}",
            limit.clients.len()
        );
        assert!(refused > 0, "the rest shares one limit");
    }
}
