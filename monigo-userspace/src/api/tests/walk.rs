//! Every route of the document that the server hands out, in every state of credentials.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{BOUND, Fixture, TOKEN, fixture, get, loopback};
use crate::api::{HttpSettings, Secret, guard::hash_password};

const KEY: &str = "a key that nobody guesses";
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// A request that the server should understand.
struct Route {
    method: Method,
    path: String,
}

/// What the document names, and files, pages and nothing beside it.
async fn routes() -> Vec<Route> {
    let document = get(&loopback().router, "/monigo/api/v1/openapi.json")
        .await
        .json();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let required = operation["parameters"].as_array().into_iter().flatten();
            let query: Vec<String> = required
                .filter(|parameter| parameter["required"] == true)
                .map(|parameter| format!("{}=x", parameter["name"].as_str().unwrap()))
                .collect();
            routes.push(Route {
                method: method.to_uppercase().parse().unwrap(),
                path: format!("{path}?{}", query.join("&")),
            });
        }
    }
    assert!(routes.len() >= 14, "{} routes", routes.len());
    let others = [
        "/",
        "/some/page",
        "/assets/none.js",
        "/api/v1/overview",
        "/api/v1/events",
        "/api/v1/flamegraph.svg",
        "/api/v1/nothing",
        "/monigo/api/v1",
        "/monigo/api/v1/nothing",
    ];
    routes.extend(others.map(|path| Route {
        method: Method::GET,
        path: path.to_owned(),
    }));
    routes
}

/// What is sent, from where, the refusal that is due, and the headers.
type Case<'a> = (&'a str, Ipv4Addr, Option<u16>, Vec<(&'a str, String)>);

fn guarded() -> HttpSettings {
    let hash = hash_password(&Secret::new("correct horse")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("ann:{hash}\n")).unwrap();
    let mut settings = HttpSettings::default();
    settings.auth.users_file = Some(file.into_temp_path().keep().unwrap());
    settings.auth.api_key = Some(Secret::new(KEY));
    settings.auth.token = Some(Secret::new(TOKEN));
    settings.auth.allow = vec!["10.0.0.0/8".parse().unwrap()];
    settings
}

/// Sends a request as `client`; answers with its status and headers, not waiting for streams to end.
async fn ask(
    router: &Router,
    route: &Route,
    client: Ipv4Addr,
    headers: &[(&str, String)],
) -> (StatusCode, HeaderMap) {
    let mut request = Request::builder()
        .method(route.method.clone())
        .uri(&route.path)
        .extension(ConnectInfo(SocketAddr::from((client, 4711))))
        .header(header::HOST, "localhost:8080");
    let body = if route.method == Method::POST {
        request = request.header(header::CONTENT_TYPE, "application/json");
        Body::from("{}")
    } else {
        Body::empty()
    };
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(body).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    (response.status(), response.headers().clone())
}

fn basic(text: &str) -> (&'static str, String) {
    ("authorization", format!("Basic {}", STANDARD.encode(text)))
}

#[tokio::test]
async fn every_route_in_every_state_of_credentials() {
    let settings = guarded();
    let Fixture { router, .. } = fixture(&settings, BOUND);
    let spoofed = ("x-forwarded-for", INSIDE.to_string());
    let key = ("x-api-key", KEY.to_owned());
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let cookie = |token: &str| ("cookie", format!("monigo_token_8080={token}"));
    let cases: [Case; 15] = [
        ("nothing", INSIDE, Some(401), vec![]),
        (
            "wrong password",
            INSIDE,
            Some(401),
            vec![basic("ann:wrong")],
        ),
        (
            "unknown user",
            INSIDE,
            Some(401),
            vec![basic("bob:correct horse")],
        ),
        (
            "wrong key",
            INSIDE,
            Some(401),
            vec![("x-api-key", KEY[1..].to_owned())],
        ),
        (
            "two keys",
            INSIDE,
            Some(401),
            vec![key.clone(), key.clone()],
        ),
        ("wrong token", INSIDE, Some(401), vec![bearer(&TOKEN[1..])]),
        ("wrong cookie", INSIDE, Some(401), vec![cookie("")]),
        ("password", INSIDE, None, vec![basic("ann:correct horse")]),
        ("key", INSIDE, None, vec![key.clone()]),
        ("token", INSIDE, None, vec![bearer(TOKEN)]),
        ("cookie", INSIDE, None, vec![cookie(TOKEN)]),
        (
            "one right, one wrong",
            INSIDE,
            None,
            vec![key.clone(), bearer("x")],
        ),
        ("nothing, outside", OUTSIDE, Some(403), vec![]),
        ("key, outside", OUTSIDE, Some(403), vec![key.clone()]),
        (
            "key, outside, pretending",
            OUTSIDE,
            Some(403),
            vec![key.clone(), spoofed],
        ),
    ];
    // Each request comes from an address of its own, so that wrong guesses do not add up.
    let mut number = 0_u32;
    for route in routes().await {
        for (held, client, refused, headers) in &cases {
            number += 1;
            let client = Ipv4Addr::from(u32::from(*client) + number);
            let (status, _) = ask(&router, &route, client, headers).await;
            let what = format!("{} {} with {held}", route.method, route.path);
            match refused {
                Some(refused) => assert_eq!(status.as_u16(), *refused, "{what}"),
                None => assert!(
                    ![401, 403, 405, 429].contains(&status.as_u16()),
                    "{what}: {status}"
                ),
            }
        }
    }
    // A key in the address is none.
    for route in routes().await {
        let route = Route {
            path: format!(
                "{}{}api_key=a%20key",
                route.path,
                if route.path.contains('?') { "&" } else { "?" }
            ),
            ..route
        };
        let (status, _) = ask(&router, &route, INSIDE, &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", route.path);
    }
}

#[tokio::test]
async fn every_route_is_limited() {
    let mut settings = guarded();
    settings.listen.requests_per_second = 1;
    settings.listen.burst = 1;
    let key = [("x-api-key", KEY.to_owned())];
    for route in routes().await {
        let Fixture { router, .. } = fixture(&settings, BOUND);
        let (status, _) = ask(&router, &route, INSIDE, &key).await;
        assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "{}", route.path);
        let (status, headers) = ask(&router, &route, INSIDE, &key).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{}", route.path);
        assert!(headers.contains_key(header::RETRY_AFTER));
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        let other = Ipv4Addr::new(10, 0, 0, 2);
        let (status, _) = ask(&router, &route, other, &key).await;
        assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "another client");
    }
}

#[tokio::test]
async fn every_route_says_which_methods_it_takes() {
    let Fixture { router, .. } = fixture(&guarded(), BOUND);
    let key = [("x-api-key", KEY.to_owned())];
    for route in routes().await {
        if route.path.contains("nothing") || route.path == "/monigo/api/v1" {
            continue;
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            let right = route.method.clone();
            let route = Route {
                method,
                path: route.path.clone(),
            };
            let (status, _) = ask(&router, &route, INSIDE, &[]).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", route.path);
            let (status, headers) = ask(&router, &route, INSIDE, &key).await;
            let what = format!("{} {}", route.method, route.path);
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{what}");
            let allow = headers[header::ALLOW].to_str().unwrap();
            assert!(allow.contains(right.as_str()), "{what}: {allow}");
        }
    }
}

#[tokio::test]
async fn guessing_ends_and_locks_out_nobody_who_knows() {
    let mut settings = guarded();
    settings.listen.trusted_proxies = vec!["10.0.0.1/32".parse().unwrap()];
    let Fixture { router, .. } = fixture(&settings, BOUND);
    let route = Route {
        method: Method::GET,
        path: "/healthz".to_owned(),
    };
    let from = |address: &str| ("x-forwarded-for", address.to_owned());
    let right = [basic("ann:correct horse"), from("10.1.1.1")];
    let (status, _) = ask(&router, &route, INSIDE, &right).await;
    assert_eq!(status, StatusCode::OK);
    let mut refused = 0;
    for number in 0..20 {
        let guess = [basic(&format!("ann:{number}")), from("10.1.1.1")];
        let (status, _) = ask(&router, &route, INSIDE, &guess).await;
        refused += u32::from(status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused >= 5, "{refused}");
    let (status, _) = ask(&router, &route, INSIDE, &right).await;
    assert_eq!(status, StatusCode::OK, "the password is known to be right");
    let elsewhere = [basic("ann:wrong"), from("10.1.1.2")];
    let (status, _) = ask(&router, &route, INSIDE, &elsewhere).await;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "another client behind the proxy"
    );
}

#[tokio::test]
async fn the_document_describes_itself() {
    let Fixture { router, .. } = fixture(&guarded(), BOUND);
    let open = get(&loopback().router, "/monigo/api/v1/openapi.json")
        .await
        .json();
    assert!(open["openapi"].as_str().unwrap().starts_with("3."));
    assert!(open.get("security").is_none(), "none is asked for");
    let schemes = open["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes.len(), 3);
    for (path, item) in open["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{what}");
            let responses = operation["responses"].as_object().unwrap();
            for status in ["200", "401", "403", "429"] {
                let content = &responses[status]["content"];
                assert!(content.is_object(), "{what} {status}");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{what}");
            }
        }
    }
    let described = open["components"]["schemas"].as_object().unwrap();
    let mut references = Vec::new();
    collect_references(&open, &mut references);
    for reference in references {
        let name = reference.trim_start_matches("#/components/schemas/");
        assert!(described.contains_key(name), "{reference}");
    }
    let route = Route {
        method: Method::GET,
        path: "/monigo/api/v1/openapi.json".to_owned(),
    };
    let key = [("x-api-key", KEY.to_owned())];
    let (status, _) = ask(&router, &route, INSIDE, &key).await;
    assert_eq!(status, StatusCode::OK);
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.push(reference.clone());
            }
            fields
                .values()
                .for_each(|value| collect_references(value, found));
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
