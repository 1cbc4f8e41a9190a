//! One worker: its life from start to stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hakata_forge::Forge;
use hakata_forge::jobs::{Kind, Queue};
use hakata_names::JobId;
use hakata_runtime::tasks::Tasks;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::handlers::Handlers;
use crate::inbox::Inbox;
use crate::rabbit::{Broker, Mail};
use crate::settings::Settings;
use crate::{dispatch, rabbit, upkeep, wake};

/// A worker; clones are the same one.
#[derive(Clone, Debug)]
pub struct Worker {
    pub(crate) shared: Arc<Shared>,
}

/// What the tasks of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) handlers: Handlers,
    pub(crate) settings: Settings,
    pub(crate) inbox: Inbox,
    pub(crate) source: Source,
    running: Mutex<HashMap<(JobId, i64), Running>>,
    /// An attempt has left.
    left: Notify,
}

/// How a worker learns of jobs; the rows are where it claims them either way.
#[derive(Debug)]
pub(crate) enum Source {
    /// It looks at the table, and is told when.
    Table,
    /// Messages of a broker name them.
    Broker {
        /// The broker.
        broker: Broker,
        /// What was received.
        mail: Mail,
    },
}

impl Source {
    /// Forgets messages whose connection is gone.
    pub(crate) fn forget(&self) {
        if let Self::Broker { mail, .. } = self {
            mail.forget();
        }
    }
}

/// An attempt under way.
#[derive(Debug)]
struct Running {
    kind: Kind,
    cut: CancellationToken,
}

impl Worker {
    /// Makes a worker that does nothing yet; it takes jobs that a broker names, or looks for them in the table.
    pub fn new(forge: &Forge, handlers: Handlers, settings: Settings, broker: Option<Broker>) -> Self {
        let queue = forge.job_queue(&settings.node, settings.lease);
        let (inbox, running, left) = (Inbox::default(), Mutex::default(), Notify::new());
        let source = match broker {
            Some(broker) => Source::Broker { broker, mail: Mail::default() },
            None => Source::Table,
        };
        Self { shared: Arc::new(Shared { queue, handlers, settings, inbox, source, running, left }) }
    }

    /// Begins to claim and run jobs. A drain of `tasks` ends the claiming and lets what runs finish; what it cuts is
    /// given back by [`Worker::stop`].
    pub fn start(&self, tasks: &Tasks) {
        match &self.shared.source {
            Source::Table => wake::start(&self.shared, tasks),
            Source::Broker { broker, .. } => rabbit::consume(&self.shared, broker, tasks),
        }
        upkeep::start(&self.shared, tasks);
        dispatch::start(&self.shared, tasks);
    }

    /// Gives back what is still claimed; to be called when the tasks are gone.
    pub async fn stop(&self) {
        match self.shared.queue.give_back().await {
            Ok(0) => {}
            Ok(n_jobs) => tracing::info!(n_jobs, "gave jobs back"),
            Err(error) => tracing::warn!(error = error.chain(), "jobs wait until their claims lapse"),
        }
    }
}

impl Shared {
    /// Counts the attempts of a kind under way here.
    pub(crate) fn n_running(&self, kind: Kind) -> usize {
        self.running().values().filter(|running| running.kind == kind).count()
    }

    /// Enters an attempt; the token fires when its claim is lost.
    pub(crate) fn enter(self: &Arc<Self>, kind: Kind, id: JobId, attempt: i64) -> Entered {
        let cut = CancellationToken::new();
        self.running().insert((id, attempt), Running { kind, cut: cut.clone() });
        Entered { shared: self.clone(), kind, key: (id, attempt), cut }
    }

    /// Cuts the attempts whose claim is not among those still held, and answers how many they are. `known` are the
    /// attempts that were under way when the question was asked.
    pub(crate) fn cut_lost(
        &self,
        known: &[(JobId, i64)],
        held: &std::collections::HashSet<(JobId, i64)>,
    ) -> usize {
        let running = self.running();
        let lost = known.iter().filter(|key| !held.contains(*key)).filter_map(|key| running.get(key));
        lost.inspect(|running| running.cut.cancel()).count()
    }

    /// Lists the attempts under way.
    pub(crate) fn attempts(&self) -> Vec<(JobId, i64)> {
        self.running().keys().copied().collect()
    }

    /// Waits until no attempt is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // From here on none is missed.
            left.as_mut().enable();
            if self.running().is_empty() {
                return;
            }
            left.await;
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<(JobId, i64), Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of an attempt; leaving makes room for another.
pub(crate) struct Entered {
    shared: Arc<Shared>,
    kind: Kind,
    key: (JobId, i64),
    pub(crate) cut: CancellationToken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shared.running().remove(&self.key);
        self.shared.left.notify_waiters();
        self.shared.inbox.tell([self.kind]);
    }
}
