//! Where the server listens, and whom it answers.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

use crate::config::{Size, Span};

/// The settings of the server: sections `[listen]`, `[auth]` and `[tls]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Where it listens, and limits.
    pub listen: ListenSettings,
    /// Whom it answers.
    pub auth: AuthSettings,
    /// Encryption.
    pub tls: TlsSettings,
}

/// Section `[listen]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSettings {
    /// Address; others than loopback need authentication.
    pub address: IpAddr,
    /// Port; 0 picks a free one.
    pub port: u16,
    /// Path of the API.
    pub base_path: String,
    /// Answer anyone who reaches an address other than loopback, without authentication.
    pub insecure: bool,
    /// Names under which the server may be asked, without port. On loopback they count beside the
    /// loopback names; elsewhere, if there are any, other names are refused.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read the API, for example `https://grafana.example.org`.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests a second that one client may make in the long run; 0 for no limit.
    pub requests_per_second: u32,
    /// Requests that one client may make at once.
    pub burst: u32,
    /// Connections that are open at a time. Beyond it, the one that is idle for longest is closed.
    pub max_connections: u32,
    /// Of them, those of one client (an IPv6 /64 counts as one; trusted proxies are not limited); 0 for no limit.
    pub max_connections_per_client: u32,
    /// Longest body of a request.
    pub max_body: Size,
    /// Longest time from a request's head to the end of its body.
    pub body_timeout: Span,
    /// Longest time from a request's head to the begin of the answer.
    pub request_timeout: Span,
    /// Longest time for a request's head to arrive, for a TLS handshake, for a connection without
    /// request, and for a client that takes nothing of its answer, or less than 8 KiB a second in the long run.
    pub idle_timeout: Span,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            base_path: "/monigo/api/v1".to_owned(),
            insecure: false,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            requests_per_second: 100,
            burst: 500,
            max_connections: 512,
            max_connections_per_client: 128,
            max_body: Size::from_mib(1),
            body_timeout: Span::from_secs(10),
            request_timeout: Span::from_secs(60),
            idle_timeout: Span::from_secs(15),
        }
    }
}

/// Section `[auth]`. One of the methods suffices; without any, addresses other than loopback get a random
/// token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// Lines `name:hash` for HTTP Basic; `monigo hash-password` makes the hash.
    pub users_file: Option<PathBuf>,
    /// Lines with one key each, in plain or as `sha256:HEX`, for the header `X-API-Key`.
    pub api_keys_file: Option<PathBuf>,
    /// A key for the header `X-API-Key`; better from the environment than from the file.
    pub api_key: Option<Secret>,
    /// File with the token for `Authorization: Bearer` and for the dashboard's address.
    pub token_file: Option<PathBuf>,
    /// The token itself; better from the environment than from the file.
    pub token: Option<Secret>,
    /// Addresses and networks that are answered; empty for all.
    pub allow: Vec<IpNet>,
}

/// Section `[tls]`. Both files or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// Certificate chain, PEM, the server's own first.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
}

/// A text that is never shown: not in logs, not by `Debug`, not when serialized.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let settings = AuthSettings {
            token: Some(Secret::new("hunter2")),
            api_key: Some(Secret::new("hunter2")),
            ..AuthSettings::default()
        };
        let shown = format!("{settings:?}{}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        let read: AuthSettings = serde_json::from_str(r#"{"token":"hunter2"}"#).unwrap();
        assert_eq!(read.token.unwrap().expose(), "hunter2");
    }

    #[test]
    fn unknown_settings_are_refused_by_name() {
        let error = serde_json::from_str::<HttpSettings>(r#"{"listen":{"prot":1}}"#).unwrap_err();
        assert!(error.to_string().contains("prot"), "{error}");
    }
}
