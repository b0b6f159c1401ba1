use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use super::*;
use crate::{api::Secret, config::Span, service::ExporterState};

/// A receiver that answers with `answers` in turn, then with the last one; gives the requests.
fn receiver(answers: &'static [&'static str]) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://{}/hook?secret=hunter2",
        listener.local_addr().unwrap()
    );
    let (tell, requests) = mpsc::channel();
    thread::spawn(move || {
        let last = answers[answers.len() - 1];
        for answer in answers.iter().chain(std::iter::repeat(&last)) {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            while !complete(&bytes) {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                }
            }
            let text =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(text.as_bytes());
            if tell
                .send(String::from_utf8_lossy(&bytes).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    (url, requests)
}

/// Whether a whole request is there.
fn complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0_usize)
}

fn lifecycle(service: Option<&str>, settings: &WebhookSettings) -> Lifecycle {
    let webhook = Webhook::new(settings).unwrap();
    let lifecycle = Lifecycle::new(service.map(str::to_owned), webhook);
    lifecycle.begin();
    lifecycle
}

fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        url: Some(Secret::new(url)),
        token: Some(Secret::new("t0ken")),
        retry: Span::try_from(Duration::from_millis(5)).unwrap(),
        ..WebhookSettings::default()
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn events_are_sent_again_until_they_are_accepted() {
    let (url, requests) = receiver(&["503 Busy", "500 Oops", "204 Fine"]);
    let lifecycle = lifecycle(Some("shop"), &settings(&url));
    lifecycle.emit(
        &Event::now(EventKind::Attach, "attached 2 sites")
            .of("/bin/app")
            .in_session(7)
            .with("sites", 2),
    );
    for _ in 0..3 {
        let request = requests.recv_timeout(PATIENCE).unwrap();
        assert!(
            request.starts_with("POST /hook?secret=hunter2 "),
            "{request}"
        );
        assert!(
            request
                .to_lowercase()
                .contains("authorization: bearer t0ken")
        );
        let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(body["event"], "attach");
        assert_eq!(body["service"], "shop");
        assert_eq!(body["session"], 7);
        assert_eq!(body["details"]["sites"], 2);
    }
    lifecycle.close();
    let status = lifecycle.status().unwrap();
    assert_eq!((status.sent, status.dropped), (1, 0));
    assert_eq!(status.state, ExporterState::Ok);
    let error = status.last_error.unwrap();
    assert!(error.contains("500"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    assert!(!status.endpoint.contains("hunter2"));
}

#[test]
fn what_is_refused_is_not_sent_again() {
    let (url, requests) = receiver(&["400 Bad"]);
    let lifecycle = lifecycle(None, &settings(&url));
    lifecycle.emit(&Event::now(EventKind::Start, "a"));
    lifecycle.emit(&Event::now(EventKind::Stop, "b"));
    for word in ["\"a\"", "\"b\""] {
        let request = requests.recv_timeout(PATIENCE).unwrap();
        assert!(request.contains(word), "{request}");
    }
    lifecycle.close();
    assert_eq!(lifecycle.status().unwrap().dropped, 2);
}

#[test]
fn the_queue_is_bounded_and_the_end_does_not_wait() {
    // Nobody listens there any more.
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let settings = WebhookSettings {
        queue: 3,
        retry: Span::from_secs(3600),
        ..settings(&url)
    };
    let lifecycle = lifecycle(None, &settings);
    for number in 0..50 {
        lifecycle.emit(&Event::now(EventKind::Loss, number.to_string()));
    }
    let status = lifecycle.status().unwrap();
    assert!(status.queued <= 3);
    assert!(status.dropped >= 46, "{status:?}");
    // Would take an hour if it waited.
    lifecycle.close();
}

#[test]
fn only_wanted_events_are_sent() {
    let (url, requests) = receiver(&["200 OK"]);
    let settings = WebhookSettings {
        events: vec![EventKind::Stop],
        ..settings(&url)
    };
    let lifecycle = lifecycle(None, &settings);
    lifecycle.emit(&Event::now(EventKind::Start, "a"));
    lifecycle.emit(&Event::now(EventKind::Stop, "b"));
    lifecycle.close();
    let sent: Vec<String> = requests.try_iter().collect();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("\"stop\""));
}

#[test]
fn receivers_that_cannot_be_used_are_refused_at_the_start() {
    let refused = |settings: WebhookSettings| Webhook::new(&settings).unwrap_err().to_string();
    assert!(refused(settings("http://example.org/x")).contains("plain HTTP"));
    assert!(refused(settings("ftp://example.org/x")).contains("https://"));
    assert!(refused(settings("nonsense")).contains("https://"));
    let missing = WebhookSettings {
        token: None,
        token_file: Some("/nonexistent/token".into()),
        ..settings("https://example.org/x")
    };
    assert!(refused(missing).contains("/nonexistent/token"));
    assert!(Webhook::new(&WebhookSettings::default()).unwrap().is_none());
}
