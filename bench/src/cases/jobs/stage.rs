//! A database of its own, and processes that work at its jobs as they do in production: but in this process, to be
//! measured to the microsecond.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use hakata_blob::Blobs;
use hakata_forge::jobs::{Job, Kind, Outcome, Rules};
use hakata_forge::{Forge, Parts};
use hakata_git::Git;
use hakata_names::JobId;
use hakata_repository::Repositories;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_store::jobs::{self, NewJob};
use hakata_store::page::PageSize;
use hakata_store::{Db, JobState, StoreError};
use hakata_testkit::{Database, Engine};
use hakata_worker::rabbit::Broker;
use hakata_worker::{Handlers, Settings, Worker};

use super::AT_ONCE;

/// The kind whose handler does nothing here.
pub(super) const KIND: Kind = Kind::DiskUsage;

/// How long one round may take.
const LIMIT: Duration = Duration::from_secs(600);

/// A database, and how it is reached.
pub(super) struct Stage {
    pub(super) engine: Engine,
    /// As the process has it that enqueues.
    pub(super) db: Db,
    url: String,
    folder: PathBuf,
    next: AtomicI64,
    _database: Option<Database>,
}

impl Stage {
    /// Makes a database with an empty queue.
    pub(super) async fn open(engine: Engine, folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(format!("{name}-{}", engine.name()));
        std::fs::create_dir_all(&folder)?;
        let database = Database::create(engine).with_context(|| {
            format!("making a database on {}: ./test says how its server is found", engine.name())
        })?;
        let file = format!("sqlite://{}", folder.join("hakata.db").display());
        let url = database.as_ref().map_or(file, Database::url);
        let db = Db::open(&hakata_store::Settings::new(url.clone())).await?;
        db.migrate().await?;
        Ok(Self { engine, db, url, folder, next: AtomicI64::new(1), _database: database })
    }

    /// Opens what a process works with; its connections are its own, but on SQLite.
    pub(super) async fn node(&self, name: &str) -> Result<Node> {
        let db = match self.engine {
            Engine::Sqlite => self.db.clone(),
            Engine::Postgres | Engine::Mariadb => {
                Db::open(&hakata_store::Settings::new(self.url.clone())).await?
            }
        };
        let (clock, engines, blocking) = (Clock::System, Tasks::new(), Blocking::new(2));
        let data = self.folder.join(name);
        std::fs::create_dir_all(&data)?;
        let git =
            Git::find(hakata_git::Settings::new(data.join("scratch")), &engines, blocking.clone()).await?;
        let repositories = Repositories::open_engine(hakata_repository::Parts {
            db: db.clone(),
            blobs: Blobs::open_fs(self.folder.join("blobs"), blocking.clone()).await?,
            git: git.clone(),
            clock: clock.clone(),
            tasks: engines.clone(),
            blocking: blocking.clone(),
            settings: hakata_repository::Settings::new(data),
        })
        .await?;
        let parts = Parts { db: db.clone(), repositories, git, blocking, clock, tasks: engines.clone() };
        let forge = Forge::new(parts, hakata_forge::Settings::default());
        Ok(Node { forge, db, engines, running: Tasks::new() })
    }

    /// Takes ids for so many jobs.
    pub(super) fn ids(&self, n: i64) -> std::ops::Range<i64> {
        let first = self.next.fetch_add(n, Ordering::SeqCst);
        first..first + n
    }

    /// Waits until jobs are done, of which all must be: by the count of finished rows, once all have begun.
    pub(super) async fn until_done(&self, begun: &AtomicI64, n: i64) -> Result<()> {
        let waiting = async {
            while begun.load(Ordering::SeqCst) < n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            while !jobs::count(&mut self.db.read().await?).await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LIMIT, waiting).await.context("waiting for all jobs")??;
        ensure!(begun.load(Ordering::SeqCst) == n, "every job begins once");
        Ok(())
    }

    /// Forgets what is done; `n` jobs must be.
    pub(super) async fn forget(&self, n: i64) -> Result<()> {
        let mut conn = self.db.write().await?;
        let left = jobs::list(&mut conn, JobState::Buried, None, None, PageSize::MAX).await?;
        ensure!(left.rows.is_empty(), "no job is buried");
        let n_done = jobs::prune(&mut conn, i64::MAX).await?;
        ensure!(i64::try_from(n_done) == Ok(n), "{n_done} of {n} jobs are done");
        Ok(())
    }
}

/// One process.
pub(super) struct Node {
    pub(super) forge: Forge,
    pub(super) db: Db,
    engines: Tasks,
    /// What runs until [`Node::stop`].
    pub(super) running: Tasks,
}

impl Node {
    /// Starts a worker whose jobs do nothing but `run`.
    pub(super) fn work(
        &self,
        settings: Settings,
        broker: Option<Broker>,
        run: impl Fn(&Job) + Send + Sync + 'static,
    ) -> Worker {
        let handlers = Handlers::default().with(KIND, Rules::USUAL, move |job| {
            run(&job);
            async { Outcome::Finish }
        });
        let worker = Worker::new(&self.forge, handlers, settings, broker);
        worker.start(&self.running);
        worker
    }

    /// Ends what runs.
    pub(super) async fn stop(self) {
        self.running.drain(Duration::from_secs(10)).await;
        self.engines.drain(Duration::from_secs(10)).await;
    }
}

/// Settings of a worker that runs [`AT_ONCE`] jobs at once.
pub(super) fn settings() -> Settings {
    Settings { node: "bench".to_owned(), at_once: [(KIND, AT_ONCE)].into(), ..Settings::default() }
}

/// Now, in ms since 1970.
pub(super) fn now() -> i64 {
    Clock::System.now_ms()
}

/// Enqueues jobs, each in a transaction of its own as a push would, [`AT_ONCE`] at once.
pub(super) async fn enqueue(db: &Db, kind: &'static str, ids: std::ops::Range<i64>) -> Result<()> {
    let next = Arc::new(AtomicI64::new(ids.start));
    try_join_all((0..AT_ONCE).map(|_| {
        let (db, next) = (db.clone(), next.clone());
        let enqueuing = tokio::spawn(async move {
            loop {
                let id = next.fetch_add(1, Ordering::SeqCst);
                if id >= ids.end {
                    return anyhow::Ok(());
                }
                enqueue_one(&db, kind, id).await?;
            }
        });
        async { enqueuing.await? }
    }))
    .await
    .map(drop)
}

/// Enqueues one job in a transaction of its own.
pub(super) async fn enqueue_one(db: &Db, kind: &'static str, id: i64) -> Result<()> {
    let new = NewJob::new(JobId::new(id), kind, now());
    let new = &new;
    let enqueued = db.transaction(|tx| Box::pin(async move { jobs::enqueue(tx, new).await }));
    let is_new = enqueued.await.map_err(|error: StoreError| error)?;
    ensure!(is_new, "a job is new");
    Ok(())
}

/// Measures how long something takes.
pub(super) async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}
