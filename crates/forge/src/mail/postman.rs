//! One try to send what a job is about.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hakata_mail::{Class, Letter, Mailer, SendError};
use hakata_names::{NoticeId, UserId};
use hakata_rpc::Operations;
use hakata_runtime::metrics::{CounterFamily, Label, Metric};
use hakata_store::notices::{self, Notice};
use hakata_store::readers::{self, Reader};
use hakata_store::{NoticeState, StoreError};

use super::notices::wants;
use super::{Matter, Reason};
use crate::jobs::{Job, Outcome};
use crate::{Error, Forge};

static ENDED: CounterFamily<End> =
    CounterFamily::new("hakata_notices_ended_total", "Notices that were sent, given up or dropped");

/// Pauses between tries to write down that a letter was taken.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What became of a notice, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End(&'static str);

impl Label for End {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        self.0
    }
}

/// Sends letters; cheap to clone.
#[derive(Clone)]
pub struct Postman {
    pub(super) forge: Forge,
    pub(super) operations: Arc<dyn Operations>,
    pub(super) mailer: Mailer,
}

impl fmt::Debug for Postman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postman").field("mailer", &self.mailer).finish_non_exhaustive()
    }
}

/// What a job asks for.
enum Task {
    Notice(NoticeId),
    Digest(UserId),
}

/// How sending ended.
pub(super) enum Sent {
    Taken,
    /// It may be taken another time.
    Later(SendError),
    /// It never will be, or was tried for long enough.
    Never(SendError),
}

impl Postman {
    /// Makes a postman who reads commits through `operations`; `None`: mail is off.
    pub fn new(forge: Forge, operations: Arc<dyn Operations>) -> Option<Self> {
        let mailer = forge.inner.mailer.clone()?;
        Some(Self { forge, operations, mailer })
    }

    /// Tries what a job is about.
    pub async fn deliver(&self, job: &Job) -> Outcome {
        let done = match task(&job.payload) {
            Some(Task::Notice(id)) => self.deliver_notice(id).await,
            Some(Task::Digest(user)) => self.deliver_digest(job.id, user).await,
            None => return Outcome::Bury { why: "the job names neither a notice nor a digest".to_owned() },
        };
        done.unwrap_or_else(Outcome::from)
    }

    async fn deliver_notice(&self, id: NoticeId) -> Result<Outcome, Error> {
        let Some(notice) = notices::find(&mut self.forge.db().read().await?, id).await? else {
            return Ok(Outcome::Finish);
        };
        // Failed ones too: somebody wants another try.
        if !matches!(notice.state, NoticeState::Waiting | NoticeState::Failed) {
            return Ok(Outcome::Finish);
        }
        let (created_at, ids) = (notice.created_at, [id]);
        let reader = match self.standing(&notice).await? {
            Ok(reader) => reader,
            Err(why) => return self.drop_notice(id, why).await,
        };
        let language = self.forge.language_of(&reader.preference);
        let Some(told) = self.told(notice, language).await? else {
            return self.drop_notice(id, "what it tells of is gone").await;
        };
        let letter = self.letter(&told, &reader, language).await?;
        let sent = self.send(&letter, created_at).await;
        self.settle(sent, &ids).await
    }

    /// Looks again whether the reader may and wants to be told: things may have changed since.
    pub(super) async fn standing(&self, notice: &Notice) -> Result<Result<Reader, &'static str>, Error> {
        let reader =
            readers::find(&mut self.forge.db().read().await?, notice.user, notice.repository).await?;
        let Some(reader) = reader else { return Ok(Err("the reader is gone")) };
        let Some(reason) = Reason::parse(&notice.reason) else {
            return Ok(Err("its reason is unknown here"));
        };
        if let Err(why) = wants(&reader, reason) {
            return Ok(Err(why));
        }
        let needs_grant =
            serde_json::from_str::<Matter>(&notice.payload).is_ok_and(|matter| matter.needs_grant());
        if let Some(repository) = notice.repository.filter(|_| needs_grant)
            && !self.forge.may_read(reader.id, reader.is_admin, repository).await?
        {
            return Ok(Err("the reader may not read the repository"));
        }
        Ok(Ok(reader))
    }

    /// Sends a letter once, about something that happened at a time.
    pub(super) async fn send(&self, letter: &Letter, since: i64) -> Sent {
        let error = match self.mailer.send(letter).await {
            Ok(_) => return Sent::Taken,
            Err(error) => error,
        };
        let is_over = self.forge.clock().now_ms() - since >= millis(self.forge.settings().mail.retry_for);
        match error.class() {
            Class::Refused => Sent::Never(error),
            _ if is_over => Sent::Never(error),
            _ => Sent::Later(error),
        }
    }

    /// Writes down what came of a letter about notices, and says what becomes of its job.
    pub(super) async fn settle(&self, sent: Sent, ids: &[NoticeId]) -> Result<Outcome, Error> {
        match sent {
            Sent::Taken => {
                hakata_runtime::fault::point("mail.taken");
                self.note_taken(ids).await;
                ENDED.get(End("sent")).add(u64::try_from(ids.len()).unwrap_or(u64::MAX));
                Ok(Outcome::Finish)
            }
            Sent::Later(error) => {
                let detail = error.detail();
                let mut conn = self.forge.db().write().await?;
                for id in ids {
                    notices::note_error(&mut conn, *id, &detail).await?;
                }
                Ok(Outcome::Retry { why: error.summary(), after: None })
            }
            Sent::Never(error) => {
                self.finish(ids, NoticeState::Failed, Some(&error.detail())).await?;
                ENDED.get(End("failed")).add(u64::try_from(ids.len()).unwrap_or(u64::MAX));
                Ok(Outcome::Bury { why: error.summary() })
            }
        }
    }

    /// Writes down that notices were sent, however long the database is away: what was sent must not be sent again for
    /// want of a word. Ends when the job's claim is lost, since the attempt is cut then.
    async fn note_taken(&self, ids: &[NoticeId]) {
        let mut pause = PAUSES.0;
        while let Err(error) = self.finish(ids, NoticeState::Sent, None).await {
            tracing::warn!(error = error.chain(), "writing down that a letter was sent");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn finish(&self, ids: &[NoticeId], to: NoticeState, error: Option<&str>) -> Result<(), Error> {
        let now = self.forge.clock().now_ms();
        let finished = self.forge.db().transaction(|tx| {
            Box::pin(async move {
                for id in ids {
                    notices::finish(tx, *id, to, error, now).await?;
                }
                Ok::<_, StoreError>(())
            })
        });
        Ok(finished.await?)
    }

    /// Ends a notice that is not to be told any more.
    pub(super) async fn drop_notice(&self, id: NoticeId, why: &str) -> Result<Outcome, Error> {
        self.finish(&[id], NoticeState::Dropped, Some(why)).await?;
        ENDED.get(End("dropped")).inc();
        Ok(Outcome::Finish)
    }
}

fn task(payload: &str) -> Option<Task> {
    let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
    let id = |key: &str| payload[key].as_i64();
    id("notice").map(|id| Task::Notice(id.into())).or_else(|| Some(Task::Digest(id("digest")?.into())))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&ENDED]
}
