//! Notices on their way into rows.

use std::collections::BTreeMap;
use std::time::Duration;

use hakata_mail::Address;
use hakata_names::{JobId, NoticeId, RepositoryId, UserId};
use hakata_runtime::metrics::{CounterFamily, Label, Metric};
use hakata_store::jobs::{self, NewJob};
use hakata_store::notices::{self as rows, Notice};
use hakata_store::readers::{self, Reader};
use hakata_store::{Conn, Digest, NoticeState, OwnerState, StoreError, WatchLevel};

use super::{Matter, Reason};
use crate::{Actor, Error, Forge};

static RECORDED: CounterFamily<Told> = CounterFamily::new(
    "hakata_notices_total",
    "Notices that were recorded for readers, by what they tell of",
);

/// The kind of jobs that send letters.
const KIND: &str = "mail";

/// What a notice tells of, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told(&'static str);

impl Label for Told {
    const KEY: &'static str = "kind";

    fn value(self) -> &'static str {
        self.0
    }
}

/// Notices with their jobs, ready for the transaction of what they tell of. None where mail is off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Vec<Planned>);

#[derive(Clone, Debug)]
struct Planned {
    row: Notice,
    kind: Told,
    job: JobId,
    /// What comes after the `@` of the reader's address.
    domain: String,
    /// How long a digest waits for more.
    digest: Option<Duration>,
}

/// Whom to tell of something: each once, by the first of the reasons that was added.
#[derive(Clone, Debug)]
pub(crate) struct Addressees {
    repository: Option<RepositoryId>,
    /// Who did it: is told nothing of it, unless it is about the account's security.
    actor: Option<UserId>,
    users: BTreeMap<UserId, Reason>,
}

impl Addressees {
    /// Begins with nobody.
    pub(crate) fn about(repository: Option<RepositoryId>, actor: &Actor) -> Self {
        Self::by(repository, actor.user())
    }

    /// Begins with nobody; something that `actor` did.
    pub(crate) fn by(repository: Option<RepositoryId>, actor: Option<UserId>) -> Self {
        Self { repository, actor, users: BTreeMap::new() }
    }

    /// Adds users for a reason.
    pub(crate) fn and(mut self, users: impl IntoIterator<Item = UserId>, reason: Reason) -> Self {
        for user in users {
            self.users.entry(user).or_insert(reason);
        }
        self
    }
}

impl Notices {
    /// Writes the notices and their jobs, inside the transaction of what they tell of.
    pub(crate) async fn write(&self, tx: &mut Conn) -> Result<(), StoreError> {
        for planned in &self.0 {
            if !rows::insert(tx, &planned.row).await? {
                continue;
            }
            let (row, now) = (&planned.row, planned.row.created_at);
            match planned.digest {
                None => {
                    let payload = format!("{{\"notice\":{}}}", row.id);
                    let job = NewJob {
                        payload: &payload,
                        target: Some(&planned.domain),
                        ..NewJob::new(planned.job, KIND, now)
                    };
                    jobs::enqueue(tx, &job).await?;
                }
                Some(after) => enqueue_digest(tx, planned.job, row.user, now, after).await?,
            }
        }
        Ok(())
    }

    /// Makes the same notices about another matter of the kind, whose numbers were not known before.
    pub(crate) fn about(&self, matter: &Matter, source: &str) -> Self {
        let payload = serde_json::to_string(matter).unwrap_or_default();
        let fill = |planned: &Planned| {
            let mut planned = planned.clone();
            planned.row.payload.clone_from(&payload);
            source.clone_into(&mut planned.row.source);
            planned
        };
        Self(self.0.iter().map(fill).collect())
    }

    /// Counts what was written; behind the commit.
    pub(crate) fn count(&self) {
        for planned in &self.0 {
            RECORDED.get(planned.kind).inc();
        }
    }
}

/// Enqueues a digest, unless one waits already.
pub(super) async fn enqueue_digest(
    tx: &mut Conn,
    job: JobId,
    user: UserId,
    now: i64,
    after: Duration,
) -> Result<(), StoreError> {
    let (payload, dedupe) = (format!("{{\"digest\":{user}}}"), format!("mail.digest:{user}"));
    let run_at = now.saturating_add(super::postman::millis(after));
    let job = NewJob { payload: &payload, dedupe: Some(&dedupe), run_at, ..NewJob::new(job, KIND, now) };
    jobs::enqueue(tx, &job).await.map(drop)
}

/// Tells whether a reader wants to hear for a reason, and can be reached.
///
/// # Errors
/// Why not, in words for the notice's row.
pub(super) fn wants(reader: &Reader, reason: Reason) -> Result<(), &'static str> {
    if reader.email.parse::<Address>().is_err() {
        return Err("the reader has no address that can be used");
    }
    if reader.state != OwnerState::Active {
        return Err("the reader's account is disabled");
    }
    match reason {
        Reason::Security => Ok(()),
        _ if !reader.preference.is_on => Err("the reader wants no mail"),
        _ if reader.level == WatchLevel::Ignoring => Err("the reader ignores the repository"),
        Reason::Subscribed if reader.level != WatchLevel::Watching => Err("the reader watches it no more"),
        Reason::Subscribed | Reason::Owner => Ok(()),
    }
}

impl Forge {
    /// Whether nobody is told of anything by mail.
    pub(crate) fn has_no_mail(&self) -> bool {
        self.inner.mailer.is_none()
    }

    /// Prepares what readers are told of a matter; to be called before the transaction, since ids come from transactions
    /// of their own. A user is told once of one `source`, which is up to 80 bytes; without one, each call is another.
    pub(crate) async fn notices(
        &self,
        matter: &Matter,
        source: Option<String>,
        to: Addressees,
    ) -> Result<Notices, Error> {
        if self.has_no_mail() {
            return Ok(Notices::default());
        }
        let mut planned = Vec::new();
        for (&user, &reason) in &to.users {
            if reason != Reason::Security && to.actor == Some(user) {
                continue;
            }
            let reader = readers::find(&mut self.db().read().await?, user, to.repository).await?;
            let Some(reader) = reader.filter(|reader| wants(reader, reason).is_ok()) else { continue };
            planned.push(self.plan(matter, source.as_deref(), &to, &reader, reason).await?);
        }
        Ok(Notices(planned))
    }

    async fn plan(
        &self,
        matter: &Matter,
        source: Option<&str>,
        to: &Addressees,
        reader: &Reader,
        reason: Reason,
    ) -> Result<Planned, Error> {
        let id: NoticeId = self.ids().next().await?;
        let digest = match reader.preference.digest {
            _ if reason == Reason::Security => None,
            Digest::Off => None,
            Digest::Hourly => Some(self.settings().mail.hourly),
            Digest::Daily => Some(self.settings().mail.daily),
        };
        let row = Notice {
            id,
            user: reader.id,
            kind: matter.kind().to_owned(),
            reason: reason.as_str().to_owned(),
            source: source.map_or_else(|| format!("notice:{id}"), str::to_owned),
            repository: to.repository,
            actor: to.actor,
            payload: serde_json::to_string(matter).map_err(Error::internal)?,
            state: if digest.is_some() { NoticeState::Held } else { NoticeState::Waiting },
            error: None,
            created_at: self.clock().now_ms(),
            finished_at: None,
        };
        let domain = reader.email.rsplit('@').next().unwrap_or_default().to_lowercase();
        Ok(Planned { row, kind: Told(matter.kind()), job: self.ids().next().await?, domain, digest })
    }
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&RECORDED]
}
