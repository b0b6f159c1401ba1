//! By which name the server is asked. A page that the user visits elsewhere can make its own name point
//! here (DNS rebinding) and read the answers; the `Host` header gives it away.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::Request,
    http::{header, uri::Authority},
    response::Response,
};

use super::{Check, forbidden};

/// Refuses with 403 what was asked under a name that is not the server's.
#[derive(Clone, Debug)]
pub struct HostCheck {
    /// Names that count with any port, in lower case.
    names: Vec<String>,
    /// Names that count only with this port.
    local: Option<(u16, Vec<String>)>,
    /// Whether any IP address is a name of this server. Addresses cannot be rebound.
    addresses: bool,
}

impl HostCheck {
    /// Only these names, without port.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            local: None,
            addresses: false,
        }
    }

    /// Also the names that this host has for itself, with the port of `bound`.
    #[must_use]
    pub fn or_loopback(mut self, bound: SocketAddr) -> Self {
        let own = match bound.ip() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let names = ["localhost", "127.0.0.1", "[::1]", &own];
        self.local = Some((bound.port(), names.map(str::to_owned).to_vec()));
        self
    }

    /// Also any IP address, with any port.
    #[must_use]
    pub fn or_addresses(mut self) -> Self {
        self.addresses = true;
        self
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let local = self.local.as_ref().is_some_and(|(port, names)| {
            names.iter().any(|name| {
                host.strip_prefix(name).is_some_and(|rest| {
                    rest == format!(":{port}") || (rest.is_empty() && matches!(port, 80 | 443))
                })
            })
        });
        let Some(name) = without_port(&host) else {
            return false;
        };
        local || self.names.iter().any(|own| own == name) || (self.addresses && is_address(name))
    }
}

/// `None` if what follows the name is not a port.
fn without_port(host: &str) -> Option<&str> {
    let end = if host.starts_with('[') {
        host.find(']')? + 1
    } else {
        host.find(':').unwrap_or(host.len())
    };
    let (name, rest) = host.split_at(end);
    let port = rest.strip_prefix(':').unwrap_or("0");
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (is_port && (rest.is_empty() || rest.starts_with(':')) && !name.is_empty()).then_some(name)
}

fn is_address(name: &str) -> bool {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.map_or_else(
        || name.parse::<std::net::Ipv4Addr>().is_ok(),
        |bare| bare.parse::<std::net::Ipv6Addr>().is_ok(),
    )
}

/// The name by which a request asks, with port.
pub fn host_of(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        // HTTP/2 has the name in the URI.
        (None, None) => request.uri().authority().map(Authority::as_str),
        _ => None,
    }
}

impl Check for HostCheck {
    async fn check(&self, request: Request) -> Result<Request, Response> {
        if host_of(&request).is_some_and(|host| self.knows(host)) {
            return Ok(request);
        }
        let example = match (&self.local, self.names.first()) {
            (Some((port, _)), _) => format!("localhost:{port}"),
            (None, Some(name)) => name.clone(),
            (None, None) => "its address".to_owned(),
        };
        Err(forbidden(format!(
            "the Host header must name this server, for example {example}; other names of it \
             go into listen.allowed_hosts"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_port() {
        let check = HostCheck::new(["Shop-7.example".to_owned()])
            .or_loopback("127.0.0.2:8080".parse().unwrap());
        for (host, known) in [
            ("localhost:8080", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:8080", true),
            ("127.0.0.2:8080", true),
            ("[::1]:8080", true),
            ("localhost", false),
            ("localhost:8081", false),
            ("127.0.0.1:8080:8080", false),
            ("127.0.0.1:8080.evil.example", false),
            ("localhost.evil.example:8080", false),
            ("shop-7.example", true),
            ("shop-7.EXAMPLE:9", true),
            ("shop-7.example.evil.example", false),
            ("shop-7.example:x", false),
            ("shop-7.example:99999", false),
            ("192.0.2.1:8080", false),
            ("", false),
            (":8080", false),
            ("[::1", false),
        ] {
            assert_eq!(check.knows(host), known, "{host}");
        }
    }

    #[test]
    fn addresses_cannot_be_rebound() {
        let check = HostCheck::new([]).or_addresses();
        for (host, known) in [
            ("192.0.2.1", true),
            ("192.0.2.1:81", true),
            ("[2001:db8::1]:81", true),
            ("2001:db8::1", false),
            ("0x7f.1", false),
            ("192.0.2.1.evil.example", false),
            ("[evil.example]", false),
        ] {
            assert_eq!(check.knows(host), known, "{host}");
        }
    }
}
