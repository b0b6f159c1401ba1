//! Who is answered.

use std::net::SocketAddr;

use axum::http::{Method, StatusCode};

use super::{TOKEN, fixture, loopback, send};
use crate::api::{
    AuthSettings, HttpSettings, Secret,
    guard::{GuardError, Guards, hash_password},
};

fn by_token() -> HttpSettings {
    HttpSettings {
        auth: AuthSettings {
            token: Some(Secret::new(TOKEN)),
            ..AuthSettings::default()
        },
        ..HttpSettings::default()
    }
}

#[tokio::test]
async fn loopback_wants_its_own_name() {
    let router = loopback().router;
    for host in [
        "localhost:8080",
        "LOCALHOST:8080",
        "127.0.0.1:8080",
        "[::1]:8080",
    ] {
        let answer = send(&router, Method::GET, "/api/v1/overview", &[("host", host)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost",
        "localhost:8081",
        "localhost.evil.example:8080",
        "127.0.0.1.evil.example:8080",
        "127.0.0.1:8080:8080",
        "",
    ] {
        for path in ["/", "/api/v1/overview", "/api/v1/events"] {
            let answer = send(&router, Method::GET, path, &[("host", host)]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{host} {path}");
        }
    }
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "localhost:8080"),
    ];
    let answer = send(&router, Method::GET, "/", &forged).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let router = loopback().router;
    for (name, value, allowed) in [
        ("origin", "http://localhost:8080", true),
        ("origin", "http://evil.example", false),
        ("origin", "http://localhost:3000", false),
        ("origin", "null", false),
        ("sec-fetch-site", "same-origin", true),
        ("sec-fetch-site", "none", true),
        ("sec-fetch-site", "same-site", false),
        ("sec-fetch-site", "cross-site", false),
    ] {
        let answer = send(&router, Method::GET, "/api/v1/overview", &[(name, value)]).await;
        assert_eq!(answer.status == StatusCode::OK, allowed, "{name}: {value}");
    }
    let foreign = [("origin", "http://evil.example")];
    let answer = send(&router, Method::GET, "/api/v1/events", &foreign).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let router = loopback().router;
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
    ] {
        for path in [
            "/",
            "/api/v1/overview",
            "/monigo/api/v1/exporters",
            "/healthz",
        ] {
            let answer = send(&router, method.clone(), path, &[]).await;
            assert_eq!(
                answer.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_eq!(answer.header("allow").replace(' ', ""), "GET,HEAD");
            if method != Method::OPTIONS {
                assert_eq!(answer.code(), "method_not_allowed", "{path}");
            }
        }
    }
    let answer = send(&router, Method::HEAD, "/api/v1/overview", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn strangers_need_the_token() {
    let bound: SocketAddr = "0.0.0.0:8080".parse().unwrap();
    let router = fixture(&by_token(), bound).router;
    let host = ("host", "shop-7:8080");
    let path = "/api/v1/overview";

    let answer = send(&router, Method::GET, path, &[host]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.code(), "unauthorized");
    let html = ("accept", "text/html,*/*");
    let answer = send(&router, Method::GET, "/", &[host, html]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.body.contains("the token that monigo printed"));

    let short = &TOKEN[..31];
    // No more guesses than a client has.
    for wrong in ["", short, &format!("{TOKEN}0")] {
        let bearer = format!("Bearer {wrong}");
        let cookie = format!("monigo_token_8080={wrong}");
        for pair in [
            ("authorization", bearer.as_str()),
            ("cookie", cookie.as_str()),
        ] {
            let answer = send(&router, Method::GET, path, &[host, pair]).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{pair:?}");
        }
        let answer = send(&router, Method::GET, &format!("/?token={wrong}"), &[host]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let other_port = format!("monigo_token_9090={TOKEN}");
    let answer = send(&router, Method::GET, path, &[host, ("cookie", &other_port)]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    let answer = send(&router, Method::GET, &format!("/?token={TOKEN}"), &[host]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(
        !answer.body.contains(TOKEN),
        "the page does not repeat the token"
    );
    let set = answer.header("set-cookie").to_owned();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap_or_default();
    let many = format!("theme=dark; {cookie}; other=1");
    for pair in [("cookie", cookie), ("cookie", &many)] {
        let answer = send(&router, Method::GET, path, &[host, pair]).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let bearer = format!("Bearer {TOKEN}");
    let answer = send(
        &router,
        Method::GET,
        path,
        &[host, ("authorization", &bearer)],
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[test]
fn tokens_are_long_and_differ() {
    let url = |bound: &str| {
        let bound = Some(bound.parse().unwrap());
        Guards::new(&HttpSettings::default(), bound).unwrap().url
    };
    let (first, second) = (url("192.0.2.1:80"), url("192.0.2.1:80"));
    assert_ne!(first, second);
    let token = first.split_once("http://192.0.2.1:80/?token=").unwrap().1;
    assert_eq!(token.len(), 32);
    assert_eq!(url("127.0.0.1:8080"), "http://127.0.0.1:8080/");
}

#[tokio::test]
async fn every_answer_carries_the_guarding_headers() {
    let router = loopback().router;
    for (path, host) in [
        ("/", "localhost:8080"),
        ("/api/v1/overview", "localhost:8080"),
        ("/api/v1/nothing", "localhost:8080"),
        ("/api/v1/heatmap?function=0", "localhost:8080"),
        ("/", "evil.example"),
    ] {
        let answer = send(&router, Method::GET, path, &[("host", host)]).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'self';"),
            "{path}: {policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
}

#[test]
fn other_addresses_than_loopback_demand_authentication() {
    let everywhere = Some("0.0.0.0:8080".parse().unwrap());
    let mut settings = HttpSettings::default();
    let url = |settings: &HttpSettings| Guards::new(settings, everywhere).unwrap().url;
    assert!(url(&settings).contains("?token="), "one is made up");
    settings.listen.insecure = true;
    assert!(!url(&settings).contains("token"), "none is wanted");
    settings.auth.token = Some(Secret::new(TOKEN));
    let error = Guards::new(&settings, everywhere).err().unwrap();
    assert!(matches!(error, GuardError::Contradiction { .. }), "{error}");
    settings.listen.insecure = false;
    assert!(url(&settings).ends_with(&format!("?token={TOKEN}")));
}

#[tokio::test]
async fn loopback_may_be_guarded_as_well() {
    let router = fixture(&by_token(), super::BOUND).router;
    let answer = send(&router, Method::GET, "/api/v1/overview", &[]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.header("www-authenticate"),
        r#"Bearer realm="monigo""#
    );
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let refused = |change: &dyn Fn(&mut HttpSettings)| {
        let mut settings = HttpSettings::default();
        change(&mut settings);
        let error = Guards::new(&settings, Some(super::BOUND)).err();
        error.expect("refused").to_string()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    let hash = hash_password(&Secret::new("secret")).unwrap();
    std::fs::write(file.path(), format!("ann{hash}")).unwrap();
    let path = file.path().to_owned();
    let cases: [(&str, String); 8] = [
        (
            "auth.token: the token must be at least 16",
            refused(&|settings| settings.auth.token = Some(Secret::new("short"))),
        ),
        (
            "auth.token: the token must be",
            refused(&|settings| settings.auth.token = Some(Secret::new("0123456789abcdef\r\nx:y"))),
        ),
        (
            "auth.api_key: the API key on line 1",
            refused(&|settings| settings.auth.api_key = Some(Secret::new("short"))),
        ),
        (
            "line 1 is not name:hash",
            refused(&|settings| settings.auth.users_file = Some(path.clone())),
        ),
        (
            "auth.api_keys_file: /nonexistent cannot be read",
            refused(&|settings| settings.auth.api_keys_file = Some("/nonexistent".into())),
        ),
        (
            "listen.cors_origins: '*' is not an origin",
            refused(&|settings| settings.listen.cors_origins = vec!["*".to_owned()]),
        ),
        (
            "listen.base_path: '/api/v1' cannot",
            refused(&|settings| settings.listen.base_path = "/api/v1".to_owned()),
        ),
        (
            "listen.base_path: '/a/{b}' cannot",
            refused(&|settings| settings.listen.base_path = "/a/{b}".to_owned()),
        ),
    ];
    for (part, message) in cases {
        assert!(message.contains(part), "{part}: {message}");
        assert!(
            !message.contains("short'") && !message.contains("argon2"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn without_authentication_names_that_can_be_rebound_are_refused() {
    let mut settings = HttpSettings::default();
    settings.listen.insecure = true;
    let everywhere: SocketAddr = "0.0.0.0:8080".parse().unwrap();
    let ask = async |settings: &HttpSettings, host: &str| {
        let router = fixture(settings, everywhere).router;
        send(&router, Method::GET, "/api/v1/overview", &[("host", host)])
            .await
            .status
            .as_u16()
    };
    for (host, status) in [
        ("192.0.2.1:8080", 200),
        ("[2001:db8::1]:8080", 200),
        ("localhost:8080", 200),
        ("evil.example:8080", 403),
        ("shop-7.example", 403),
    ] {
        assert_eq!(ask(&settings, host).await, status, "{host}");
    }
    settings.listen.allowed_hosts = vec!["shop-7.example".to_owned()];
    assert_eq!(ask(&settings, "shop-7.example").await, 200);
    assert_eq!(ask(&settings, "192.0.2.1:8080").await, 403);
    let mut guarded = by_token();
    guarded.listen.allowed_hosts = vec!["shop-7.example".to_owned()];
    assert_eq!(ask(&guarded, "evil.example").await, 403);
    assert_eq!(ask(&guarded, "shop-7.example").await, 401);
}

#[tokio::test]
async fn pages_of_listed_origins_may_read() {
    let mut settings = by_token();
    let origin = ("origin", "https://grafana.example");
    settings.listen.cors_origins = vec![origin.1.to_owned()];
    let router = fixture(&settings, super::BOUND).router;
    let path = "/monigo/api/v1/service-info";
    // The browser asks first, without credentials.
    let preflight = [
        origin,
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "x-api-key"),
    ];
    let answer = send(&router, Method::OPTIONS, path, &preflight).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), origin.1);
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("x-api-key")
    );
    let bearer = format!("Bearer {TOKEN}");
    let credentials = ("authorization", bearer.as_str());
    let cross = ("sec-fetch-site", "cross-site");
    let answer = send(&router, Method::GET, path, &[origin, cross, credentials]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), origin.1);
    let answer = send(&router, Method::GET, path, &[origin, cross]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let foreign = ("origin", "https://evil.example");
    let answer = send(&router, Method::GET, path, &[foreign, cross, credentials]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}
