//! The page, and files to keep.

use axum::http::{Method, StatusCode};

use super::{get, loopback, send};

#[tokio::test]
async fn large_answers_are_compressed() {
    let router = loopback().router;
    let gzip = [("accept-encoding", "gzip")];
    let answer = send(&router, Method::GET, "/api/v1/flame", &gzip).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    let answer = get(&router, "/api/v1/flame").await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.json()["name"].as_str().map(str::len), Some(6000));
}

#[tokio::test]
async fn paths_of_the_page_get_the_page_and_missing_files_do_not() {
    let router = loopback().router;
    let answer = get(&router, "/some/page").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("content-type").starts_with("text/html"));
    for path in [
        "/assets/none.js",
        "/none.txt",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn files_are_offered_for_keeping() {
    let router = loopback().router;
    let answer = get(&router, "/api/v1/functions.csv").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"functions.csv\""
    );
    assert!(answer.body.starts_with("id,name,"), "{}", answer.body);
    for path in ["/api/v1/flamegraph.svg", "/api/v1/flamegraph.folded"] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.message().contains("no call was recorded"), "{path}");
    }
    let answer = get(&router, "/api/v1/flamegraph.svg?weight=heavy").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}
