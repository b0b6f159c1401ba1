//! Answering only some addresses.

use axum::{extract::Request, response::Response};
use ipnet::IpNet;

use super::{Check, Client, forbidden};

/// Answers clients of these networks, and refuses others with 403. Needs [`super::ClientAddress`] before
/// it; a client whose address is not known is refused.
#[derive(Clone, Debug)]
pub struct AllowList {
    networks: Vec<IpNet>,
}

impl AllowList {
    /// Answers these networks, IPv4 or IPv6; a single address is a network of one. An empty list answers
    /// nobody.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    fn has(&self, client: Option<&Client>) -> bool {
        client.is_some_and(|Client(address)| {
            self.networks
                .iter()
                .any(|network| network.contains(address))
        })
    }
}

impl Check for AllowList {
    async fn check(&self, request: Request) -> Result<Request, Response> {
        if self.has(request.extensions().get()) {
            Ok(request)
        } else {
            Err(forbidden(
                "your address is not on the list of those that are answered (auth.allow)",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_both_families() {
        let networks = ["192.0.2.0/25", "203.0.113.9/32", "2001:db8:1::/48"];
        let networks = networks.map(|network| network.parse().unwrap()).to_vec();
        let list = AllowList::new(networks);
        for (address, inside) in [
            ("192.0.2.127", true),
            ("192.0.2.128", false),
            ("203.0.113.9", true),
            ("203.0.113.10", false),
            ("2001:db8:1:ffff::1", true),
            ("2001:db8:2::1", false),
            ("::1", false),
        ] {
            let client = Client(address.parse().unwrap());
            assert_eq!(list.has(Some(&client)), inside, "{address}");
        }
        assert!(!list.has(None));
        assert!(!AllowList::new(Vec::new()).has(Some(&Client("::1".parse().unwrap()))));
    }
}
