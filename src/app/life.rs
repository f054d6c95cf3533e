//! What a running process waits for: a signal, a successor, and then its last request.
//!
//! Its own file, because it is the order of a stop: first nothing new comes in, then what has begun is answered, then the rest stops.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::handover::{self, Offer};
use super::listeners::bind_private;
use super::process::Process;
use super::{CONTROL_STOP, supervisor};

/// For the access log's last lines to reach a slow disk.
const LAST_LINES: Duration = Duration::from_secs(2);
/// Who to send a signal to.
const PID_FILE: &str = "ficus.pid";

impl Process {
    /// Runs until a signal. First the proxy takes no more connections and answers what it has; then the rest stops.
    pub(super) fn run(mut self, runtime: &Runtime) -> anyhow::Result<ExitCode> {
        let (close, ended) = (CancellationToken::new(), CancellationToken::new());
        let has_door = self.door.is_some();
        if let Some(door) = self.door.take() {
            let (close, ended) = (close.clone(), ended.clone().drop_guard());
            std::thread::Builder::new()
                .name("proxy".to_owned())
                .spawn(move || {
                    if let Err(e) = door.run(close) {
                        tracing::error!(error = %e, "the proxy cannot run");
                    }
                    drop(ended);
                })?;
        } else {
            // Nobody has to be waited for.
            ended.cancel();
        }
        runtime.block_on(async {
            let (mut term, mut int, mut quit) = (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::quit())?,
            );
            if let Some(inherited) = self.descent.inherited.take() {
                // It may have died meanwhile: then there is nobody to wait for.
                inherited
                    .serve()
                    .unwrap_or_else(|e| tracing::warn!("{e:#}"));
            }
            let offer = self.offer();
            supervisor::tell_ready();
            let successor = {
                let taken = until_taken(offer.as_ref());
                tokio::pin!(taken);
                loop {
                    tokio::select! {
                        pid = &mut taken => break Some(pid),
                        _ = term.recv() => break None,
                        _ = int.recv() => break None,
                        _ = quit.recv() => self.start_successor(),
                        () = ended.cancelled(), if has_door => anyhow::bail!("the proxy ended by itself"),
                    }
                }
            };
            // Its copies would keep the ports open, and whoever connects would wait for nobody.
            drop(offer);
            match successor {
                Some(pid) => {
                    tracing::info!(successor = pid, "handed over: the successor has the connections that come; waiting for the requests in flight");
                    // The control plane is the successor's at once: what this process knows is of yesterday soon.
                    self.flags.hand_over();
                    self.stop.cancel();
                }
                None => {
                    supervisor::tell_stopping();
                    tracing::info!("stopping: no new connections; waiting for the requests in flight");
                }
            }
            close.cancel();
            let left = tokio::select! {
                biased;
                // The last connection is closed.
                () = ended.cancelled() => 0,
                () = sleep(self.config.proxy.drain) => self.metrics.in_flight.get(),
                // A second signal means now.
                _ = term.recv() => self.metrics.in_flight.get(),
                _ = int.recv() => self.metrics.in_flight.get(),
            };
            if left > 0 {
                tracing::warn!(requests = left, "gave up waiting for requests in flight");
            }
            self.access_log.flush(LAST_LINES);
            self.stop.cancel();
            self.counted.cancel();
            self.tasks.close();
            if timeout(CONTROL_STOP, self.tasks.wait()).await.is_err() {
                tracing::warn!("some tasks did not stop in {CONTROL_STOP:?}");
            }
            tracing::info!("stopped");
            Ok(if left > 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            })
        })
    }

    /// The offer to a successor, and the file that says who to signal. From here on this process is the one of its folder: a
    /// predecessor may be gone already, so what fails here, on a full disk, is told and ends nothing.
    fn offer(&mut self) -> Option<Offer> {
        // Copies that nobody can be given are closed: they would keep the ports open through the drain.
        let sockets = std::mem::take(&mut self.sockets);
        let folder = &self.config.flags.state_dir;
        let pid = folder.join(PID_FILE);
        if let Err(e) = std::fs::write(&pid, format!("{}\n", std::process::id())) {
            tracing::error!(file = %pid.display(), error = %e, "the process id is not written down");
        }
        if !self.descent.may_be_succeeded {
            return None;
        }
        let socket = folder.join(handover::SOCKET);
        match bind_private(&socket) {
            Ok(listener) => Some(Offer::new(listener, sockets)),
            Err(e) => {
                tracing::error!(socket = %socket.display(), error = %e, "no successor can take over from this process");
                None
            }
        }
    }

    /// Starts what now stands at this program's path, which will ask for the sockets. Its end is logged; its success ends us.
    fn start_successor(&self) {
        if !self.descent.may_be_succeeded {
            return tracing::error!(
                "an embedded database belongs to the process that started it: nothing was replaced; stop and start instead"
            );
        }
        match handover::start_successor() {
            Ok(mut child) => {
                tracing::info!(successor = child.id(), "started a successor");
                let stop = self.stop.clone();
                self.tasks.spawn(async move {
                    let ended = tokio::select! {
                        ended = child.wait() => ended,
                        // It has taken over, and outlives us.
                        () = stop.cancelled() => return,
                    };
                    match ended {
                        Ok(status) => {
                            tracing::error!(%status, "the successor ended; this process goes on")
                        }
                        Err(e) => tracing::error!(error = %e, "the successor cannot be watched"),
                    }
                });
            }
            Err(e) => {
                tracing::error!(error = %e, "no successor could be started; this process goes on")
            }
        }
    }
}

async fn until_taken(offer: Option<&Offer>) -> u32 {
    match offer {
        Some(offer) => offer.until_taken().await,
        None => std::future::pending().await,
    }
}
