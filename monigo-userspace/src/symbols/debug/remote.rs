//! Debug files from debuginfod servers.
//!
//! Nothing is asked of any server unless the user says so on the command line: the request tells the
//! server which builds run here, and an environment variable that survives `sudo` should not send
//! root's tool to the network.
//!
//! The protocol is one GET per build id, so this is a thin client over ureq: the `debuginfod` crate brings
//! reqwest, a whole asynchronous stack with it, and leaves limits and checks to its caller.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::super::files::{open_own, private_folder};

/// Bounds of a download.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Larger files are refused, bytes.
    pub bytes: u64,
    /// Until a server answers.
    pub connect: Duration,
    /// Until the whole file is there.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            connect: Duration::from_secs(5),
            total: Duration::from_secs(90),
        }
    }
}

/// Why a debug file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No server answered as it should.
    #[error("no debug information from {server}: {reason}")]
    Server {
        /// As configured.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// Downloads have nowhere to go.
    #[error("no debug information from debuginfod: {} cannot be used as a cache: {source}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file of certificates cannot be used.
    #[error("{} cannot be used for --debuginfod-ca: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A URL that is none.
    #[error("'{0}' is no URL of a debuginfod server: it must begin with http:// or https://")]
    Url(String),
}

/// Servers, and where their files are kept.
#[derive(Debug)]
pub struct Remote {
    servers: Vec<String>,
    cache: PathBuf,
    limits: Limits,
    agent: Agent,
    /// Build ids that no server has, or that went wrong: they are asked for once.
    failed: Mutex<HashSet<String>>,
}

impl Remote {
    /// A client of `servers`, URLs asked in order, which keeps what it fetches in `cache`. Certificates
    /// of servers must be signed by those in the PEM file `authorities`, if there is one, else by an
    /// authority that browsers know.
    pub fn new(
        servers: &[&str],
        cache: PathBuf,
        limits: Limits,
        authorities: Option<&Path>,
    ) -> Result<Self, RemoteError> {
        let mut urls = Vec::new();
        for server in servers {
            if !(server.starts_with("http://") || server.starts_with("https://")) {
                return Err(RemoteError::Url((*server).to_owned()));
            }
            urls.push(server.trim_end_matches('/').to_owned());
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = authorities {
            tls = tls.root_certs(RootCerts::from(read_authorities(path)?));
        }
        let agent = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_connect(Some(limits.connect))
            .timeout_recv_response(Some(limits.total))
            .timeout_global(Some(limits.total))
            .max_redirects(3)
            .user_agent(concat!("monigo/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            servers: urls,
            cache,
            limits,
            agent: agent.into(),
            failed: Mutex::default(),
        })
    }

    /// The debug file of a build, from the cache or a server; `None` if nobody has it. That it really
    /// is of this build is for the caller to check.
    pub(super) fn debug_file(&self, build_id: &str) -> Result<Option<PathBuf>, RemoteError> {
        // It becomes part of a URL and of a path.
        let plain = build_id.len() >= 8 && build_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !plain {
            return Ok(None);
        }
        let cache_error = |source| RemoteError::Cache {
            path: self.cache.clone(),
            source,
        };
        private_folder(&self.cache).map_err(cache_error)?;
        let path = self.cache.join(format!("{build_id}.debug"));
        if open_own(&path).is_some() {
            return Ok(Some(path));
        }
        let mut failed = self
            .failed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if failed.contains(build_id) {
            return Ok(None);
        }
        let mut problem = None;
        for server in &self.servers {
            match self.fetch(server, build_id, &path) {
                Ok(true) => return Ok(Some(path)),
                Ok(false) => {}
                Err(reason) => {
                    let server = server.clone();
                    problem.get_or_insert(RemoteError::Server { server, reason });
                }
            }
        }
        failed.insert(build_id.to_owned());
        problem.map_or(Ok(None), Err)
    }

    /// Whether the server had it.
    fn fetch(&self, server: &str, build_id: &str, path: &Path) -> Result<bool, String> {
        let url = format!("{server}/buildid/{build_id}/debuginfo");
        let mut response = match self.agent.get(&url).call() {
            Ok(response) => response,
            Err(ureq::Error::StatusCode(404)) => return Ok(false),
            Err(error) => return Err(error.to_string()),
        };
        let limit = self.limits.bytes;
        let length = response.body().content_length();
        if length.is_some_and(|length| length > limit) {
            return Err(format!("the file is larger than {} MB", limit >> 20));
        }
        // Nobody sees half a file under the name that counts.
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let _ = fs::remove_file(&part);
        let done = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&part)?;
            let mut body = response.body_mut().as_reader().take(limit + 1);
            let copied = io::copy(&mut body, &mut file)?;
            if copied > limit {
                return Err(io::Error::other("the file is larger than allowed"));
            }
            file.flush()?;
            fs::rename(&part, path)
        })();
        if let Err(error) = done {
            let _ = fs::remove_file(&part);
            return Err(error.to_string());
        }
        Ok(true)
    }
}

/// The certificates of a PEM file.
fn read_authorities(path: &Path) -> Result<Vec<Certificate<'static>>, RemoteError> {
    let failed = |reason: String| RemoteError::Authorities {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|error| failed(error.to_string()))?
        {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(failed("it holds no certificate in PEM form".to_owned()));
    }
    Ok(found)
}
