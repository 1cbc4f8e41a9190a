//! How a worker hears of jobs without asking all the time.
//!
//! Jobs of this process are told by a channel, after their commit. Those of other processes come by NOTIFY on
//! PostgreSQL, or through Redis on any database if there is one to be used. Where neither tells, the queue is asked every
//! [`Settings::poll`](crate::Settings); where something does, it is asked every few seconds all the same, for what may
//! have been missed.

mod redis;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hakata_forge::Forge;
use hakata_forge::jobs::{Heard, Kind, Listener, Queue};
use hakata_runtime::tasks::Tasks;
use tokio::sync::watch;

use self::redis::{Ear, Mouth, RedisError};
pub use self::redis::{ParseRedisError, Redis};
use crate::chain::chain;
use crate::metrics::{ANNOUNCED, Announced, TOLD};
use crate::settings::Settings;
use crate::worker::Shared;

/// Pause before another try to listen, or to tell.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(crate) fn start(shared: &Arc<Shared>, tasks: &Tasks) {
    let (drain, here) = (tasks.cancel_token(), shared.clone());
    let listener = Hearing::Here(shared.queue.listen_here());
    drop(tasks.spawn("worker.listen_here", async move {
        let listening = async {
            let error = pass_on(&here, listener).await;
            tracing::warn!(error = chain(&error), "listening for jobs");
        };
        drain.run_until_cancelled(listening).await;
    }));
    let look = shared.settings.look;
    let every = watch::Sender::new(if shared.queue.is_alone() { look } else { shared.settings.poll });
    let (drain, poller, pauses) = (tasks.cancel_token(), shared.clone(), every.subscribe());
    drop(tasks.spawn("worker.poll", async move {
        drain.run_until_cancelled(poll(&poller, pauses)).await;
    }));
    if !shared.queue.is_alone() {
        let (drain, elsewhere) = (tasks.cancel_token(), shared.clone());
        drop(tasks.spawn("worker.listen_elsewhere", async move {
            drain.run_until_cancelled(listen_elsewhere(&elsewhere, &every)).await;
        }));
    }
}

/// What is listened to.
enum Hearing {
    /// This process.
    Here(Listener),
    /// Other processes, which the database tells of.
    Database(Listener),
    /// Other processes, which tell by Redis.
    Redis(Ear),
}

/// Why nothing is heard.
#[derive(Debug, thiserror::Error)]
enum HearError {
    #[error("asking the database")]
    Database(#[from] hakata_forge::Error),
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Hearing {
    /// Begins to listen to other processes; `None`: nobody tells of them.
    async fn elsewhere(shared: &Shared) -> Result<Option<Self>, HearError> {
        match &shared.settings.redis {
            Some(redis) => Ok(Some(Self::Redis(redis.listen(&shared.settings.redis_channel).await?))),
            None => Ok(shared.queue.listen_elsewhere().await?.map(Self::Database)),
        }
    }

    async fn heard(&mut self) -> Result<Heard, HearError> {
        match self {
            Self::Here(listener) | Self::Database(listener) => Ok(listener.heard().await?),
            Self::Redis(ear) => Ok(ear.heard().await?),
        }
    }
}

/// Passes on what is heard, until listening ends.
async fn pass_on(shared: &Shared, mut hearing: Hearing) -> HearError {
    loop {
        match hearing.heard().await {
            Ok(Heard::Kinds(kinds)) => shared.inbox.tell(kinds),
            Ok(Heard::Missed) => shared.inbox.tell(shared.handlers.kinds()),
            Err(error) => return error,
        }
    }
}

async fn listen_elsewhere(shared: &Shared, every: &watch::Sender<Duration>) {
    let mut is_told = true;
    loop {
        let error = match Hearing::elsewhere(shared).await {
            Ok(None) => return,
            Ok(Some(hearing)) => {
                // What was enqueued before we listened was told to nobody.
                shared.inbox.tell(shared.handlers.kinds());
                every.send_replace(shared.settings.look);
                TOLD.set(1);
                is_told = true;
                pass_on(shared, hearing).await
            }
            Err(error) => error,
        };
        every.send_replace(shared.settings.poll);
        TOLD.set(0);
        // Once, not every second for as long as nobody mends it.
        if std::mem::take(&mut is_told) {
            tracing::warn!(
                error = chain(&error),
                "nobody tells of jobs of other processes; looking for them instead"
            );
        }
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

async fn poll(shared: &Shared, mut every: watch::Receiver<Duration>) {
    loop {
        let pause = *every.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = every.changed() => continue,
        }
        match shared.queue.due_kinds().await {
            Ok(kinds) => shared.inbox.tell(kinds),
            Err(error) => tracing::debug!(error = error.chain(), "asking for jobs"),
        }
    }
}

/// Tells other processes of the jobs that this one enqueues, by Redis if there is one to be used, else where the
/// database can; every process that serves does. The telling follows the commit and takes nothing from it.
pub fn announce(forge: &Forge, settings: &Settings, tasks: &Tasks) {
    let queue = forge.job_queue("announcer", Duration::ZERO);
    if queue.is_alone() {
        return;
    }
    let (drain, listener) = (tasks.cancel_token(), queue.listen_here());
    let mut telling = match settings.redis.clone() {
        Some(redis) => Telling::Redis { redis, channel: settings.redis_channel.clone(), mouth: None },
        None => Telling::Database(queue),
    };
    drop(tasks.spawn("jobs.announce", async move {
        drain.run_until_cancelled(tell(&mut telling, listener)).await;
    }));
}

/// Who tells other processes.
enum Telling {
    Database(Queue),
    Redis { redis: Redis, channel: String, mouth: Option<Mouth> },
}

impl Telling {
    /// Tells of kinds; false: nobody can be told.
    async fn tell(&mut self, kinds: &[Kind]) -> Result<bool, HearError> {
        match self {
            Self::Database(queue) => Ok(queue.announce(kinds).await?),
            Self::Redis { redis, channel, mouth } => {
                let mut speaking = match mouth.take() {
                    Some(mouth) => mouth,
                    None => redis.connect(channel).await?,
                };
                speaking.tell(kinds).await?;
                // After a failure another connection is made.
                *mouth = Some(speaking);
                Ok(true)
            }
        }
    }
}

/// Tells of what this process enqueues, and of what could not be told before.
async fn tell(telling: &mut Telling, mut listener: Listener) {
    while let Ok(heard) = listener.heard().await {
        let mut kinds = named(heard);
        // What came meanwhile is told along.
        while let Some(Ok(heard)) = listener.heard().now_or_never() {
            kinds.extend(named(heard));
        }
        kinds.sort_unstable();
        kinds.dedup();
        loop {
            match telling.tell(&kinds).await {
                Ok(true) => {
                    ANNOUNCED.get(Announced::Told).inc();
                    break;
                }
                Ok(false) => return,
                Err(error) => {
                    ANNOUNCED.get(Announced::Failed).inc();
                    tracing::debug!(error = chain(&error), "announcing jobs");
                }
            }
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

fn named(heard: Heard) -> Vec<Kind> {
    match heard {
        Heard::Kinds(kinds) => kinds,
        Heard::Missed => Kind::ALL.to_vec(),
    }
}
