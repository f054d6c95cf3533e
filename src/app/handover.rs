//! Handing the listening sockets to a successor: the next binary serves before this one stops, and nobody is refused.
//!
//! Its own file, because both ends of one small protocol stand here side by side. Over a Unix socket in the state folder that
//! only its owner may open: the successor says who it is; it is given the sockets, each with a name, and the state folder's
//! lock; it starts with them, and says so. Until then nothing has changed: a successor that fails costs nothing.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

/// The socket's name in the state folder.
pub const SOCKET: &str = "upgrade.sock";
/// Sockets that are handed over at most; the kernel takes 253 in one message.
const MOST: usize = 128;
/// For each message of a peer. The successor's last one waits until it has loaded its control state.
const PATIENCE: Duration = Duration::from_secs(60);
/// A message is a few names.
const LONGEST_MESSAGE: u32 = 64 * 1024;

/// A descriptor and what it is: `lock`, or a configuration key and the address that it was bound for.
pub type Named = (String, OwnedFd);

/// What a successor says first.
#[derive(Serialize, Deserialize)]
struct Hello {
    pid: u32,
    version: String,
}

/// What it is given, in the order of the descriptors that come with it.
#[derive(Serialize, Deserialize)]
struct Estate {
    names: Vec<String>,
}

/// The last word: the successor serves.
#[derive(Serialize, Deserialize)]
struct Serving {
    serving: bool,
}

/// The sockets of a predecessor, and the line to it.
pub struct Inheritance {
    line: UnixStream,
    sockets: Vec<Named>,
}

impl Inheritance {
    /// Asks the process that runs in this state folder for its sockets. Waits a minute at most.
    pub fn ask(state_dir: &Path) -> anyhow::Result<Self> {
        let path = state_dir.join(SOCKET);
        let mut line = UnixStream::connect(&path).with_context(|| {
            format!(
                "no ficus that could be replaced answers at {}; start without --upgrade",
                path.display()
            )
        })?;
        be_patient(&line)?;
        let hello = Hello {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        send(&mut line, &hello)?;
        let sockets = receive_sockets(&mut line)
            .context("the running ficus did not hand its sockets over; its log says why")?;
        Ok(Self { line, sockets })
    }

    /// The socket of that name, once.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let place = self.sockets.iter().position(|(it, _)| it == name)?;
        Some(self.sockets.swap_remove(place).1)
    }

    /// Tells the predecessor that this process serves now. What was not taken is closed: nobody listens there any more.
    pub fn serve(mut self) -> anyhow::Result<()> {
        send(&mut self.line, &Serving { serving: true })
            .context("the predecessor is gone; this process serves alone")
    }
}

/// The standing offer to a successor.
pub struct Offer {
    listener: UnixListener,
    sockets: Arc<Vec<Named>>,
}

impl Offer {
    pub fn new(listener: UnixListener, sockets: Vec<Named>) -> Self {
        Self {
            listener,
            sockets: Arc::new(sockets),
        }
    }

    /// Waits for a successor that serves; answers its process id. Those that fail are logged, one after another.
    pub async fn until_taken(&self) -> u32 {
        loop {
            let line = match self.listener.accept().await {
                Ok((line, _)) => line,
                Err(e) => {
                    tracing::error!(error = %e, "a successor cannot be heard");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let sockets = Arc::clone(&self.sockets);
            // Bound: one at a time, each for as long as its messages may take.
            let handed = tokio::task::spawn_blocking(move || hand_over(line.into_std()?, &sockets));
            match handed.await {
                Ok(Ok(pid)) => return pid,
                Ok(Err(e)) => {
                    tracing::error!(
                        error = format!("{e:#}"),
                        "the successor did not take over; this process goes on"
                    )
                }
                Err(e) => {
                    tracing::error!(error = %e, "handing over ended badly; this process goes on")
                }
            }
        }
    }
}

/// Starts this program anew, with the same arguments: the binary may be another one by now, the path is the same.
pub fn start_successor() -> io::Result<tokio::process::Child> {
    let mut arguments = std::env::args_os();
    let called = arguments.next().map(PathBuf::from);
    // As it was called, so that a link that points elsewhere now is followed. A bare name was found in PATH.
    let program = match called {
        Some(path) if path.components().count() > 1 => path,
        _ => std::env::current_exe()?,
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments.filter(|it| it != "--upgrade"));
    command.arg("--upgrade").stdin(Stdio::null()).spawn()
}

fn hand_over(mut line: UnixStream, sockets: &[Named]) -> anyhow::Result<u32> {
    line.set_nonblocking(false)?;
    be_patient(&line)?;
    let hello: Hello = receive(&mut line).context("it did not say who it is")?;
    tracing::info!(
        successor = hello.pid,
        version = hello.version,
        "handing the sockets to a successor"
    );
    send_sockets(&mut line, sockets).context("sending the sockets")?;
    let last: Serving =
        receive(&mut line).context("it ended before it served; its log says why")?;
    ensure!(last.serving, "it says that it does not serve");
    Ok(hello.pid)
}

fn be_patient(line: &UnixStream) -> io::Result<()> {
    line.set_read_timeout(Some(PATIENCE))?;
    line.set_write_timeout(Some(PATIENCE))
}

/// Length in four bytes, big-endian, then JSON.
fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], &body].concat())
}

fn send(line: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    line.write_all(&frame(message)?)
}

fn receive<T: DeserializeOwned>(line: &mut UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    line.read_exact(&mut length)?;
    receive_body(line, length)
}

fn receive_body<T: DeserializeOwned>(line: &mut UnixStream, length: [u8; 4]) -> io::Result<T> {
    let length = u32::from_be_bytes(length);
    if length > LONGEST_MESSAGE {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "the message is too long",
        ));
    }
    let mut body = vec![0; length as usize];
    line.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

/// The descriptors travel with the first byte of the message.
fn send_sockets(line: &mut UnixStream, sockets: &[Named]) -> anyhow::Result<()> {
    ensure!(
        sockets.len() <= MOST,
        "more than {MOST} sockets cannot be handed over"
    );
    let names = sockets.iter().map(|(name, _)| name.clone()).collect();
    let message = frame(&Estate { names })?;
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, fd)| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ensure!(
        ancillary.push(SendAncillaryMessage::ScmRights(&fds)),
        "the sockets do not fit into one message"
    );
    let sent = sendmsg(
        &*line,
        &[IoSlice::new(&message)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    line.write_all(&message[sent..])?;
    Ok(())
}

fn receive_sockets(line: &mut UnixStream) -> anyhow::Result<Vec<Named>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 4];
    let got = recvmsg(
        &*line,
        &mut [IoSliceMut::new(&mut length)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.bytes == 0 {
        bail!("it closed the connection");
    }
    line.read_exact(&mut length[got.bytes..])?;
    let estate: Estate = receive_body(line, length)?;
    ensure!(
        estate.names.len() == fds.len(),
        "{} sockets came for {} names",
        fds.len(),
        estate.names.len()
    );
    Ok(estate.names.into_iter().zip(fds).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn offer(folder: &Path, sockets: Vec<Named>) -> Offer {
        let listener = UnixListener::bind(folder.join(SOCKET)).expect("a socket");
        Offer::new(listener, sockets)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_socket_that_was_handed_over_goes_on_listening() {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let offer = offer(
            folder.path(),
            vec![("proxy.listen here".to_owned(), OwnedFd::from(listener))],
        );
        let path = folder.path().to_owned();
        let successor = tokio::task::spawn_blocking(move || {
            let mut inheritance = Inheritance::ask(&path).expect("an inheritance");
            assert!(inheritance.take("proxy.listen elsewhere").is_none());
            let socket = inheritance.take("proxy.listen here").expect("the socket");
            assert!(inheritance.take("proxy.listen here").is_none(), "once");
            inheritance.serve().expect("the predecessor hears it");
            TcpListener::from(socket)
        });
        assert_eq!(offer.until_taken().await, std::process::id());
        drop(offer);
        let listener = successor.await.expect("the successor");
        let client = TcpStream::connect(address).expect("somebody listens");
        let (_, peer) = listener.accept().expect("a connection");
        assert_eq!(peer, client.local_addr().expect("its address"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_successor_that_fails_leaves_the_offer_standing() {
        let folder = tempfile::tempdir().expect("a folder");
        let offer = offer(folder.path(), Vec::new());
        let path = folder.path().to_owned();
        let successors = tokio::task::spawn_blocking(move || {
            drop(Inheritance::ask(&path).expect("the first, which fails"));
            let mut garbage = UnixStream::connect(path.join(SOCKET)).expect("a line");
            garbage.write_all(&[0xff; 64]).expect("garbage is sent");
            drop(garbage);
            let third = Inheritance::ask(&path).expect("the third");
            third.serve().expect("it serves");
        });
        assert_eq!(offer.until_taken().await, std::process::id());
        successors.await.expect("all of them");
    }

    #[test]
    fn without_a_predecessor_it_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Inheritance::ask(folder.path()).err().expect("nobody there");
        assert!(
            error.to_string().contains("start without --upgrade"),
            "{error}"
        );
    }
}
