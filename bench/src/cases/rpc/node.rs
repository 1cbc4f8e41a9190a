//! The service: a process that serves, and the same repositories opened in this one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hakata_blob::Blobs;
use hakata_git::Git;
use hakata_names::RepositoryPath;
use hakata_repository::{Parts, Repositories};
use hakata_rpc::v1::RepositoryKey;
use hakata_rpc::{Endpoint, Operations, grpc, msgpack};
use hakata_rpc_server::Local;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_store::Db;

use crate::meter::Meter;

/// The token of the service.
pub(super) const TOKEN: &str = "the-token-of-the-benchmark";

/// Threads that read objects in this process: what `server.blocking_threads` is on two cores.
const BLOCKING_THREADS: usize = 8;

/// A repository to be measured with.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Its name in the service.
    pub(super) name: String,
    /// What it is called in the table.
    pub(super) shown: String,
    path: PathBuf,
}

impl Given {
    pub(super) fn new(n: usize, path: &Path) -> Self {
        let shown = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name: format!("bench/r{n}"), shown, path: path.to_owned() }
    }
}

/// A running service.
pub(super) struct Node {
    data: PathBuf,
    pub(super) grpc_at: String,
    pub(super) msgpack_at: String,
    pub(super) meter: Meter,
    child: Child,
    tasks: Tasks,
}

impl Node {
    /// Imports the repositories, lets the service write what it writes beside packs, and starts to serve.
    pub(super) fn start(name: &str, folder: &Path, binary: &Path, given: &[Given]) -> Result<Self> {
        let (data, ready) = (folder.join(name), folder.join(format!("{name}.json")));
        let hakata = |args: &[&str]| hakata(binary, &data, args);
        hakata(&["user", "add", "bench", "--admin"])?;
        for given in given {
            hakata(&["repo", "import", &given.path.display().to_string(), &given.name])?;
            let request = format!("{{\"repository\": {{\"path\": {:?}}}}}", given.name);
            hakata(&["rpc", "call", "--route", "local", "repository.optimize", &request])?;
        }
        let mut serve = Command::new(binary);
        serve.arg("rpc").arg("--data").arg(&data).arg("--ready-file").arg(&ready);
        for key in ["RPC__GRPC", "RPC__MSGPACK", "ADMIN__ADDRESS"] {
            serve.env(format!("HAKATA_{key}"), "127.0.0.1:0");
        }
        serve.env("HAKATA_RPC__TOKENS", TOKEN);
        // The same merges are asked for again and again; here it is not about what is kept.
        serve.env("HAKATA_GIT__KEPT_MERGES", "0B");
        let log = folder.join(format!("{name}.log"));
        let (meter, child) = Meter::start(name, &mut serve, &log)?;
        let mut node = Self {
            data,
            grpc_at: String::new(),
            msgpack_at: String::new(),
            meter,
            child,
            tasks: Tasks::new(),
        };
        let addresses = addresses(&ready).with_context(|| {
            format!("hakata rpc does not start: {}", std::fs::read_to_string(&log).unwrap_or_default())
        })?;
        let address = |name: &str| addresses[name].as_str().map(str::to_owned).context("it has an address");
        node.grpc_at = address("rpc_grpc")?;
        node.msgpack_at = address("rpc_msgpack")?;
        Ok(node)
    }

    pub(super) fn grpc(&self) -> Result<grpc::Grpc> {
        Ok(grpc::Grpc::lazy(&endpoint(&self.grpc_at))?)
    }

    pub(super) fn msgpack(&self) -> msgpack::Msgpack {
        msgpack::Msgpack::lazy(endpoint(&self.msgpack_at), self.tasks.clone())
    }

    /// The process that serves.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A server that wants the token.
pub(super) fn endpoint(address: &str) -> Endpoint {
    Endpoint::new(address).with_token(TOKEN)
}

/// Waits for the file in which a process tells where it listens.
pub(super) fn addresses(ready: &Path) -> Result<serde_json::Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready.exists() {
        if Instant::now() > deadline {
            bail!("{} does not come", ready.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(serde_json::from_slice(&std::fs::read(ready)?)?)
}

fn hakata(binary: &Path, data: &Path, args: &[&str]) -> Result<()> {
    let mut command = Command::new(binary);
    command.args(args).arg("--data").arg(data);
    let output = command.output().context("running hakata")?;
    ensure!(output.status.success(), "hakata {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Where a repository is in this process.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: RepositoryKey,
    /// Its directory.
    pub(super) path: PathBuf,
}

/// A copy of the service's data, opened in this process as the service opens it.
pub(super) struct Here {
    repositories: Repositories,
    version: String,
    places: HashMap<String, Place>,
    tasks: Tasks,
    db: Db,
}

impl Here {
    /// Copies the data of a service that does not write, and opens the copy.
    pub(super) async fn open(node: &Node, folder: &Path, given: &[Given]) -> Result<Self> {
        let data = folder.join("here");
        let copied =
            Command::new("cp").arg("-r").arg(&node.data).arg(&data).status().context("running cp")?;
        ensure!(copied.success(), "copying the data of the service");
        let (tasks, blocking) = (Tasks::new(), Blocking::new(BLOCKING_THREADS));
        let url = format!("sqlite://{}", data.join("hakata.db").display());
        let db = Db::open(&hakata_store::Settings::new(url)).await?;
        let scratch = data.join("scratch");
        let settings = hakata_git::Settings { kept_merges_bytes: 0, ..hakata_git::Settings::new(scratch) };
        let git = Git::find(settings, &tasks, blocking.clone()).await?;
        let version = git.version().to_string();
        let repositories = Repositories::open_engine(Parts {
            db: db.clone(),
            blobs: Blobs::open_fs(data.join("blobs"), blocking.clone()).await?,
            git,
            clock: Clock::System,
            tasks: tasks.child(),
            blocking,
            settings: hakata_repository::Settings::new(&data),
        })
        .await?;
        let mut places = HashMap::new();
        for given in given {
            let row = repositories.find(&RepositoryPath::parse(&given.name)?).await?;
            let row = row.with_context(|| format!("{} is there", given.name))?;
            let path = repositories.open(row.id).await?.cache().await?.dir().path().to_owned();
            let key = RepositoryKey { id: row.id.get(), path: String::new() };
            places.insert(given.name.clone(), Place { key, path });
        }
        Ok(Self { repositories, version, places, tasks, db })
    }

    /// Answers operations, with nothing kept of earlier answers.
    pub(super) fn operations(&self) -> Arc<dyn Operations> {
        let settings = hakata_rpc_server::Settings::default();
        Arc::new(Local::new(self.repositories.clone(), self.version.clone(), settings))
    }

    pub(super) fn place(&self, given: &Given) -> Result<&Place> {
        self.places.get(&given.name).context("the repository was imported")
    }

    pub(super) async fn close(&self) {
        self.repositories.close().await;
        self.db.close().await;
        self.tasks.drain(Duration::from_secs(10)).await;
    }
}
