//! Any of several ways to authenticate.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse as _, Response},
};
use subtle::ConstantTimeEq as _;

use super::{
    ApiKeys, BasicAuth, Check, RateLimit,
    basic::CHALLENGE,
    credentials::{Credentials, Ways},
    keys::{Offer, hash},
    rate::too_many,
    refuse,
};
use crate::api::{error::ApiError, settings::Secret, v1::Schemes};

/// Wrong guesses that a client has at once, and a minute.
const GUESSES: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Entry by a token: as `Authorization: Bearer`, as a cookie, or once as `?token=` in the address of
/// a page, which is exchanged for the cookie.
#[derive(Clone)]
pub struct TokenAccess {
    token: Secret,
    hash: [u8; 32],
    cookie: String,
    https: bool,
}

impl std::fmt::Debug for TokenAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAccess").finish_non_exhaustive()
    }
}

impl TokenAccess {
    /// Cookies are shared by all ports of a host, so the cookie's name holds the port.
    pub fn new(token: Secret, port: u16, https: bool) -> Self {
        Self {
            hash: hash(token.expose()),
            token,
            cookie: format!("monigo_token_{port}"),
            https,
        }
    }

    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    fn is(&self, guess: &str) -> bool {
        self.hash.ct_eq(&hash(guess)).into()
    }

    fn offer(&self, headers: &HeaderMap) -> Offer {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == self.cookie)
            .map(|(_, value)| value);
        // All of them: one of a cookie's values may be left over from an earlier monigo.
        bearer
            .into_iter()
            .chain(cookies)
            .fold(Offer::Nothing, |offer, guess| match offer {
                Offer::Right => offer,
                _ => Offer::judge(self.is(guess)),
            })
    }

    /// Swaps the token in the URL for a cookie. A page that moves on by itself, not a redirect: a
    /// redirect after a click in another site's page would not carry a `SameSite=Strict` cookie.
    fn welcome(&self) -> Response {
        let secure = if self.https { "; Secure" } else { "" };
        let cookie = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict{secure}",
            self.cookie,
            self.token.expose()
        );
        let page = "<!doctype html><html lang=en><meta charset=utf-8>\
            <meta http-equiv=refresh content=\"0;url=/\"><title>monigo</title>\
            <p><a href=\"/\">Open the dashboard</a>";
        let Ok(mut cookie) = HeaderValue::try_from(cookie) else {
            return ApiError::internal(&"the cookie is not a header value").into_response();
        };
        cookie.set_sensitive(true);
        ([(header::SET_COOKIE, cookie)], Html(page)).into_response()
    }
}

fn token_parameter(uri: &Uri) -> Option<&str> {
    uri.query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
}

/// Lets through who authenticates by any of the ways that are configured, and refuses the rest with 401; with
/// 429, without verifying, who has guessed wrong 10 times a minute. Without any way, everybody is let through.
#[derive(Debug)]
pub struct Authentication {
    ways: Source,
    guesses: RateLimit,
}

/// Where the ways come from.
#[derive(Debug)]
enum Source {
    Fixed(Arc<Ways>),
    Files(Credentials),
}

impl Authentication {
    /// Any of these ways suffices.
    pub fn any_of(
        basic: Option<BasicAuth>,
        keys: Option<ApiKeys>,
        token: Option<TokenAccess>,
    ) -> Self {
        Self::with(Source::Fixed(Arc::new(Ways { basic, keys, token })))
    }

    /// Those that the settings name.
    pub(super) fn of(credentials: Credentials) -> Self {
        Self::with(Source::Files(credentials))
    }

    fn with(ways: Source) -> Self {
        Self {
            ways,
            guesses: RateLimit::per_minute(GUESSES, GUESSES),
        }
    }

    fn ways(&self) -> Arc<Ways> {
        match &self.ways {
            Source::Fixed(ways) => Arc::clone(ways),
            Source::Files(credentials) => credentials.now(),
        }
    }

    /// Whether anything is asked for.
    pub fn is_required(&self) -> bool {
        self.ways().any().is_some()
    }

    pub(super) fn schemes(&self) -> Schemes {
        let ways = self.ways();
        Schemes {
            basic: ways.basic.is_some(),
            api_key: ways.keys.is_some(),
            token: ways.token.is_some(),
        }
    }
}

impl Ways {
    fn refuse_stranger(&self, headers: &HeaderMap) -> Response {
        let ways = [
            self.basic.as_ref().map(|_| "a name and password"),
            self.keys.as_ref().map(|_| "an API key in the header X-API-Key"),
            self.token.as_ref().map(|_| {
                "the token that monigo printed when it started, in the address or as Authorization: Bearer"
            }),
        ];
        let ways: Vec<&str> = ways.into_iter().flatten().collect();
        let mut response = refuse(
            headers,
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "This dashboard is for some only",
            &format!("to get in, send {}", ways.join(", or ")),
        );
        // Without it, browsers do not ask for the password.
        let challenge = if self.basic.is_some() {
            CHALLENGE
        } else {
            HeaderValue::from_static(r#"Bearer realm="monigo""#)
        };
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        response
    }
}

impl Check for Authentication {
    async fn check(&self, request: Request) -> Result<Request, Response> {
        let ways = self.ways();
        if ways.any().is_none() {
            return Ok(request);
        }
        let headers = request.headers().clone();
        let basic = ways.basic.as_ref();
        let parameter = token_parameter(request.uri());
        let by_address = match (&ways.token, parameter) {
            (Some(token), Some(guess)) => Offer::judge(token.is(guess)),
            _ => Offer::Nothing,
        };
        // What costs next to nothing to verify comes first, so that guesses of others behind the same
        // address lock nobody out.
        let offers = [
            ways.keys.as_ref().map(|keys| keys.offer(&headers)),
            ways.token.as_ref().map(|token| token.offer(&headers)),
            basic.map(|basic| basic.seen(&headers)),
        ];
        if offers.contains(&Some(Offer::Right)) {
            return Ok(request);
        }
        if let (Offer::Right, Some(token)) = (by_address, &ways.token) {
            return Err(token.welcome());
        }
        if offers.contains(&Some(Offer::Wrong)) || by_address == Offer::Wrong {
            let client = request.extensions().get().copied();
            // A right password that is not known yet counts as well, once.
            self.guesses.take(client).map_err(|wait| {
                too_many(
                    wait,
                    "too many wrong passwords, keys or tokens from your address",
                )
            })?;
            if let Some(basic) = basic
                && basic.verify(&headers).await == Offer::Right
            {
                return Ok(request);
            }
        }
        Err(ways.refuse_stranger(&headers))
    }
}
