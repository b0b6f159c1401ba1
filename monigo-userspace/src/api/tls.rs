//! Encryption, with certificates that may be replaced while the server runs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::settings::TlsSettings;

/// Time between looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why TLS is not possible.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One file without the other.
    #[error("{given} needs {missing} as well")]
    Half {
        /// What is configured.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("{setting}: {} cannot be used: {reason}", path.display())]
    Unusable {
        /// Setting.
        setting: &'static str,
        /// File.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key does not belong to the certificate, or is of a kind that is not known.
    #[error("{} and {} cannot be used together: {reason}", cert.display(), key.display())]
    Pair {
        /// Certificate.
        cert: PathBuf,
        /// Key.
        key: PathBuf,
        /// Why.
        reason: rustls::Error,
    },
}

/// A certificate and key that are read again when their files change.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamps: [Option<SystemTime>; 2],
    looked: Instant,
}

impl Tls {
    /// Reads the files; `None` when there are none.
    pub fn new(settings: &TlsSettings) -> Result<Option<Self>, TlsError> {
        let (cert, key) = match (&settings.cert_file, &settings.key_file) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (Some(_), None) => {
                let (given, missing) = ("tls.cert_file", "tls.key_file");
                return Err(TlsError::Half { given, missing });
            }
            (None, Some(_)) => {
                let (given, missing) = ("tls.key_file", "tls.cert_file");
                return Err(TlsError::Half { given, missing });
            }
        };
        let stamps = [stamp(&cert), stamp(&key)];
        let config = load(&cert, &key)?;
        Ok(Some(Self {
            cert,
            key,
            current: Mutex::new(Current {
                config,
                stamps,
                looked: Instant::now(),
            }),
        }))
    }

    /// What to use for the next connection. When the new files cannot be used, the old certificate stays.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let stamps = [stamp(&self.cert), stamp(&self.key)];
            if stamps != current.stamps {
                current.stamps = stamps;
                match load(&self.cert, &self.key) {
                    Ok(config) => {
                        tracing::info!("read {} again", self.cert.display());
                        current.config = config;
                    }
                    Err(error) => tracing::warn!("the old certificate stays in use: {error}"),
                }
            }
        }
        Arc::clone(&current.config)
    }
}

fn stamp(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|data| data.modified()).ok()
}

fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unusable = |setting, path: &Path, reason: &dyn std::fmt::Display| TlsError::Unusable {
        setting,
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable("tls.cert_file", cert, &error))?;
    if chain.is_empty() {
        let reason = io::Error::other("it holds no certificate in PEM format");
        return Err(unusable("tls.cert_file", cert, &reason));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("tls.key_file", key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(ServerConfigBuilder::with_no_client_auth)
        .and_then(|builder| builder.with_single_cert(chain, secret))
        .map_err(|reason| TlsError::Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
            reason,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

type ServerConfigBuilder = rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>;
