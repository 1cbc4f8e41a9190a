//! Messages that were received and whose jobs are not claimed yet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hakata_forge::jobs::Kind;
use hakata_names::JobId;
use lapin::Acker;
use lapin::options::BasicAckOptions;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long the broker is waited for to take an acknowledgement; without one it delivers the message again, which does
/// no harm.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message of the broker, and the right to acknowledge it.
#[derive(Debug)]
pub(crate) struct Message {
    /// The job that it names.
    pub(crate) job: JobId,
    acker: Acker,
    /// Says that it is in somebody's hands.
    _held: TaskTrackerToken,
}

impl Message {
    /// Tells the broker that the message is of no more use.
    pub(crate) async fn acknowledge(self) {
        let acknowledged = tokio::time::timeout(PATIENCE, self.acker.ack(BasicAckOptions::default())).await;
        if !matches!(acknowledged, Ok(Ok(true))) {
            tracing::debug!(job.id = self.job.get(), "a message will be delivered again");
        }
    }
}

/// Messages by kind; no more than the broker hands out unacknowledged, which is the limit of the kind.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    waiting: Mutex<BTreeMap<Kind, VecDeque<Message>>>,
    held: TaskTracker,
}

impl Mail {
    pub(super) fn put(&self, kind: Kind, job: JobId, acker: Acker) {
        let message = Message { job, acker, _held: self.held.token() };
        self.lock().entry(kind).or_default().push_back(message);
    }

    /// Puts messages back whose jobs could not be asked for.
    pub(crate) fn put_back(&self, kind: Kind, messages: Vec<Message>) {
        let mut mail = self.lock();
        let waiting = mail.entry(kind).or_default();
        messages.into_iter().rev().for_each(|message| waiting.push_front(message));
    }

    /// Takes up to `most` messages of a kind, those first that came first.
    pub(crate) fn take(&self, kind: Kind, most: usize) -> Vec<Message> {
        let mut mail = self.lock();
        let Some(waiting) = mail.get_mut(&kind) else { return Vec::new() };
        let n_taken = waiting.len().min(most);
        waiting.drain(..n_taken).collect()
    }

    /// Tells whether no message of a kind waits.
    pub(crate) fn is_empty(&self, kind: Kind) -> bool {
        self.lock().get(&kind).is_none_or(VecDeque::is_empty)
    }

    /// Forgets all messages: their connection is gone, and the broker delivers them on another.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// Waits until nobody has a message any more that was taken: each is acknowledged, or of no more use.
    pub(super) async fn settled(&self) {
        self.held.close();
        self.held.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Kind, VecDeque<Message>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
