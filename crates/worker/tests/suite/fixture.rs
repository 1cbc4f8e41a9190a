//! A forge on a database of its own, and workers of this process and of "other nodes" on the same database.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
use hakata_store::testing::TestDatabase;
use hakata_store::{Db, JobState};
use hakata_worker::rabbit::Broker;
use hakata_worker::{Handlers, Settings, Worker};

pub(crate) const KIND: Kind = Kind::DiskUsage;

/// Rules that fail fast.
pub(crate) const QUICK: Rules = Rules {
    attempts: 3,
    first_pause: Duration::from_millis(5),
    longest_pause: Duration::from_millis(50),
    time: Duration::from_secs(20),
    per_repository: usize::MAX,
    ..Rules::USUAL
};

/// How nodes learn of jobs: by a broker, as one more node sees it, or by looking into the table.
pub(crate) type Brokers<'a> = &'a dyn Fn() -> Option<Broker>;

/// By looking into the table.
pub(crate) const TABLE: Brokers<'static> = &|| None;

/// Longer than a test.
pub(crate) const NEVER: Duration = Duration::from_secs(3_600);

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A database and a directory for as many nodes as a test wants.
pub(crate) struct World {
    pub(crate) db: Db,
    database: TestDatabase,
    data: tempfile::TempDir,
    /// What runs until the end of the test, and not longer.
    running: Mutex<Vec<Tasks>>,
}

impl Drop for World {
    fn drop(&mut self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap());
        // The test's own runtime is busy with the test.
        let cutting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            running.iter().for_each(|tasks| runtime.block_on(tasks.cut()));
        });
        let _ = cutting.join();
    }
}

/// One node: a forge, and the tasks of its worker.
pub(crate) struct Node {
    pub(crate) worker: Worker,
    pub(crate) tasks: Tasks,
    /// The database as this node has it open.
    pub(crate) db: Db,
    _engines: Tasks,
}

impl World {
    pub(crate) async fn new(database: TestDatabase) -> Self {
        let data = tempfile::Builder::new().prefix("hakata_test_").tempdir().unwrap();
        Self { db: database.migrated().await, database, data, running: Mutex::default() }
    }

    /// Makes a forge; on a database server it has connections of its own, as another process would.
    pub(crate) async fn forge(&self, node: &str) -> (Forge, Db, Tasks) {
        let (clock, tasks, blocking) = (Clock::System, Tasks::new(), Blocking::new(4));
        let db = match self.db.is_sole_owner() {
            true => self.db.clone(),
            false => self.database.open().await,
        };
        let data = self.data.path().join(node);
        std::fs::create_dir_all(&data).unwrap();
        let git = hakata_git::Settings::new(data.join("scratch"));
        let git = Git::find(git, &tasks, blocking.clone()).await.unwrap();
        let repositories = Repositories::open_engine(hakata_repository::Parts {
            db: db.clone(),
            blobs: Blobs::open_fs(self.data.path().join("blobs"), blocking.clone()).await.unwrap(),
            git: git.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            blocking: blocking.clone(),
            settings: hakata_repository::Settings::new(data),
        });
        let repositories = repositories.await.unwrap();
        let parts = Parts { db: db.clone(), repositories, git, blocking, clock, tasks: tasks.clone() };
        (Forge::new(parts, hakata_forge::Settings::default()), db, tasks)
    }

    /// Makes a group of tasks that ends with the test.
    pub(crate) fn tasks(&self) -> Tasks {
        let tasks = Tasks::new();
        self.running.lock().unwrap().push(tasks.clone());
        tasks
    }

    /// Starts a node whose worker runs jobs of [`KIND`] by a closure.
    pub(crate) async fn node<F>(
        &self,
        name: &str,
        settings: Settings,
        rules: Rules,
        run: impl Fn(Job) -> F + Send + Sync + 'static,
    ) -> Node
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.node_of(name, settings, rules, None, run).await
    }

    /// Starts a node that names jobs to a broker, if there is one, and whose worker runs those that it names.
    pub(crate) async fn node_of<F>(
        &self,
        name: &str,
        settings: Settings,
        rules: Rules,
        broker: Option<Broker>,
        run: impl Fn(Job) -> F + Send + Sync + 'static,
    ) -> Node
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (forge, db, engines) = self.forge(name).await;
        let tasks = self.tasks();
        if let Some(broker) = &broker {
            broker.relay(&forge, &tasks);
        }
        let worker = Worker::new(&forge, Handlers::default().with(KIND, rules, run), settings, broker);
        worker.start(&tasks);
        Node { worker, tasks, db, _engines: engines }
    }

    /// Enqueues jobs 1 to `n` in one transaction.
    pub(crate) async fn enqueue(&self, n: i64) {
        self.enqueue_all((1..=n).map(new_job).collect()).await;
    }

    pub(crate) async fn enqueue_all(&self, new: Vec<NewJob<'static>>) {
        let new = &new;
        let enqueued = self.db.transaction(|tx| {
            Box::pin(async move {
                for job in new {
                    jobs::enqueue(tx, job).await?;
                }
                Ok::<_, hakata_store::StoreError>(())
            })
        });
        enqueued.await.unwrap();
    }

    /// Waits until so many jobs are in a state.
    pub(crate) async fn until(&self, state: JobState, n: i64) {
        until(async || self.count(state).await == n, &format!("{n} jobs are {state}")).await;
    }

    /// Counts the jobs of [`KIND`] in a state.
    pub(crate) async fn count(&self, state: JobState) -> i64 {
        let jobs = self.list(state).await;
        i64::try_from(jobs.iter().filter(|job| job.kind == KIND.as_str()).count()).unwrap()
    }

    /// Counts the jobs of a kind that are done.
    pub(crate) async fn done(&self, kind: &str) -> usize {
        self.list(JobState::Done).await.iter().filter(|job| job.kind == kind).count()
    }

    pub(crate) async fn list(&self, state: JobState) -> Vec<Job> {
        let mut conn = self.db.read().await.unwrap();
        let (mut jobs, mut after) = (Vec::new(), None);
        loop {
            let page = jobs::list(&mut conn, state, None, after, PageSize::MAX).await.unwrap();
            jobs.extend(page.rows);
            after = page.next;
            if after.is_none() {
                return jobs;
            }
        }
    }

    /// A place for files.
    pub(crate) fn path(&self, tail: &str) -> PathBuf {
        self.data.path().join(tail)
    }

    pub(crate) async fn find(&self, id: i64) -> Job {
        jobs::find(&mut self.db.read().await.unwrap(), JobId::new(id)).await.unwrap().unwrap()
    }
}

pub(crate) fn new_job(id: i64) -> NewJob<'static> {
    NewJob::new(JobId::new(id), KIND.as_str(), 1)
}

/// Settings of a node on which so many jobs may run at once.
pub(crate) fn settings(node: &str, limit: usize) -> Settings {
    Settings { node: node.to_owned(), at_once: [(KIND, limit)].into(), ..Settings::default() }
}

/// Runs an administrative command written as its JSON.
pub(crate) async fn admin(forge: &Forge, command: serde_json::Value) {
    let command = serde_json::from_value(command).unwrap();
    hakata_forge::admin::run(forge, command, &mut |_| {}).await.unwrap();
}

/// Waits until something holds.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool, what: &str) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "in {DEADLINE:?}: {what}");
}

/// What handlers of a test write down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<i64>>>);

impl Ledger {
    pub(crate) fn write(&self, job: &Job) {
        self.0.lock().unwrap().push(job.id.get());
    }

    pub(crate) fn read(&self) -> Vec<i64> {
        self.0.lock().unwrap().clone()
    }
}
