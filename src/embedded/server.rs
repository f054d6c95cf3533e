//! Starts one private server, says where it answers, and stops it.
//!
//! Its own file, because it is the only one that runs processes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::StartError;
use super::account::{self, Account};
use super::binaries::{self, Binaries};
use super::folders::Folders;
use crate::db;

/// The server's only superuser.
const USER: &str = "ficus";
/// Names the socket's file; no port is opened.
const PORT: &str = "5432";
/// Between two looks at a lock or at a starting server.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A log longer than this is begun anew at the next start.
const LONGEST_LOG: u64 = 10 * 1024 * 1024;
/// Run by `sh`, whose `$0` this is.
const SUPERVISOR: &str = include_str!("supervise.sh");

#[derive(Clone, Debug)]
pub struct Options {
    /// Off, a power cut may lose the database: for tests only.
    pub durable: bool,
    pub max_connections: u32,
    /// How long a start may take, recovery after an unclean stop included.
    pub start_timeout: Duration,
    /// How long to wait for another server to leave the folder.
    pub patience: Duration,
    /// Remove the folder when this process ends or drops the server, but not after [`Postgres::stop`].
    pub ephemeral: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durable: true,
            max_connections: 100,
            start_timeout: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            ephemeral: false,
        }
    }
}

impl Options {
    /// Fast, forgetful and gone afterwards.
    pub fn for_tests() -> Self {
        Self {
            durable: false,
            max_connections: 300,
            ephemeral: true,
            ..Self::default()
        }
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![format!("max_connections={}", self.max_connections)];
        if !self.durable {
            // Not synchronous_commit=off: a server that is killed must still have what it has said that it has.
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        settings
    }
}

/// How to stop, as `pg_ctl` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Ends every session, writes a checkpoint.
    Fast,
    /// Ends at once; the next start recovers, as after a crash.
    Immediate,
}

/// A running server. Dropped, it is told to stop and not waited for.
#[derive(Debug)]
pub struct Postgres {
    supervisor: Child,
    socket: PathBuf,
    /// With the client's programs beside the server's.
    binaries: Binaries,
}

impl Postgres {
    /// Starts a server on the database in `folder`, which is made when there is none, and waits until it answers.
    ///
    /// As root, the server runs as another user, who gets the folder; where that user cannot reach it, the
    /// database is kept in `/var/lib/ficus` instead.
    pub async fn start(folder: &Path, options: Options) -> Result<Self, StartError> {
        let begun = Instant::now();
        let account = account::to_drop_to()?;
        let folders = Folders::prepare(folder, account)?;
        let log = lock_log(&folders, &options).await?;
        let binaries = binaries::find(&folders.data, folders.made_by())?;
        if folders.made_by().is_none() {
            make_database(&folders, &binaries, account, &options).await?;
        }
        let supervisor = supervise(&folders, &binaries, account, &options, log)?;
        let mut server = Self {
            supervisor,
            socket: folders.socket.clone(),
            binaries,
        };
        server
            .wait_until_it_answers(&folders, options.start_timeout)
            .await?;
        tracing::info!(folder = %folders.base.display(), took_ms = begun.elapsed().as_millis() as u64, "private PostgreSQL started");
        Ok(server)
    }

    /// A URL for sqlx and for libpq's programs.
    pub fn url(&self, database: &str) -> String {
        let socket = percent_encode(&self.socket.to_string_lossy());
        format!(
            "postgres://{USER}@localhost:{PORT}/{}?host={socket}",
            percent_encode(database)
        )
    }

    /// What libpq calls the host: `psql -h FOLDER -U ficus`.
    pub fn socket_folder(&self) -> &Path {
        &self.socket
    }

    /// The superuser's name; there is no password.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// A program of the same version, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.program(name)
    }

    /// Makes an empty database, unless there is one of that name.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        db::create_database(&self.url("postgres"), name, None).await
    }

    /// Stops the server and waits until all of it has gone. The database stays; `start` continues it.
    pub async fn stop(mut self, mode: StopMode) -> io::Result<()> {
        let signal = match mode {
            StopMode::Fast => "INT\n",
            StopMode::Immediate => "QUIT\n",
        };
        let Some(mut pipe) = self.supervisor.stdin.take() else {
            return Ok(());
        };
        pipe.write_all(signal.as_bytes())?;
        // The pipe stays open meanwhile: closed, it would say that the server is abandoned.
        while self.supervisor.try_wait()?.is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        drop(pipe);
        Ok(())
    }

    /// Whether the server has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.supervisor
            .try_wait()
            .is_ok_and(|status| status.is_some())
    }

    async fn wait_until_it_answers(
        &mut self,
        folders: &Folders,
        timeout: Duration,
    ) -> Result<(), StartError> {
        let deadline = Instant::now() + timeout;
        let url = self.url("postgres");
        loop {
            if self.has_ended() {
                return Err(StartError::Exited {
                    log: folders.log.clone(),
                    tail: folders.log_tail(),
                });
            }
            if db::answers(&url).await {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(StartError::Timeout {
                    waited: timeout,
                    log: folders.log.clone(),
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Opens the log and locks it. Every process of the server inherits this open file, so the lock is free
/// exactly when the last of them has ended.
async fn lock_log(folders: &Folders, options: &Options) -> Result<File, StartError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(&folders.log)
        .map_err(StartError::file("open", &folders.log))?;
    let deadline = Instant::now() + options.patience;
    while let Err(busy) = log.try_lock() {
        match busy {
            std::fs::TryLockError::WouldBlock if Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await
            }
            std::fs::TryLockError::WouldBlock => {
                return Err(StartError::InUse {
                    folder: folders.base.clone(),
                    pid: folders.pid(),
                });
            }
            std::fs::TryLockError::Error(error) => {
                return Err(StartError::file("lock", &folders.log)(error));
            }
        }
    }
    if log.metadata().is_ok_and(|it| it.len() > LONGEST_LOG) {
        log.set_len(0)
            .map_err(StartError::file("shorten", &folders.log))?;
    }
    Ok(log)
}

/// Made under another name first: a database that initdb did not finish is none.
async fn make_database(
    folders: &Folders,
    binaries: &Binaries,
    account: Option<Account>,
    options: &Options,
) -> Result<(), StartError> {
    let unfinished = folders.base.join("data.unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(StartError::file("remove", &unfinished))?;
    }
    let mut command = command_as(account, &binaries.program("initdb"), &folders.base);
    command.arg("--pgdata").arg(&unfinished);
    command.args([
        "--username",
        USER,
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]);
    if !options.durable {
        command.arg("--no-sync");
    }
    let run = |source| StartError::Run {
        program: binaries.program("initdb"),
        source,
    };
    let output = run_to_end(command).await.map_err(run)?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(StartError::InitDb {
            folder: folders.base.clone(),
            output,
        });
    }
    std::fs::rename(&unfinished, &folders.data)
        .map_err(StartError::file("put in place", &unfinished))
}

fn supervise(
    folders: &Folders,
    binaries: &Binaries,
    account: Option<Account>,
    options: &Options,
    log: File,
) -> Result<Child, StartError> {
    let mut command = command_as(account, Path::new("/bin/sh"), &folders.base);
    command.args(["-c", SUPERVISOR, "ficus-postgres"]);
    command.arg(if options.ephemeral {
        folders.base.as_os_str()
    } else {
        "".as_ref()
    });
    command
        .arg(binaries.program("postgres"))
        .arg("-D")
        .arg(&folders.data)
        .args(["-p", PORT]);
    command
        .args(["-c", "listen_addresses="])
        .arg("-k")
        .arg(&folders.socket);
    for setting in options.settings() {
        command.arg("-c").arg(setting);
    }
    // A group of its own: Ctrl-C in the terminal is for us, and we stop the server last.
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log));
    command.spawn().map_err(|source| StartError::Run {
        program: "/bin/sh".into(),
        source,
    })
}

/// A command as the server's account, with nothing of our environment that PostgreSQL would listen to.
fn command_as(account: Option<Account>, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(folder);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

async fn run_to_end(mut command: Command) -> io::Result<Output> {
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output())
        .await
        .map_err(io::Error::other)?
}

/// RFC 3986's unreserved characters stay as they are.
fn percent_encode(text: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if stays(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
