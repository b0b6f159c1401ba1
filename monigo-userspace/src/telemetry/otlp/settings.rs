//! Settings of the OTLP exporter, and what they come to.

use std::{collections::BTreeMap, fs, path::PathBuf};

use clap::ValueEnum;
use hyper::Uri;
use serde::{Deserialize, Serialize};

use crate::config::Span;

/// Where metrics and recorded calls are sent as OTLP. Headers hold secrets, so they are no settings: they
/// come from `headers_file`, and from the environment variable `OTEL_EXPORTER_OTLP_HEADERS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of the configuration"
)]
pub struct OtlpSettings {
    /// For example `https://collector.example:4317`; `None` for no export.
    pub endpoint: Option<String>,
    /// `grpc` or `http`.
    pub protocol: OtlpProtocol,
    /// Without TLS; only then may the endpoint begin with `http://`.
    pub plaintext: bool,
    /// Certificates to trust, PEM; `None` for those of Mozilla.
    pub ca_file: Option<PathBuf>,
    /// Lines `name: value` to send with each request.
    pub headers_file: Option<PathBuf>,
    /// Time between two exports.
    pub interval: Span,
    /// Longest wait for an answer.
    pub timeout: Span,
    /// Requests that wait while the receiver cannot be reached; the oldest go first.
    pub queue: u32,
    /// Whether metrics are sent.
    pub metrics: bool,
    /// Whether recorded calls are sent, as spans.
    pub spans: bool,
    /// Whether stacks of samples and recorded calls are sent, as profiles. The signal is experimental: not
    /// every receiver takes it.
    pub profiles: bool,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// gRPC, usually on port 4317
    #[default]
    Grpc,
    /// Protobuf in HTTP requests, usually on port 4318
    Http,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: OtlpProtocol::default(),
            plaintext: false,
            ca_file: None,
            headers_file: None,
            interval: Span::from_secs(15),
            timeout: Span::from_secs(10),
            queue: 64,
            metrics: true,
            spans: true,
            profiles: false,
        }
    }
}

/// Why nothing can be exported with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// Not an address.
    #[error(
        "'{endpoint}' is no OTLP endpoint: {reason}; write for example https://collector.example:4317"
    )]
    Endpoint {
        /// As written, without credentials.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// `http://` without having asked for it.
    #[error(
        "{endpoint} would send everything in the clear; use https://, or set otlp.plaintext = true (--otlp-plaintext) if the way to it is safe"
    )]
    Plaintext {
        /// As written.
        endpoint: String,
    },
    /// A file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A header is none. Its value is not told.
    #[error("{origin}: the header '{name}' is not valid; write lines of the form 'name: value'")]
    Header {
        /// Where it stands.
        origin: String,
        /// Its name.
        name: String,
    },
}

/// Settings that were checked.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Scheme and authority.
    pub origin: String,
    /// Path without a slash at the end.
    pub path: String,
    pub tls: bool,
    /// Certificates to trust, PEM.
    pub ca: Option<Vec<u8>>,
    pub headers: Headers,
}

/// Headers to send; not shown.
#[derive(Clone, Default)]
pub(super) struct Headers(pub BTreeMap<String, String>);

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Headers in the environment, as OpenTelemetry defines it.
const ENVIRONMENT: &str = "OTEL_EXPORTER_OTLP_HEADERS";

impl OtlpSettings {
    /// Whether they can be used, as far as that shows without the network.
    pub fn check(&self) -> Result<(), OtlpError> {
        match &self.endpoint {
            Some(endpoint) => self.plan(endpoint).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The setting that `error` is about.
    pub(crate) fn blamed(&self, error: &OtlpError) -> &'static str {
        match error {
            OtlpError::File { path, .. } if Some(path) == self.ca_file.as_ref() => "ca_file",
            OtlpError::File { .. } => "headers_file",
            OtlpError::Header { origin, .. } if origin != ENVIRONMENT => "headers_file",
            OtlpError::Endpoint { .. } | OtlpError::Plaintext { .. } | OtlpError::Header { .. } => {
                "endpoint"
            }
        }
    }

    pub(super) fn plan(&self, endpoint: &str) -> Result<Plan, OtlpError> {
        let written = if endpoint.contains("://") {
            endpoint.to_owned()
        } else {
            let scheme = if self.plaintext { "http" } else { "https" };
            format!("{scheme}://{endpoint}")
        };
        let wrong = |reason: &str| OtlpError::Endpoint {
            endpoint: without_credentials(endpoint),
            reason: reason.to_owned(),
        };
        let uri: Uri = written.parse().map_err(|_| wrong("it is no URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("credentials belong into headers_file"));
        }
        if authority.host().is_empty() {
            return Err(wrong("it has no host"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.plaintext => false,
            Some("http") => {
                return Err(OtlpError::Plaintext {
                    endpoint: endpoint.to_owned(),
                });
            }
            _ => return Err(wrong("its scheme is neither https nor http")),
        };
        let ca = self.ca_file.as_ref().map(|path| {
            fs::read(path).map_err(|error| OtlpError::File {
                path: path.clone(),
                reason: error.to_string(),
            })
        });
        Ok(Plan {
            origin: format!("{}://{authority}", if tls { "https" } else { "http" }),
            path: uri.path().trim_end_matches('/').to_owned(),
            tls,
            ca: ca.transpose()?,
            headers: self.headers()?,
        })
    }

    fn headers(&self) -> Result<Headers, OtlpError> {
        let mut headers = BTreeMap::new();
        if let Ok(text) = std::env::var(ENVIRONMENT) {
            for entry in text.split(',').filter(|entry| !entry.trim().is_empty()) {
                add_header(&mut headers, entry, '=', ENVIRONMENT)?;
            }
        }
        if let Some(path) = &self.headers_file {
            let text = fs::read_to_string(path).map_err(|error| OtlpError::File {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            let lines = text.lines().map(str::trim);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                add_header(&mut headers, line, ':', &path.display().to_string())?;
            }
        }
        Ok(Headers(headers))
    }
}

fn add_header(
    headers: &mut BTreeMap<String, String>,
    entry: &str,
    separator: char,
    origin: &str,
) -> Result<(), OtlpError> {
    let (name, value) = entry.split_once(separator).unwrap_or((entry, ""));
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let valid = hyper::header::HeaderName::try_from(&name).is_ok()
        && hyper::header::HeaderValue::try_from(value).is_ok()
        && !value.is_empty()
        && !name.ends_with("-bin");
    if !valid {
        // Without a separator all of it may be a secret.
        let name = if entry.contains(separator) {
            name
        } else {
            "…".to_owned()
        };
        let origin = origin.to_owned();
        return Err(OtlpError::Header { origin, name });
    }
    headers.insert(name, value.to_owned());
    Ok(())
}

fn without_credentials(endpoint: &str) -> String {
    match endpoint.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn plan(endpoint: &str, plaintext: bool) -> Result<Plan, OtlpError> {
        let settings = OtlpSettings {
            plaintext,
            ..OtlpSettings::default()
        };
        settings.plan(endpoint)
    }

    #[test]
    fn plaintext_only_when_asked_for() {
        let planned = plan("https://a.example:4317/", false).expect("TLS");
        assert_eq!(
            (planned.origin.as_str(), planned.path.as_str()),
            ("https://a.example:4317", "")
        );
        assert!(planned.tls);
        assert!(plan("a.example:4317", false).expect("TLS").tls);
        let error = plan("http://a.example:4318", false).expect_err("in the clear");
        assert!(error.to_string().contains("plaintext = true"), "{error}");
        let planned = plan("http://a.example:4318/otel/", true).expect("asked for");
        assert_eq!((planned.tls, planned.path.as_str()), (false, "/otel"));
        assert!(!plan("a.example:4317", true).expect("asked for").tls);
    }

    #[test]
    fn wrong_endpoints_are_refused_without_telling_secrets() {
        for wrong in [
            "",
            "ftp://a.example",
            "https://",
            "https://u:secret@a.example",
            "a b",
        ] {
            let error = plan(wrong, false).expect_err(wrong).to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("for example"), "{error}");
        }
    }

    #[test]
    fn headers_come_from_a_file_and_are_not_shown() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        writeln!(
            file,
            "# for the collector\nAuthorization: Bearer secret\n\nx-tenant: a:b"
        )
        .expect("writes");
        let settings = OtlpSettings {
            headers_file: Some(file.path().to_owned()),
            ..OtlpSettings::default()
        };
        let plan = settings.plan("https://a.example").expect("reads");
        assert_eq!(plan.headers.0["authorization"], "Bearer secret");
        assert_eq!(plan.headers.0["x-tenant"], "a:b");
        assert!(!format!("{plan:?}").contains("secret"));
        writeln!(file, "only-a-secret").expect("writes");
        let error = settings
            .plan("https://a.example")
            .expect_err("no header")
            .to_string();
        assert!(!error.contains("only-a-secret"), "{error}");
    }

    #[test]
    fn only_what_names_a_receiver_is_checked() {
        let settings = OtlpSettings::default();
        assert_eq!(settings.check(), Ok(()));
        let wrong = OtlpSettings {
            endpoint: Some("http://a.example:4317".to_owned()),
            ..settings
        };
        assert!(matches!(wrong.check(), Err(OtlpError::Plaintext { .. })));
    }
}
