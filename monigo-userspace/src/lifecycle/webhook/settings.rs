//! Settings of the webhook, and the files that they name.

use std::{fs, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use super::EventKind;
use crate::{api::Secret, config::Span};

/// Section `[webhook]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where events are posted; hidden, since some services put a secret into it.
    pub url: Option<Secret>,
    /// File with the URL instead.
    pub url_file: Option<PathBuf>,
    /// Which events are sent; empty for all.
    pub events: Vec<EventKind>,
    /// Token for `Authorization: Bearer`; better from the environment than from the file.
    pub token: Option<Secret>,
    /// File with the token instead.
    pub token_file: Option<PathBuf>,
    /// Certificates, PEM, that are trusted instead of the Mozilla root program's.
    pub ca_file: Option<PathBuf>,
    /// Send over plain HTTP to another host.
    pub insecure: bool,
    /// Longest wait for an answer.
    pub timeout: Span,
    /// Wait before the second attempt; doubled for each further one, up to 5 minutes.
    pub retry: Span,
    /// Attempts before an event is given up.
    pub attempts: u32,
    /// Requests per minute.
    pub per_minute: u32,
    /// Events that wait; beyond it the oldest is given up.
    pub queue: u32,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            events: Vec::new(),
            token: None,
            token_file: None,
            ca_file: None,
            insecure: false,
            timeout: Span::from_secs(10),
            retry: Span::from_secs(1),
            attempts: 10,
            per_minute: 60,
            queue: 1000,
        }
    }
}

/// Why events cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A file with a secret or certificates.
    #[error("webhook.{setting}: {}: {reason}", path.display())]
    File {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The URL is none.
    #[error("webhook.url: it must begin with https:// (or http:// for this host) and name a host")]
    Url,
    /// Events would cross the network in the open.
    #[error(
        "webhook.url: {0} would get events over plain HTTP; use https://, or set webhook.insecure = true"
    )]
    Plain(String),
}

impl WebhookError {
    /// The setting that is to blame, a dotted path.
    pub fn setting(&self) -> String {
        match self {
            Self::File { setting, .. } => format!("webhook.{setting}"),
            Self::Url | Self::Plain(_) => "webhook.url".to_owned(),
        }
    }
}

/// The secret itself, or what the file holds.
pub(super) fn secret(
    setting: &'static str,
    own: Option<&Secret>,
    file: Option<&PathBuf>,
) -> Result<Option<Secret>, WebhookError> {
    let (None, Some(path)) = (own, file) else {
        return Ok(own.cloned());
    };
    let text = read(setting, path)?;
    Ok(Some(Secret::new(text.trim())))
}

fn read(setting: &'static str, path: &PathBuf) -> Result<String, WebhookError> {
    fs::read_to_string(path).map_err(|error| WebhookError::File {
        setting,
        path: path.clone(),
        reason: error.to_string(),
    })
}

pub(super) fn authorities(path: &PathBuf) -> Result<RootCerts, WebhookError> {
    let text = read("ca_file", path)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(text.as_bytes())
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(WebhookError::File {
            setting: "ca_file",
            path: path.clone(),
            reason: "it holds no certificate in PEM".to_owned(),
        });
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
