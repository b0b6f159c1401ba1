//! Keys in a header.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::{Check, refuse};
use crate::api::settings::Secret;

/// The header that keys come in.
pub const HEADER: &str = "x-api-key";
/// Shorter keys can be guessed.
const SHORTEST_KEY: usize = 16;

/// What a request offers by one way of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Nothing.
    Nothing,
    /// Something that is wrong.
    Wrong,
    /// What is wanted.
    Right,
}

impl Offer {
    pub fn judge(right: bool) -> Self {
        if right { Self::Right } else { Self::Wrong }
    }
}

/// Why keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Easily guessed.
    #[error(
        "the API key on line {line} is shorter than {SHORTEST_KEY} characters; make one with `openssl rand -hex 24`"
    )]
    TooShort {
        /// Line, from 1.
        line: usize,
    },
    /// `sha256:` without 64 hex digits.
    #[error("line {line} begins with sha256: but is not followed by 64 hex digits")]
    BadHash {
        /// Line, from 1.
        line: usize,
    },
    /// Nothing but comments.
    #[error("it holds no API key; write one on a line of its own")]
    Empty,
}

/// Lets through what carries one of the keys in the header `X-API-Key`, and refuses the rest with 401. Only
/// hashes are kept, and all of them are compared in constant time.
#[derive(Clone)]
pub struct ApiKeys {
    hashes: Vec<[u8; 32]>,
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({} hidden)", self.hashes.len())
    }
}

impl ApiKeys {
    /// Reads lines with one key each, in plain or as `sha256:HEX`; empty lines and those that begin with `#` do
    /// not count.
    pub fn parse(lines: &Secret) -> Result<Self, ApiKeyError> {
        let hashes = lines
            .expose()
            .lines()
            .zip(1..)
            .map(|(text, line)| (text.trim(), line))
            .filter(|(text, _)| !text.is_empty() && !text.starts_with('#'))
            .map(|(text, line)| match text.strip_prefix("sha256:") {
                Some(hex) => unhex(hex).ok_or(ApiKeyError::BadHash { line }),
                None if text.len() < SHORTEST_KEY => Err(ApiKeyError::TooShort { line }),
                None => Ok(hash(text)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if hashes.is_empty() {
            return Err(ApiKeyError::Empty);
        }
        Ok(Self { hashes })
    }

    /// The keys of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.hashes.extend(other.hashes);
        self
    }

    pub(super) fn offer(&self, headers: &HeaderMap) -> Offer {
        let mut keys = headers.get_all(HEADER).iter();
        match (keys.next(), keys.next()) {
            (None, _) => Offer::Nothing,
            (Some(key), None) => Offer::judge(self.has(key.as_bytes())),
            (Some(_), Some(_)) => Offer::Wrong,
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        let key = hash(key);
        self.hashes
            .iter()
            .fold(Choice::from(0), |found, own| found | own.ct_eq(&key))
            .into()
    }
}

pub(super) fn hash(text: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl Check for ApiKeys {
    async fn check(&self, request: Request) -> Result<Request, Response> {
        if self.offer(request.headers()) == Offer::Right {
            return Ok(request);
        }
        Err(refuse(
            request.headers(),
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "A key is needed",
            "send an API key in the header X-API-Key",
        ))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const KEY: &str = "0123456789abcdef";
    /// Of `fedcba9876543210`.
    const HASHED: &str = "sha256:3f7e0b52f9f1a8ad6bc6fe8b0e9f4d6d";

    fn offer(keys: &ApiKeys, sent: &[&str]) -> Offer {
        let headers = sent
            .iter()
            .map(|key| {
                (
                    HeaderName::from_static(HEADER),
                    HeaderValue::from_str(key).unwrap(),
                )
            })
            .collect();
        keys.offer(&headers)
    }

    #[test]
    fn keys_in_plain_and_hashed() {
        let mut hex = String::new();
        for byte in hash("fedcba9876543210") {
            use std::fmt::Write as _;
            write!(hex, "{byte:02x}").unwrap();
        }
        let lines = format!("# for Grafana\n\n  {KEY}\nsha256:{hex}\n");
        let keys = ApiKeys::parse(&Secret::new(lines)).unwrap();
        assert_eq!(offer(&keys, &[]), Offer::Nothing);
        assert_eq!(offer(&keys, &[KEY]), Offer::Right);
        assert_eq!(offer(&keys, &["fedcba9876543210"]), Offer::Right);
        assert_eq!(offer(&keys, &[&format!("sha256:{hex}")]), Offer::Wrong);
        assert_eq!(offer(&keys, &[""]), Offer::Wrong);
        assert_eq!(offer(&keys, &[&KEY[1..]]), Offer::Wrong);
        assert_eq!(offer(&keys, &[KEY, KEY]), Offer::Wrong);
        assert_eq!(format!("{keys:?}"), "ApiKeys(2 hidden)");
    }

    #[test]
    fn bad_files_are_refused() {
        for (lines, expected) in [
            ("# nothing\n", ApiKeyError::Empty),
            ("\nsecret\n", ApiKeyError::TooShort { line: 2 }),
            (HASHED, ApiKeyError::BadHash { line: 1 }),
            (
                &format!("sha256:{}", "é".repeat(32)),
                ApiKeyError::BadHash { line: 1 },
            ),
        ] {
            assert_eq!(ApiKeys::parse(&Secret::new(lines)).unwrap_err(), expected);
        }
    }
}
