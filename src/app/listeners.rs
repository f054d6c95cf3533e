//! The process's listening sockets: bound, or inherited from the process before, and kept for the one after.
//!
//! Its own file, because every port that must not be closed during an upgrade goes through here.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handover::{Inheritance, Named};

/// The listening sockets of this process: taken from a predecessor where it has them, and kept for a successor.
pub(super) struct Sockets<'a> {
    pub inherited: Option<&'a mut Inheritance>,
    pub shared: Vec<Named>,
}

impl Sockets<'_> {
    pub fn inherit(&mut self, key: &str, address: SocketAddr) -> Option<OwnedFd> {
        self.inherited.as_mut()?.take(&format!("{key} {address}"))
    }

    pub fn share(&mut self, key: &str, address: SocketAddr, socket: OwnedFd) {
        self.shared.push((format!("{key} {address}"), socket));
    }
}

/// Binds at once, so that a port that is taken ends the start.
pub(super) fn serve_tcp(
    sockets: &mut Sockets<'_>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    key: &'static str,
    listen: SocketAddr,
    router: Router,
) -> anyhow::Result<()> {
    let listener = match sockets.inherit(key, listen) {
        Some(socket) => std::net::TcpListener::from(socket),
        // With SO_REUSEADDR, as the standard library does it.
        None => std::net::TcpListener::bind(listen)
            .with_context(|| format!("{key}: cannot listen on {listen}"))?,
    };
    listener.set_nonblocking(true)?;
    sockets.share(key, listen, listener.try_clone()?.into());
    let listener = TcpListener::from_std(listener)?;
    let stop = stop.clone();
    tasks.spawn(async move {
        let server = axum::serve(listener, router);
        report(
            key,
            server
                .with_graceful_shutdown(stop.cancelled_owned())
                .into_future(),
        )
        .await;
    });
    Ok(())
}

pub(super) async fn report(what: &'static str, server: impl Future<Output = std::io::Result<()>>) {
    if let Err(e) = server.await {
        tracing::error!(error = %e, "{what} ended");
    }
}

/// A socket that only this user can open, from its first moment: it is made under another name and moved into place.
/// What a process that died left behind is replaced; the state folder's lock says that nobody uses it.
pub(super) fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    if fresh.exists() {
        std::fs::remove_file(&fresh)?;
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}
