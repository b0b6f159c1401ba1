//! All guards of the server, as its settings want them.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use tower::util::option_layer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
};

use super::{
    AllowList, ApiKeyError, Authentication, BasicAuthError, ClientAddress, Guard, HostCheck,
    OriginCheck, RateLimit, SecurityHeaders, TokenAccess,
    credentials::{Credentials, Place, SHORTEST_TOKEN},
    whole::{Bodies, whole},
};
use crate::api::{
    error::ApiError,
    settings::{HttpSettings, Secret},
    v1::Schemes,
};

/// Why the settings let nobody in.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A file with secrets cannot be read.
    #[error("{setting}: {} cannot be read", path.display())]
    Unreadable {
        /// Setting.
        setting: &'static str,
        /// File.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The users file is wrong.
    #[error("auth.users_file: {}: {reason}", path.display())]
    Users {
        /// File.
        path: PathBuf,
        /// What is wrong.
        reason: BasicAuthError,
    },
    /// API keys are wrong.
    #[error("{setting}: {reason}")]
    Keys {
        /// Setting, with the file.
        setting: String,
        /// What is wrong.
        reason: ApiKeyError,
    },
    /// The token is no token.
    #[error(
        "{setting}: the token must be at least {SHORTEST_TOKEN} letters, digits, - or _; make one with `openssl rand -hex 16`"
    )]
    Token {
        /// Setting.
        setting: &'static str,
    },
    /// Authentication is wanted and not wanted.
    #[error("listen.insecure and {setting} contradict each other; leave one of them out")]
    Contradiction {
        /// The other setting.
        setting: &'static str,
    },
    /// Not an origin.
    #[error(
        "listen.cors_origins: '{0}' is not an origin; write for example https://grafana.example.org"
    )]
    Origin(String),
    /// The API cannot be there.
    #[error(
        "listen.base_path: '{0}' cannot be the path of the API; write for example /monigo/api/v1"
    )]
    BasePath(String),
}

/// The guards, and what to open in a browser.
pub struct Guards {
    headers: SecurityHeaders,
    client: ClientAddress,
    allow: Option<AllowList>,
    rate: Option<RateLimit>,
    host: Option<HostCheck>,
    cors: Option<CorsLayer>,
    origin: OriginCheck,
    authentication: Authentication,
    bodies: Bodies,
    timeout: Duration,
    /// Holds the token when there is one.
    pub url: String,
}

impl Guards {
    /// Reads the files that the settings name. `bound` is where the server listens, `None` when somebody else's
    /// server does.
    pub fn new(settings: &HttpSettings, bound: Option<SocketAddr>) -> Result<Self, GuardError> {
        let listen = &settings.listen;
        check_base_path(&listen.base_path)?;
        let https = settings.tls.cert_file.is_some();
        let remote = bound.is_some_and(|bound| !bound.ip().to_canonical().is_loopback());
        let port = bound.map_or(0, |bound| bound.port());
        let otherwise = (remote && !listen.insecure).then(random_token);
        let credentials = Credentials::read(&settings.auth, Place { port, https }, otherwise)?;
        let ways = credentials.now();
        if let Some(setting) = ways.any().filter(|_| listen.insecure) {
            return Err(GuardError::Contradiction { setting });
        }
        let token = ways.token.as_ref().map(TokenAccess::token);
        let url = bound.map_or_else(String::new, |bound| url(bound, https, token));
        let authentication = Authentication::of(credentials);
        let names = HostCheck::new(listen.allowed_hosts.iter().cloned());
        let host = match bound {
            Some(bound) if !remote => Some(names.or_loopback(bound)),
            _ if !listen.allowed_hosts.is_empty() => Some(names),
            // Elsewhere a page that has rebound its name holds no credentials, unless none are needed.
            Some(_) if !authentication.is_required() => {
                let own = [Some("localhost".to_owned()), host_name()];
                Some(HostCheck::new(own.into_iter().flatten()).or_addresses())
            }
            _ => None,
        };
        let rate = NonZeroU32::new(listen.requests_per_second);
        let burst = NonZeroU32::new(listen.burst).unwrap_or(NonZeroU32::MIN);
        let origins: Vec<String> = listen
            .cors_origins
            .iter()
            .map(|origin| origin.to_ascii_lowercase())
            .collect();
        Ok(Self {
            headers: SecurityHeaders::default().https_only(https),
            client: ClientAddress::behind(listen.trusted_proxies.clone()),
            allow: (!settings.auth.allow.is_empty())
                .then(|| AllowList::new(settings.auth.allow.clone())),
            rate: rate.map(|rate| RateLimit::per_second(rate, burst)),
            host,
            cors: cors(&origins)?,
            origin: OriginCheck::allowing(origins)
                .https_only(https)
                .below(["/api".to_owned(), listen.base_path.clone()]),
            authentication,
            bodies: Bodies {
                max_bytes: usize::try_from(listen.max_body.bytes()).unwrap_or(usize::MAX),
                limit: listen.body_timeout.duration(),
            },
            timeout: listen.request_timeout.duration(),
            url,
        })
    }

    /// The ways to authenticate that are taken.
    pub fn schemes(&self) -> Schemes {
        self.authentication.schemes()
    }

    /// Puts the guards around a router, its fallback included.
    pub fn around(self, router: Router) -> Router {
        // From the inside out.
        router
            .layer(DefaultBodyLimit::max(self.bodies.max_bytes))
            .layer(CompressionLayer::new())
            .layer(middleware::from_fn_with_state(self.bodies, whole))
            .layer(middleware::from_fn_with_state(self.timeout, in_time))
            .layer(Guard::new(self.authentication))
            .layer(Guard::new(self.origin))
            .layer(option_layer(self.cors))
            .layer(option_layer(self.host.map(Guard::new)))
            .layer(option_layer(self.rate.map(Guard::new)))
            .layer(option_layer(self.allow.map(Guard::new)))
            .layer(Guard::new(self.client))
            .layer(CatchPanicLayer::custom(|_| {
                ApiError::internal(&"a handler panicked").into_response()
            }))
            .layer(self.headers)
    }
}

/// 128 bits from the system's generator, in hex.
fn random_token() -> Secret {
    Secret::new(format!("{:032x}", rand::random::<u128>()))
}

fn host_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

/// What to open in a browser.
fn url(bound: SocketAddr, https: bool, token: Option<&Secret>) -> String {
    let scheme = if https { "https" } else { "http" };
    let host = if bound.ip().is_unspecified() {
        host_name().unwrap_or_else(|| "localhost".to_owned())
    } else if bound.is_ipv6() {
        format!("[{}]", bound.ip())
    } else {
        bound.ip().to_string()
    };
    let query = token.map_or_else(String::new, |token| format!("?token={}", token.expose()));
    format!("{scheme}://{host}:{}/{query}", bound.port())
}

fn check_base_path(path: &str) -> Result<(), GuardError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let good = path.strip_prefix('/').is_some_and(|rest| {
        rest.bytes().all(plain) && rest.split('/').all(|part| !part.is_empty() && part != "..")
    });
    let own = ["/api", "/api/v1", "/healthz", "/readyz", "/metrics"];
    let taken = own.contains(&path) || path.starts_with("/api/v1/");
    if good && !taken {
        Ok(())
    } else {
        Err(GuardError::BasePath(path.to_owned()))
    }
}

fn cors(origins: &[String]) -> Result<Option<CorsLayer>, GuardError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let values = origins
        .iter()
        .map(|origin| {
            let rest = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"))
                .filter(|rest| !rest.is_empty() && !rest.contains(['/', '*', ' ']));
            rest.and_then(|_| HeaderValue::from_str(origin).ok())
                .ok_or_else(|| GuardError::Origin(origin.clone()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(values))
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static(super::keys::HEADER),
        ])
        .max_age(Duration::from_mins(10));
    Ok(Some(layer))
}

/// Ends what takes too long before the answer begins.
async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::too_slow(limit).into_response())
}
