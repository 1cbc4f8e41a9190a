//! Puts the engines together: database, git, blobs, repositories, and the forge on top of them.

use crate::config::{Log, Move, Server, Settings, Storage};
use crate::data_dir::{DatabaseLock, LockDatabaseError};
use crate::output::{Failure, chain};
use hakata_blob::{Blobs, OpenBlobsError};
use hakata_forge::Forge;
use hakata_git::Git;
use hakata_repository::Repositories;
use hakata_rpc_server::Local;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::metrics::{self, Metric};
use hakata_runtime::tasks::Tasks;
use hakata_service::log;
use hakata_store::Db;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Threads of the runtime that files of the standard library use, beside those of our own blocking pool.
const SPARE_BLOCKING_THREADS: usize = 8;
/// How long a command of another data directory on the same SQLite database is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything below the faces.
#[derive(Debug)]
pub(crate) struct Engines {
    /// The database.
    pub(crate) db: Db,
    /// The git of this machine.
    pub(crate) git: Git,
    /// The pool for work that blocks.
    pub(crate) blocking: Blocking,
    /// Policy.
    pub(crate) forge: Forge,
    repositories: Repositories,
    _database_lock: Option<DatabaseLock>,
}

/// Makes the runtime that everything runs on.
pub(crate) fn runtime(server: &Server) -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(server.threads)
        .max_blocking_threads(server.blocking_threads + SPARE_BLOCKING_THREADS)
        .thread_name("hakata")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("starting the runtime", &error))
}

/// Starts to write log lines; the last of them are written when the answer is dropped.
pub(crate) fn start_log(log: &Log) -> Result<log::Log, Failure> {
    let format = if log.json { log::Format::Json } else { log::Format::Text };
    log::init(format, &log.level, log.buffer).map_err(|error| Failure::failed("starting the log", &error))
}

impl Engines {
    /// Finds git, opens the database, brings its schema up to date, and opens the rest; `tasks` owns what runs beside.
    ///
    /// # Errors
    /// The first thing that is missing or broken, in a sentence for the operator.
    pub(crate) async fn start(settings: &Settings, tasks: &Tasks) -> Result<Self, Failure> {
        let clock = Clock::System;
        let blocking = Blocking::new(settings.server.blocking_threads);
        let git = Git::find(settings.git.clone(), tasks, blocking.clone()).await.map_err(|error| {
            Failure::failed("looking for git", &error)
                .with_hint("install git 2.41 or newer, or name one: git.binary")
        })?;
        let database_lock = lock_database(settings).await?;
        let db = open_database(&settings.database).await?;
        let failed = |act: &str, error: &dyn std::error::Error| Failure::failed(act, error);
        let blobs = open_blobs(&settings.storage, &blocking, tasks).await?;
        let repositories = Repositories::open_engine(hakata_repository::Parts {
            db: db.clone(),
            blobs,
            git: git.clone(),
            clock: clock.clone(),
            tasks: tasks.child(),
            blocking: blocking.clone(),
            settings: settings.repository.clone(),
        });
        let repositories = repositories.await.map_err(|error| failed("opening the repositories", &error))?;
        let parts = hakata_forge::Parts {
            db: db.clone(),
            repositories: repositories.clone(),
            git: git.clone(),
            blocking: blocking.clone(),
            clock,
            tasks: tasks.child(),
        };
        let forge = Forge::new(parts, settings.forge.clone());
        Ok(Self { db, git, blocking, forge, repositories, _database_lock: database_lock })
    }

    /// Answers repository operations in this process.
    pub(crate) fn operations(&self, settings: &hakata_rpc_server::Settings) -> Local {
        Local::new(self.repositories.clone(), self.git.version().to_string(), settings.clone())
    }

    /// Lets the caches follow what was committed, and closes the database; the faces are gone by then.
    pub(crate) async fn stop(&self) {
        self.repositories.close().await;
        self.db.close().await;
    }
}

/// Opens the bucket of packs, or their directory, or both while one takes the place of the other.
async fn open_blobs(storage: &Storage, blocking: &Blocking, tasks: &Tasks) -> Result<Blobs, Failure> {
    let directory = || Blobs::open_fs(storage.directory.clone(), blocking.clone());
    let bucket = || Blobs::open_s3(storage.s3.clone(), tasks.child());
    let opened: Result<Blobs, OpenBlobsError> = async {
        Ok(match (storage.s3.bucket.as_str(), storage.moving) {
            ("", _) => directory().await?,
            (_, Move::No) => bucket().await?,
            (_, Move::ToBucket) => Blobs::moving(bucket().await?, directory().await?),
            (_, Move::ToDirectory) => Blobs::moving(directory().await?, bucket().await?),
        })
    }
    .await;
    opened.map_err(|error| Failure::failed("opening the packs", &error))
}

async fn lock_database(settings: &Settings) -> Result<Option<DatabaseLock>, Failure> {
    let url = settings.database.url.expose();
    let taken = DatabaseLock::take(url, &settings.repository.data, PATIENCE).await;
    taken.map_err(|error| match error {
        LockDatabaseError::Held(_) => Failure::refused(error.to_string()).with_hint(
            "several Hakatas can share PostgreSQL, MariaDB or MySQL, but not a file: database.url",
        ),
        LockDatabaseError::Io { .. } => Failure::failed("opening the database", &error),
    })
}

pub(crate) async fn open_database(settings: &hakata_store::Settings) -> Result<Db, Failure> {
    let db = Db::open(settings).await.map_err(|error| {
        Failure::failed("opening the database", &error)
            .with_hint("hakata config show --origin tells which is meant")
    })?;
    let migrated = db.migrate().await.map_err(|error| Failure::failed("migrating the database", &error))?;
    if migrated.from != migrated.to {
        tracing::info!(schema.from = migrated.from, schema.to = migrated.to, "migrated the database");
    }
    Ok(db)
}

/// Lets a process of ours end the git processes of this one, should it be killed. Without it the next start does so.
pub(crate) fn start_warden(git: &Git) {
    let started = std::env::current_exe().and_then(|program| git.start_warden(&program));
    if let Err(error) = started {
        tracing::warn!(%error, "git processes would outlive this server if it were killed, until its next start");
    }
}

/// Tells whether the database answers, for the readiness check.
pub(crate) async fn ping(db: Db) -> Result<(), String> {
    db.ping().await.map_err(|error| chain(&error))
}

/// Declares the metrics of every crate.
pub(crate) fn register_metrics() {
    let mut all: Vec<&'static dyn Metric> = hakata_runtime::metrics();
    all.extend(hakata_service::metrics());
    all.extend(hakata_store::metrics());
    all.extend(hakata_git::metrics());
    all.extend(hakata_blob::metrics());
    all.extend(hakata_repository::metrics());
    all.extend(hakata_forge::metrics());
    all.extend(hakata_id::metrics());
    all.extend(hakata_smart_http::metrics());
    all.extend(hakata_lfs::metrics());
    all.extend(hakata_ssh::metrics());
    all.extend(hakata_worker::metrics());
    all.extend(hakata_mail::metrics());
    all.extend(hakata_rpc::metrics());
    all.extend(hakata_rpc_server::metrics());
    metrics::register(&all);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_metric_of_every_crate_has_a_name_of_its_own() {
        super::register_metrics();
        assert!(hakata_runtime::metrics::catalogue().len() > 20, "the crates' metrics are all declared");
    }
}
