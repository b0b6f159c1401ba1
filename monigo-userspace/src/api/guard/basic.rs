//! Names and passwords.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::{
    Check,
    keys::{Offer, hash},
    refuse,
};
use crate::api::settings::Secret;

/// What browsers ask the user for.
pub const CHALLENGE: HeaderValue =
    HeaderValue::from_static(r#"Basic realm="monigo", charset="UTF-8""#);
/// Passwords that are verified at the same time; each takes 19 MiB and some milliseconds of a CPU.
const CONCURRENT_CHECKS: usize = 2;
/// Longest name and password together, bytes.
const LONGEST_OFFER: usize = 1024;

/// Why users cannot be let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasicAuthError {
    /// Not `name:hash`.
    #[error("line {line} is not name:hash")]
    NotAUser {
        /// Line, from 1.
        line: usize,
    },
    /// The hash is not argon2's.
    #[error(
        "the hash of {name} on line {line} is not an argon2 hash; make one with `monigo hash-password`"
    )]
    BadHash {
        /// Line, from 1.
        line: usize,
        /// The user.
        name: String,
    },
    /// A name twice.
    #[error("line {line} names {name} again")]
    Twice {
        /// Line, from 1.
        line: usize,
        /// The user.
        name: String,
    },
    /// Nothing but comments.
    #[error("it names no user; write lines name:hash")]
    Empty,
    /// Hashing failed.
    #[error("the password cannot be hashed: {0}")]
    Hashing(String),
}

/// Hashes a password as the users file wants it (argon2id, PHC format).
pub fn hash_password(password: &Secret) -> Result<String, BasicAuthError> {
    Argon2::default()
        .hash_password(password.expose().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| BasicAuthError::Hashing(error.to_string()))
}

/// HTTP Basic: lets through who knows the password of a user, and refuses the rest with 401.
///
/// Verifying takes some milliseconds, on purpose. A name and password that were right are remembered as a
/// salted hash, so that only the first request pays.
#[derive(Clone)]
pub struct BasicAuth(Arc<Users>);

struct Users {
    hashes: HashMap<String, PasswordHash>,
    /// Verified for names that do not exist, so that time does not tell them.
    decoy: PasswordHash,
    salt: [u8; 32],
    verified: Mutex<HashMap<String, [u8; 32]>>,
    checks: Arc<Semaphore>,
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.hashes.keys();
        f.debug_tuple("BasicAuth").field(&names).finish()
    }
}

impl BasicAuth {
    /// Reads lines `name:hash`; empty lines and those that begin with `#` do not count.
    pub fn parse(lines: &Secret) -> Result<Self, BasicAuthError> {
        let mut hashes = HashMap::new();
        for (text, line) in lines.expose().lines().zip(1..) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, hash) = text
                .split_once(':')
                .filter(|(name, _)| !name.is_empty())
                .ok_or(BasicAuthError::NotAUser { line })?;
            let name = name.to_owned();
            let hash = PasswordHash::new(hash)
                .ok()
                .filter(|hash| hash.algorithm.as_str().starts_with("argon2"));
            let Some(hash) = hash else {
                return Err(BasicAuthError::BadHash { line, name });
            };
            if hashes.insert(name.clone(), hash).is_some() {
                return Err(BasicAuthError::Twice { line, name });
            }
        }
        let Some(some) = hashes.values().next() else {
            return Err(BasicAuthError::Empty);
        };
        Ok(Self(Arc::new(Users {
            decoy: some.clone(),
            hashes,
            salt: rand::random(),
            verified: Mutex::default(),
            checks: Arc::new(Semaphore::new(CONCURRENT_CHECKS)),
        })))
    }

    /// Whether the request offers a name and password, and whether they were right before; without verifying
    /// anything.
    pub(super) fn seen(&self, headers: &HeaderMap) -> Offer {
        let (name, password) = match offered(headers) {
            Offered::Nothing => return Offer::Nothing,
            Offered::Unreadable => return Offer::Wrong,
            Offered::Pair(name, password) => (name, password),
        };
        let verified = self.0.verified.lock();
        let verified = verified.unwrap_or_else(PoisonError::into_inner);
        let known = verified.get(&name);
        Offer::judge(known.is_some_and(|mark| mark.ct_eq(&self.mark(&name, &password)).into()))
    }

    /// Verifies the name and password of a request.
    pub(super) async fn verify(&self, headers: &HeaderMap) -> Offer {
        match (self.seen(headers), offered(headers)) {
            (Offer::Wrong, Offered::Pair(name, password)) => {
                Offer::judge(self.is_right(name, password).await)
            }
            (seen, _) => seen,
        }
    }

    async fn is_right(&self, name: String, password: Secret) -> bool {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&self.0.checks).acquire_owned().await else {
            return false;
        };
        let this = self.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let users = &this.0;
            let known = users.hashes.get(&name);
            let hash = known.unwrap_or(&users.decoy);
            let fits = Argon2::default()
                .verify_password(password.expose().as_bytes(), hash)
                .is_ok();
            let right = fits && known.is_some();
            if right {
                let mark = this.mark(&name, &password);
                let verified = users.verified.lock();
                let mut verified = verified.unwrap_or_else(PoisonError::into_inner);
                verified.insert(name, mark);
            }
            right
        });
        checked.await.unwrap_or(false)
    }

    fn mark(&self, name: &str, password: &Secret) -> [u8; 32] {
        let name = hash(name);
        hash([&self.0.salt, &name, password.expose().as_bytes()].concat())
    }
}

/// What a request says about its user.
enum Offered {
    Nothing,
    Unreadable,
    Pair(String, Secret),
}

fn offered(headers: &HeaderMap) -> Offered {
    let encoded = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let Some((_, encoded)) = encoded else {
        return Offered::Nothing;
    };
    let text = STANDARD.decode(encoded.trim()).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.filter(|text| text.len() <= LONGEST_OFFER);
    match text.as_ref().and_then(|text| text.split_once(':')) {
        Some((name, password)) => Offered::Pair(name.to_owned(), Secret::new(password)),
        None => Offered::Unreadable,
    }
}

impl Check for BasicAuth {
    async fn check(&self, request: Request) -> Result<Request, Response> {
        let headers = request.headers().clone();
        if self.verify(&headers).await == Offer::Right {
            return Ok(request);
        }
        let mut response = refuse(
            &headers,
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "A name and password are needed",
            "send a name and password that are in the users file",
        );
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, CHALLENGE);
        Err(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[tokio::test]
    async fn passwords_are_verified_once() {
        let hash = hash_password(&Secret::new("correct horse")).unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let users = BasicAuth::parse(&Secret::new(format!("# staff\nann:{hash}\n"))).unwrap();
        let right = headers("ann", "correct horse");
        assert_eq!(users.seen(&right), Offer::Wrong, "not verified yet");
        assert_eq!(users.verify(&right).await, Offer::Right);
        assert_eq!(users.seen(&right), Offer::Right);
        for (name, password) in [
            ("ann", "wrong"),
            ("bob", "correct horse"),
            ("", ""),
            ("ann", ""),
        ] {
            assert_eq!(users.verify(&headers(name, password)).await, Offer::Wrong);
        }
        assert_eq!(users.seen(&HeaderMap::new()), Offer::Nothing);
        let broken = HeaderMap::from_iter([(header::AUTHORIZATION, "Basic %%".parse().unwrap())]);
        assert_eq!(users.verify(&broken).await, Offer::Wrong);
        let shown = format!("{users:?}");
        assert!(
            shown.contains("ann") && !shown.contains("argon2"),
            "{shown}"
        );
    }

    #[test]
    fn bad_files_are_refused() {
        let hash = hash_password(&Secret::new("x")).unwrap();
        for (lines, part) in [
            (String::new(), "names no user"),
            ("ann".to_owned(), "line 1 is not name:hash"),
            (":x".to_owned(), "line 1 is not"),
            ("\nann:secret".to_owned(), "the hash of ann on line 2"),
            (
                "ann:$2b$12$abcdefghijklmnopqrstuv".to_owned(),
                "not an argon2 hash",
            ),
            (format!("ann:{hash}\nann:{hash}"), "line 2 names ann again"),
        ] {
            let error = BasicAuth::parse(&Secret::new(lines.clone())).unwrap_err();
            assert!(error.to_string().contains(part), "{lines}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
