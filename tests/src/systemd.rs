//! The other end of `NOTIFY_SOCKET`.

use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result};

use crate::lines::PATIENCE;

/// What systemd would read: the first message with this line.
pub fn await_word(socket: &UnixDatagram, word: &str) -> Result<String> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 4096];
    loop {
        let count = socket
            .recv(&mut buffer)
            .with_context(|| format!("no {word}"))?;
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if text.lines().any(|line| line == word) {
            return Ok(text);
        }
    }
}
