//! A real Prometheus scrapes a server with TLS that demands a token, and answers questions about what it got.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    api::{self, Content, HttpSettings, LiveState},
    query::{DuckSource, Source},
    service::Recorded,
    store::{Database, fixture},
};

/// Ends with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    listener.local_addr().expect("address").port()
}

/// Asks until the answer is not empty.
fn ask(port: u16, path: &str) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = ureq::get(format!("http://127.0.0.1:{port}{path}")).call();
        let text = answer
            .ok()
            .and_then(|mut answer| answer.body_mut().read_to_string().ok());
        let parsed = text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        let data = parsed
            .map(|parsed| parsed["data"].clone())
            .unwrap_or_default();
        let found = if data["result"].is_array() {
            data["result"].clone()
        } else {
            data
        };
        if found.as_array().is_some_and(|found| !found.is_empty()) {
            return found;
        }
        assert!(Instant::now() < deadline, "no answer to {path}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The package `prometheus` has the program; `cargo xtask setup` installs it.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_and_answers() {
    let mut database = Database::in_memory().expect("opens");
    fixture::record(&mut database);
    let source = DuckSource::open(database.reader().expect("reads"), None).expect("session");
    let source: Arc<dyn Source> = Arc::new(source);
    let service = Arc::new(Recorded::new(Arc::clone(&source)));
    let directory = tempfile::tempdir().expect("directory");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("writes");
        path
    };
    let token = file("token", "0123456789abcdef0123456789abcdef");
    let cert = file("cert.pem", &made.cert.pem());
    let mut settings = HttpSettings::default();
    settings.auth.token_file = Some(token.clone());
    settings.tls.cert_file = Some(cert.clone());
    settings.tls.key_file = Some(file("key.pem", &made.signing_key.serialize_pem()));
    let content = Content {
        source,
        service,
        live: LiveState::finished(""),
        discoverer: None,
    };
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let bound = api::bind(any).expect("listens");
    let server = api::serve(bound, content, &settings).expect("serves");
    let target = server.address();

    let config = directory.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- job_name: monigo\n  \
             scheme: https\n  tls_config: {{ca_file: {}}}\n  authorization: {{credentials_file: {}}}\n  \
             static_configs: [{{targets: ['{target}']}}]\n",
            cert.display(),
            token.display()
        ),
    )
    .expect("writes");
    let port = free_port();
    let program = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.path().join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--enable-feature=exemplar-storage")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus starts; install the package of that name");
    let prometheus = Prometheus(program);
    let answers = tokio::task::spawn_blocking(move || {
        let of = |query: &str| {
            let found = ask(port, &format!("/api/v1/query?query={query}"));
            found[0]["value"][1]
                .as_str()
                .expect("a value")
                .parse::<f64>()
                .expect("a number")
        };
        let calls = of("monigo_function_calls_total%7Bfunction=%22main.process_order%22%7D");
        let median = of(
            "histogram_quantile(0.5,monigo_function_duration_seconds_bucket%7Bfunction=%22main.process_order%22%7D)",
        );
        let up = of("up%7Bjob=%22monigo%22%7D");
        let exemplars = ask(
            port,
            "/api/v1/query_exemplars?query=monigo_function_duration_seconds_bucket&start=1763999000&end=1764001000",
        );
        let metadata = of("monigo_build_info");
        (calls, median, up, exemplars, metadata)
    });
    let (calls, median, up, exemplars, build) = answers.await.expect("asked");
    drop(prometheus);
    server.shutdown().await;
    assert!((calls - 1001.0).abs() < 0.5 && (up - 1.0).abs() < 0.5 && (build - 1.0).abs() < 0.5);
    // 1 to 1000 µs; 500 µs is a bound.
    assert!((median - 500e-6).abs() < 30e-6, "{median}");
    let trace = exemplars[0]["exemplars"][0]["labels"]["trace_id"].as_str();
    assert_eq!(trace.map(str::len), Some(32), "{exemplars}");
}
