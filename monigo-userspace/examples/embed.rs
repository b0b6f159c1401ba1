//! monigo in a service of your own: its whole API beside your routes.
//!
//! `cargo run --example embed -- recording.duckdb`, then open <http://127.0.0.1:3000/watch/>.

use std::{error::Error, net::SocketAddr, path::Path};

use axum::{Router, routing::get};
use monigo::{Monigo, api::HttpSettings, query::Window};

/// Your service, with the recording below `/watch`.
fn service(recording: &Path) -> Result<Router, Box<dyn Error>> {
    let mut settings = HttpSettings::default();
    settings.listen.base_path = "/api/monigo".into();
    let monigo = Monigo::builder()
        .recording(recording)
        .settings(settings)
        .build()?;
    for function in monigo.source().functions(Window::default())? {
        println!("{}: {} calls", function.name, function.calls);
    }
    Ok(Router::new()
        .route("/", get(async || "your own page\n"))
        .nest("/watch", monigo.router()?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let recording = std::env::args_os().nth(1).ok_or("name a recording")?;
    let service = service(Path::new(&recording))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use monigo::{
        store::{Database, NewSession, Store as _},
        symbols::Language,
    };
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn the_api_is_below_watch() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording.duckdb");
        {
            let mut database = Database::open(&path).unwrap();
            let session = NewSession {
                started_ns: 1_700_000_000_000_000_000,
                monigo_version: "0".to_owned(),
                host: "host".to_owned(),
                kernel: "6.18".to_owned(),
                command_line: "monigo".to_owned(),
                flush_ns: 1_000_000_000,
                label: None,
                target_path: "/bin/orders".to_owned(),
                build_id: None,
                language: Language::Go,
                runtime_version: None,
                retention: "7d".to_owned(),
                functions: Vec::new(),
                warnings: Vec::new(),
            };
            let id = database.begin_session(&session).unwrap();
            database.end_session(id, 1_700_000_001_000_000_000).unwrap();
        }
        let app = service(&path).unwrap();
        for (uri, part) in [
            ("/", "your own page"),
            ("/watch/api/monigo/service-info", "orders"),
            ("/watch/healthz", "ok"),
        ] {
            let request = Request::get(uri).body(Body::empty()).unwrap();
            let answer = app.clone().oneshot(request).await.unwrap();
            let body = axum::body::to_bytes(answer.into_body(), 1 << 16)
                .await
                .unwrap();
            let body = String::from_utf8_lossy(&body);
            assert!(body.contains(part), "{uri}: {body}");
        }
    }
}
