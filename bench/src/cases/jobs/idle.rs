//! How long it takes from the commit of a job to its start, while nothing else happens.
//!
//! The job is enqueued by the process that works, or by another one: this is told by NOTIFY on PostgreSQL, and by Redis on
//! MariaDB. Beside it stands what the database takes to answer one small question.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hakata_names::JobId;
use hakata_store::jobs;
use hakata_testkit::{Engine, RedisServer};
use hakata_worker::{Redis, Settings};
use tokio::sync::oneshot;

use super::figures::{Bar, Figures};
use super::stage::{KIND, Stage, enqueue_one, settings};
use super::{Amount, ENGINES};

/// What a start may take beside a question to the database, in ms; looking now and then would take a hundred.
const A_FEW_MS: f64 = 5.0;

/// Silence before each job: the one before is written down by then.
const SILENCE: Duration = Duration::from_millis(30);

/// How long a start may take before something is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// Who enqueues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Itself,
    Another,
}

pub(super) async fn measure(folder: &Path, amount: Amount, figures: &mut Figures) -> Result<()> {
    let server = RedisServer::start(&folder.join("redis"))?;
    let url = server.url("");
    let redis = Redis::parse(url.split_once('?').map_or(url.as_str(), |(url, _)| url))?;
    for engine in ENGINES {
        for who in [Who::Itself, Who::Another] {
            if engine == Engine::Sqlite && who == Who::Another {
                // It has one process.
                continue;
            }
            let redis = (engine == Engine::Mariadb && who == Who::Another).then(|| redis.clone());
            let by = match (who, engine) {
                (Who::Itself, _) => "the worker's own process",
                (Who::Another, Engine::Mariadb) => "another process, told by Redis",
                (Who::Another, _) => "another process, told by NOTIFY",
            };
            let case = format!("job on {} by {by}", engine.name());
            eprintln!("measuring the start of a {case}");
            let (starts, answers) = starts(folder, engine, who, redis, amount.n_starts).await?;
            let (start, _) = figures.times(&case, "from commit to start", &starts);
            let (answer, _) = figures.times(&case, "one question to the database", &answers);
            figures.goal(format!("start of a {case}, median ms"), start, Bar::AtMost(answer + A_FEW_MS));
        }
    }
    Ok(())
}

/// Measures starts of jobs, and questions between them.
async fn starts(
    folder: &Path,
    engine: Engine,
    who: Who,
    redis: Option<Redis>,
    n_starts: usize,
) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let stage = Stage::open(engine, folder, "idle").await?;
    let node = stage.node("worker").await?;
    let other = stage.node("other").await?;
    let waiting: Arc<Mutex<Option<oneshot::Sender<Instant>>>> = Arc::default();
    let told = waiting.clone();
    let settings = Settings { redis, ..settings() };
    let worker = node.work(settings.clone(), None, move |_| {
        if let Some(told) = told.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = told.send(Instant::now());
        }
    });
    let enqueuing = if who == Who::Itself { &node } else { &other };
    hakata_worker::announce(&enqueuing.forge, &settings, &enqueuing.running);
    let (mut starts, mut answers) = (Vec::new(), Vec::new());
    for id in stage.ids(i64::try_from(n_starts)? + 1) {
        tokio::time::sleep(SILENCE).await;
        let (tell, start) = oneshot::channel();
        *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
        enqueue_one(&enqueuing.db, KIND.as_str(), id).await?;
        let committed = Instant::now();
        let started = tokio::time::timeout(LIMIT, start).await.context("waiting for a start")??;
        tokio::time::sleep(SILENCE).await;
        let asked = Instant::now();
        jobs::find(&mut enqueuing.db.read().await?, JobId::new(id)).await?;
        answers.push(asked.elapsed());
        starts.push(started.saturating_duration_since(committed));
    }
    // The first is to warm up.
    for times in [&mut starts, &mut answers] {
        times.remove(0);
    }
    node.stop().await;
    worker.stop().await;
    other.stop().await;
    Ok((starts, answers))
}
