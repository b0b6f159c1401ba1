//! Why the dashboard cannot listen.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use procfs::{
    net::{TcpNetEntry, TcpState},
    process::FDTarget,
};

use super::{guard::GuardError, tls::TlsError};

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: i32,
    /// `comm`.
    pub name: String,
}

/// Why the dashboard cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else has the port.
    #[error(
        "port {port} on {address} is in use{}; choose another with --port, or --port 0 for a free one",
        By(.holder.as_ref())
    )]
    PortInUse {
        /// Address.
        address: IpAddr,
        /// Port.
        port: u16,
        /// Who has it, if that can be seen.
        holder: Option<Holder>,
    },
    /// Ports below 1024 are privileged.
    #[error(
        "listening on port {port} of {address} is not permitted; ports below 1024 need root or \
         CAP_NET_BIND_SERVICE, so choose a higher one with --port"
    )]
    NotPermitted {
        /// Address.
        address: IpAddr,
        /// Port.
        port: u16,
    },
    /// The address belongs to another host.
    #[error(
        "{address} is not an address of this host; give --listen one that `ip address` shows, or \
         0.0.0.0 for all of them"
    )]
    NotOurs {
        /// Address.
        address: IpAddr,
    },
    /// The settings let nobody in, or cannot be used.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// TLS is not possible.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Anything else.
    #[error("listening on {address} failed")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

struct By<'a>(Option<&'a Holder>);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Holder { pid, name }) => write!(f, " by {name} (pid {pid})"),
            None => Ok(()),
        }
    }
}

/// Turns a failed bind into something to act on.
pub fn explain(socket: SocketAddr, source: io::Error) -> ServeError {
    let (address, port) = (socket.ip(), socket.port());
    match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::PortInUse {
            address,
            port,
            holder: holder(socket),
        },
        io::ErrorKind::PermissionDenied => ServeError::NotPermitted { address, port },
        io::ErrorKind::AddrNotAvailable => ServeError::NotOurs { address },
        _ => ServeError::Listen {
            address: socket,
            source,
        },
    }
}

/// Finds who listens on `wanted`, as far as /proc shows it.
fn holder(wanted: SocketAddr) -> Option<Holder> {
    let entries = [procfs::net::tcp(), procfs::net::tcp6()];
    let inode = entries
        .into_iter()
        .flatten()
        .flatten()
        .find(|entry| blocks(entry, wanted))?
        .inode;
    for process in procfs::process::all_processes().ok()?.flatten() {
        let Ok(files) = process.fd() else { continue };
        let has = files
            .flatten()
            .any(|file| matches!(file.target, FDTarget::Socket(socket) if socket == inode));
        if has {
            return Some(Holder {
                pid: process.pid,
                name: process.stat().ok()?.comm,
            });
        }
    }
    None
}

/// Whether a listening socket stands in the way of binding `wanted`.
fn blocks(entry: &TcpNetEntry, wanted: SocketAddr) -> bool {
    let ours = wanted.ip().to_canonical();
    let theirs = entry.local_address.ip().to_canonical();
    entry.state == TcpState::Listen
        && entry.local_address.port() == wanted.port()
        && (theirs == ours || theirs.is_unspecified() || ours.is_unspecified())
}
