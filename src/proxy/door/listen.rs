//! Listening sockets, and the loop that accepts from one.
//!
//! Its own file, because this loop alone sees every connection: it runs beside the workers, so that a busy worker holds
//! nobody up, and hands each connection to the worker that has the fewest.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::ACCEPT_AGAIN;
use super::admission::Admission;
use super::keeper::Keeper;
use super::worker::{Accepted, Hands};
use crate::proxy::upstream;

/// Connections that wait in the kernel for us; it takes fewer where `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;

/// A bound, listening socket that does not block.
pub struct Listener(Socket);

impl Listener {
    /// What is set here holds for every connection that comes of it: Linux hands these options on, and no connection
    /// costs a call for them.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        // What is left of an earlier process in TIME_WAIT must not keep this one from its port.
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        let times = upstream::keepalive();
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(times.idle)
                .with_interval(times.interval)
                .with_retries(u32::try_from(times.count).unwrap_or(3)),
        )?;
        socket.set_tcp_user_timeout(Some(times.user_timeout))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self(socket))
    }

    /// A socket that a predecessor bound, with the options that it gave it.
    pub fn inherit(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// The same socket, for a successor.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(OwnedFd::from(self.0.try_clone()?))
    }

    /// tokio's own listener would tie each connection to the runtime that accepts.
    #[expect(
        deprecated,
        reason = "what could go wrong with it is a descriptor that is closed too early, and this one is owned"
    )]
    fn watch(self) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::with_interest(OwnedFd::from(self.0), Interest::READABLE)
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        let address = self.0.local_addr()?.as_socket();
        address.ok_or_else(|| io::Error::other("the listening socket has no internet address"))
    }
}

/// Accepts until `stop`, and then once more what the kernel has already completed: those clients believe that they are
/// connected. Answers the socket, for the caller to close. Bound: what the workers have room for.
pub async fn accept(
    listener: Listener,
    (keeper, admission): (&Keeper, &Arc<Admission>),
    mut hands: Hands,
    stop: CancellationToken,
) -> io::Result<AsyncFd<OwnedFd>> {
    let socket = listener.watch()?;
    let mut told = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = socket.async_io(Interest::READABLE, accept_one) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(accepted) = admit(stream, peer, keeper, admission) else {
                    continue;
                };
                if hands.give(accepted).await.is_err() {
                    return Err(io::Error::other("a worker of the proxy is gone"));
                }
            }
            Err(e) if is_of_one_connection(&e) => {}
            Err(e) => {
                // Said once a second at most: this goes on for as long as the shortage does.
                let now = Instant::now();
                if told.is_none_or(|at: Instant| now.duration_since(at).as_secs() >= 1) {
                    told = Some(now);
                    tracing::error!(error = %e, "connections cannot be accepted for the moment; raise the limit of open files (ulimit -n) or lower proxy.limits");
                }
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    while let Ok((stream, peer)) = accept_one(socket.get_ref()) {
        let Some(accepted) = admit(stream, peer, keeper, admission) else {
            continue;
        };
        if hands.give(accepted).await.is_err() {
            break;
        }
    }
    Ok(socket)
}

/// Lets a connection in, or tells it in one call that there are too many, and waits for nothing.
fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    keeper: &Keeper,
    admission: &Arc<Admission>,
) -> Option<Accepted> {
    let edge = keeper.edge.load();
    let ip = peer.ip().to_canonical();
    match admission.enter(ip, edge.is_trusted(ip), &edge.limits) {
        Ok(ticket) => Some(Accepted {
            stream,
            peer,
            ticket,
        }),
        Err(flaw) => {
            let words = keeper.refuse(flaw, ip, false);
            let _ = (&stream).write(&words);
            None
        }
    }
}

fn accept_one(socket: &OwnedFd) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (stream, peer) = acceptfrom_with(socket, flags)?;
    let peer = peer
        .and_then(|peer| SocketAddr::try_from(peer).ok())
        .ok_or(Errno::CONNABORTED)?;
    Ok((TcpStream::from(stream), peer))
}

/// accept(2) also tells what went wrong with a connection that it would have returned: nothing is short of anything.
fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(
        e.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | TimedOut
    ) || Errno::from_io_error(e).is_some_and(|e| {
        [
            Errno::NETDOWN,
            Errno::PROTO,
            Errno::NOPROTOOPT,
            Errno::HOSTDOWN,
            Errno::NONET,
            Errno::HOSTUNREACH,
            Errno::OPNOTSUPP,
            Errno::NETUNREACH,
            Errno::PERM,
        ]
        .contains(&e)
    })
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[test]
    fn a_connection_has_the_options_of_its_listener() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(listener.0.keepalive().unwrap());
        let _client = TcpStream::connect(listener.address().unwrap()).unwrap();
        listener.0.set_nonblocking(false).unwrap();
        let (stream, _) = accept_one(&OwnedFd::from(listener.0)).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            upstream::keepalive().idle
        );
        assert!(socket.nonblocking().unwrap());
    }

    #[test]
    fn a_shortage_is_told_from_a_connection_that_failed() {
        for (errno, is) in [
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOBUFS, false),
            (Errno::NOMEM, false),
            (Errno::CONNABORTED, true),
            (Errno::PROTO, true),
        ] {
            assert_eq!(is_of_one_connection(&errno.into()), is, "{errno}");
        }
    }
}
