//! What a monigo that serves answers.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result, ensure};

/// What the server at `address` answers to a GET request; fails unless that is JSON with status 200.
pub fn get(address: SocketAddr, path: &str) -> Result<serde_json::Value> {
    let (status, body) = fetch(address, path)?;
    ensure!(status == 200, "{status}: {body}");
    serde_json::from_str(&body).with_context(|| body.clone())
}

/// Status and text of what the server at `address` answers to a GET request.
pub fn fetch(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    exchange(address, "GET", path, "")
}

/// What the server at `address` answers to an object; fails unless that is JSON with status 200.
pub fn post(
    address: SocketAddr,
    path: &str,
    body: &serde_json::Value,
) -> Result<serde_json::Value> {
    let (status, answer) = exchange(address, "POST", path, &body.to_string())?;
    ensure!(status == 200, "{status}: {answer}");
    serde_json::from_str(&answer).with_context(|| answer.clone())
}

fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}
