//! Each guard by itself, around a router of somebody else.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower::{Layer, ServiceExt as _};

use super::*;
use crate::api::Secret;

fn router() -> Router {
    Router::new().route("/", get(async || "reached"))
}

async fn ask(router: Router, from: &str, headers: &[(&str, &str)]) -> Response {
    let peer: SocketAddr = from.parse().unwrap();
    let mut request = Request::get("/").extension(ConnectInfo(peer));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn status(router: Router, headers: &[(&str, &str)]) -> u16 {
    ask(router, "192.0.2.1:1", headers).await.status().as_u16()
}

#[tokio::test]
async fn api_keys() {
    let keys = ApiKeys::parse(&Secret::new("0123456789abcdef")).unwrap();
    let router = router().layer(Guard::new(keys));
    assert_eq!(status(router.clone(), &[]).await, 401);
    assert_eq!(
        status(router, &[("x-api-key", "0123456789abcdef")]).await,
        200
    );
}

#[tokio::test]
async fn basic() {
    let hash = hash_password(&Secret::new("horse")).unwrap();
    let users = BasicAuth::parse(&Secret::new(format!("ann:{hash}"))).unwrap();
    let router = router().layer(Guard::new(users));
    let refused = ask(router.clone(), "192.0.2.1:1", &[]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key("www-authenticate"));
    let right = format!("Basic {}", STANDARD.encode("ann:horse"));
    assert_eq!(status(router, &[("authorization", &right)]).await, 200);
}

#[tokio::test]
async fn allow_list_with_and_without_an_address() {
    let list = || Guard::new(AllowList::new(vec!["192.0.2.1/32".parse().unwrap()]));
    assert_eq!(
        status(router().layer(list()), &[]).await,
        403,
        "nobody looked"
    );
    let router = router()
        .layer(list())
        .layer(Guard::new(ClientAddress::default()));
    assert_eq!(status(router.clone(), &[]).await, 200);
    let other = ask(router, "192.0.2.2:1", &[("x-forwarded-for", "192.0.2.1")]).await;
    assert_eq!(other.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn rate_limit() {
    let one = std::num::NonZeroU32::MIN;
    let router = router()
        .layer(Guard::new(RateLimit::per_minute(one, one)))
        .layer(Guard::new(ClientAddress::default()));
    assert_eq!(status(router.clone(), &[]).await, 200);
    let refused = ask(router, "192.0.2.1:1", &[]).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait = refused.headers()["retry-after"].to_str().unwrap();
    assert!((1..=60).contains(&wait.parse::<u32>().unwrap()), "{wait}");
}

#[tokio::test]
async fn host_and_origin() {
    let check = Guard::new(HostCheck::new(["shop.example".to_owned()]));
    let hosts = router().layer(check);
    assert_eq!(
        status(hosts.clone(), &[("host", "shop.example")]).await,
        200
    );
    assert_eq!(
        status(hosts.clone(), &[("host", "evil.example")]).await,
        403
    );
    assert_eq!(status(hosts, &[]).await, 403);
    let origins = OriginCheck::allowing(vec!["https://grafana.example".to_owned()]);
    let origins = router().layer(Guard::new(origins));
    for (origin, expected) in [
        ("https://grafana.example", 200),
        ("https://shop.example", 200),
        ("https://evil.example", 403),
    ] {
        let headers = [("host", "shop.example"), ("origin", origin)];
        assert_eq!(
            status(origins.clone(), &headers).await,
            expected,
            "{origin}"
        );
    }
}

#[tokio::test]
async fn headers() {
    let plain = SecurityHeaders::default().layer(router());
    let request = || Request::get("/").body(Body::empty()).unwrap();
    let answer = plain.oneshot(request()).await.unwrap();
    assert!(answer.headers().contains_key("content-security-policy"));
    assert!(!answer.headers().contains_key("strict-transport-security"));
    let https = SecurityHeaders::default().https_only(true).layer(router());
    let answer = https.oneshot(request()).await.unwrap();
    assert!(answer.headers().contains_key("strict-transport-security"));
}
