//! A realm without a forge: real git on bare directories, and repositories whose programs behave in chosen ways.

use crate::command::GitService;
use crate::realm::GitCommand;
use hakata_forge::admin::{Cell, Outcome, Row, Table};
use hakata_forge::hosting::ProtocolVersion;
use hakata_forge::{Actor, Error, Kind, Via, personal};
use hakata_names::OwnerName;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::Command;

/// Keys and what to do for them.
#[derive(Default)]
pub(crate) struct Stub {
    pub(super) keys: Mutex<HashMap<Vec<u8>, OwnerName>>,
    /// Where bare repositories are, as `OWNER/NAME.git`.
    pub(crate) directory: PathBuf,
    /// What can be watched from outside.
    pub(crate) seen: Arc<Seen>,
}

/// What the programs of the stub did.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Programs that run now.
    pub(crate) running: AtomicUsize,
    /// The process of the last real git.
    pub(crate) pid: AtomicUsize,
    /// Bytes read by `stub/discard`, and written by `stub/flood`.
    pub(crate) bytes: AtomicU64,
}

struct Counted(Arc<Seen>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Stub {
    pub(crate) fn add(&self, line: &str, user: &str) {
        let key = hakata_forge::keys::PublicKey::parse(line).unwrap();
        self.keys.lock().unwrap().insert(key.blob, user.parse().unwrap());
    }

    pub(crate) fn find(&self, blob: &[u8]) -> Option<OwnerName> {
        self.keys.lock().unwrap().get(blob).cloned()
    }

    pub(crate) fn sign_in(&self, blob: &[u8]) -> Result<Actor, Error> {
        let name = self.find(blob).ok_or_else(Error::sign_in)?;
        Ok(Actor::User { id: 1.into(), name, is_admin: false, via: Via::Key { id: 1.into() } })
    }

    pub(crate) async fn run_git<R, W>(
        &self,
        git: GitCommand<'_>,
        mut input: R,
        mut output: W,
    ) -> Result<(), Error>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        self.seen.running.fetch_add(1, Ordering::SeqCst);
        let _counted = Counted(self.seen.clone());
        let gone =
            |error: std::io::Error| Error::new(Kind::Unavailable, "the client is gone").with_source(error);
        match git.path.to_string().as_str() {
            "stub/echo" => tokio::io::copy(&mut input, &mut output).await.map(|_| ()).map_err(gone),
            "stub/hang" => std::future::pending().await,
            "stub/discard" => {
                let mut part = vec![0; 64 * 1024];
                loop {
                    let n = input.read(&mut part).await.map_err(gone)?;
                    self.seen.bytes.fetch_add(n as u64, Ordering::SeqCst);
                    if n == 0 {
                        return output.write_all(b"all\n").await.map_err(gone);
                    }
                }
            }
            "stub/flood" => {
                let part = vec![b'x'; 64 * 1024];
                loop {
                    output.write_all(&part).await.map_err(gone)?;
                    self.seen.bytes.fetch_add(part.len() as u64, Ordering::SeqCst);
                }
            }
            "stub/limited" => Err(Error::new(Kind::Limited, "too many fetches")),
            "stub/broken" => Err(Error::internal("the disk \u{1b}[2J is gone")),
            "stub/version" => output.write_all(format!("{:?}\n", git.version).as_bytes()).await.map_err(gone),
            _ => self.run_real_git(git, input, output).await,
        }
    }

    async fn run_real_git<R, W>(&self, git: GitCommand<'_>, mut input: R, mut output: W) -> Result<(), Error>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        let directory = self.directory.join(format!("{}.git", git.path));
        if !directory.exists() {
            return Err(Error::repository_not_found());
        }
        let program = match git.service {
            GitService::UploadPack => "upload-pack",
            GitService::ReceivePack => "receive-pack",
            GitService::UploadArchive => "upload-archive",
        };
        let protocol = match git.version {
            ProtocolVersion::V0 => "version=0",
            ProtocolVersion::V1 => "version=1",
            ProtocolVersion::V2 => "version=2",
        };
        let mut child = Command::new("git")
            .arg(program)
            .arg(directory)
            .env("GIT_PROTOCOL", protocol)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::internal)?;
        self.seen.pid.store(child.id().unwrap_or_default() as usize, Ordering::SeqCst);
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let feed = async {
            let _ = tokio::io::copy(&mut input, &mut stdin).await;
            drop(stdin);
            std::future::pending::<()>().await;
        };
        let drain = async {
            let mut part = vec![0; 256 * 1024];
            loop {
                let n = stdout.read(&mut part).await.unwrap_or(0);
                if n == 0 || output.write_all(&part[..n]).await.is_err() {
                    break;
                }
            }
            child.wait().await
        };
        tokio::select! {
            () = feed => Ok(()),
            status = drain => match status {
                Ok(status) if status.success() => Ok(()),
                _ => Err(Error::new(Kind::Invalid, "git failed")),
            },
        }
    }
}

/// Answers commands for people with fixed values.
pub(crate) fn outcome(actor: &Actor, command: &personal::Command) -> Outcome {
    let text = |text: &str| Cell::Text(text.to_owned());
    match command {
        personal::Command::KeyList => Outcome::List(Table {
            columns: vec!["id".into(), "title".into()],
            rows: vec![vec![text("1"), text("laptop")], vec![text("1000"), text("a\u{1b}[31mb")]],
        }),
        personal::Command::KeyAdd { line, title } => {
            Outcome::Done { message: format!("added {:?} {:?}", title, line.split(' ').next()), row: None }
        }
        personal::Command::TokenNew { scopes, .. } => Outcome::Token {
            token: hakata_runtime::secret::Secret::new("hkt_secret".to_owned()),
            row: Row(vec![("scopes".into(), text(&scopes.to_string()))]),
        },
        _ => Outcome::One(Row(vec![("name".into(), text(actor.name()))])),
    }
}
