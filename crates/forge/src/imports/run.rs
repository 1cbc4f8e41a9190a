//! One attempt at one import, and how imports end.

use std::time::Duration;

use hakata_git::quarantine::Fsck;
use hakata_names::{ImportId, RefName};
use hakata_repository::{Committed, Import as Intake, ImportQuota, Progress, Reason, RefRefusal, Rows};
use hakata_runtime::metrics::{CounterFamily, Histogram, Label, Metric, SECONDS};
use hakata_store::imports::{self as rows, Import};
use hakata_store::jobs::Job;
use hakata_store::page::PageSize;
use hakata_store::repositories::{self, Standing};
use hakata_store::{Conn, ImportState, OwnerState, RepositoryState, StoreError, users};
use tokio::sync::watch;
use tokio::time::Instant;

use super::manage::import_of;
use crate::audit::Entry;
use crate::hosting::CREATES_IN_GROUP;
use crate::jobs::{Kind, Outcome};
use crate::quota::Quota;
use crate::remotes::{Remotes, Trouble, within};
use crate::{Error, Forge, Kind as ErrorKind};

static IMPORTS: CounterFamily<End> =
    CounterFamily::new("hakata_imports_total", "Attempts at imports on this node, by how they ended");
static TOOK: Histogram = Histogram::new("hakata_import_seconds", "Time of one attempt at an import", SECONDS);

/// Time between two notes of how far an import is.
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// Tells how far an attempt is.
type Teller = watch::Sender<Option<(&'static str, u64)>>;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Done,
    Retry,
    Failed,
    /// Somebody gave it up while it ran.
    GivenUp,
}

impl Label for End {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

impl Remotes {
    /// Attempts the import that a job is about, and writes down what came of it. Dropping the future ends the attempt;
    /// nothing is visible then.
    pub async fn import(&self, job: &Job) -> Outcome {
        let Some(id) = import_of(&job.payload) else {
            return Outcome::Bury { why: "the job names no import".to_owned() };
        };
        let found = async { rows::find(&mut self.forge.db().read().await?, id).await };
        let import = match found.await {
            Ok(Some(import)) => import,
            Ok(None) => return Outcome::Finish,
            Err(error) => return Error::from(error).into(),
        };
        let is_last = u32::try_from(job.attempts).unwrap_or(u32::MAX) >= Kind::Import.rules().attempts;
        self.attempt(&import, is_last).await.unwrap_or_else(Outcome::from)
    }

    async fn attempt(&self, import: &Import, is_last: bool) -> Result<Outcome, Error> {
        let (id, forge) = (import.id, &self.forge);
        let began = Instant::now();
        if !rows::begin(&mut forge.db().write().await?, id, forge.clock().now_ms()).await? {
            return Ok(Outcome::Finish);
        }
        let (tell, told) = watch::channel(None);
        let tried = tokio::select! {
            tried = within(forge.settings().mirrors.import_time, self.bring_in(import, tell)) => Some(tried),
            () = forge.watch_import(id, told) => None,
        };
        TOOK.observe_duration(began.elapsed());
        match tried {
            None => {
                IMPORTS.get(End::GivenUp).inc();
                tracing::info!(import.id = id.get(), "stopped an import that was given up");
                Ok(Outcome::Finish)
            }
            Some(Ok(remark)) => {
                if let Some(remark) = remark {
                    rows::note_remark(&mut forge.db().write().await?, id, &remark).await?;
                }
                IMPORTS.get(End::Done).inc();
                tracing::info!(import.id = id.get(), repository.id = import.repository.get(), "imported");
                Ok(Outcome::Finish)
            }
            Some(Err(Trouble::Later(why))) if !is_last => {
                rows::note_retry(&mut forge.db().write().await?, id, &why).await?;
                IMPORTS.get(End::Retry).inc();
                Ok(Outcome::Retry { why, after: None })
            }
            Some(Err(trouble)) => {
                forge.fail_import(import, trouble.text(), None).await?;
                IMPORTS.get(End::Failed).inc();
                tracing::info!(import.id = id.get(), why = trouble.text(), "gave an import up");
                // The import's own row says why; there is nothing for an operator to mend.
                Ok(Outcome::Finish)
            }
        }
    }

    /// Fetches and commits, and ends the import in the transaction of that; answers what is to be said of it besides.
    async fn bring_in(&self, import: &Import, tell: Teller) -> Result<Option<String>, Trouble> {
        let forge = &self.forge;
        let login = forge.open_login(import.id.into(), import.login.as_deref()).await;
        let login = login.map_err(|error| Trouble::Never(Trouble::from(error).text().to_owned()))?;
        let mut conn = forge.db().read().await?;
        let standing = repositories::find_standing_by_id(&mut conn, import.repository, import.actor).await?;
        drop(conn);
        let standing = standing.filter(|it| it.repository.state != RepositoryState::Deleted);
        let gone = || Trouble::Never("the repository was deleted".to_owned());
        let standing = standing.ok_or_else(gone)?;
        if standing.repository.state != RepositoryState::Creating {
            return forge.end_committed(import).await;
        }
        forge.check_importer(import, &standing).await?;
        let default = forge.settings().repository_quota;
        let room_bytes = Quota::of(&standing, default).room();
        let fsck = if import.accepts_warnings { Fsck::Hashes } else { Fsck::Strict };
        let remote = self.remote(&import.url, login, room_bytes, fsck).await?;
        let intake = Intake {
            fsck,
            actor: import.actor,
            reason: Reason::Import,
            quota: Some(ImportQuota { default_bytes: default.bytes(), room_bytes }),
            idempotency_key: Some(key(import.id)),
            ..Intake::new("")
        };
        let opened = forge.repositories().open(import.repository).await?;
        let _changing = forge.changing_policy();
        let importing = opened.import_from(&remote, &intake, forge.ending(import.id), move |progress| {
            tell.send_replace(Some(words(progress)));
        });
        let n_problems = importing.await?.problems.len();
        Ok((n_problems > 0)
            .then(|| format!("git's checks find {n_problems} things odd: hakata repo verify tells them")))
    }
}

/// The name of an import's change: the answer that is kept under it says that it was committed.
pub(super) fn key(import: ImportId) -> String {
    format!("import:{import}")
}

/// Says which refs of a change were not taken.
fn refused(committed: &Committed) -> Option<String> {
    let refused = |(name, answer): &(RefName, Result<(), RefRefusal>)| {
        answer.as_ref().err().map(|why| format!("{name}: {why}"))
    };
    let refused: Vec<String> = committed.refs.iter().filter_map(refused).collect();
    refused.first().map(|first| format!("{} refs were not taken, such as {first}", refused.len()))
}

impl Forge {
    /// Ends an import in the transaction that commits it: what is done is known to be done, whoever dies behind it.
    pub(super) fn ending(&self, id: ImportId) -> impl Rows + Clone {
        let clock = self.clock().clone();
        move |conn: &mut Conn, committed: &Committed| {
            let (now, remark) = (clock.now_ms(), refused(committed));
            Box::pin(
                async move { rows::end(conn, id, ImportState::Done, remark.as_deref(), now).await.map(drop) },
            )
        }
    }

    /// Ends an import whose repository is in use already, which one of an earlier release may have left so.
    async fn end_committed(&self, import: &Import) -> Result<Option<String>, Trouble> {
        if !self.is_committed(import).await? {
            return Err(Trouble::Never("the repository is in use, and not by this import".to_owned()));
        }
        let now = self.clock().now_ms();
        rows::end(&mut self.db().write().await?, import.id, ImportState::Done, None, now).await?;
        Ok(None)
    }

    /// Tells whether the change of an import was committed.
    async fn is_committed(&self, import: &Import) -> Result<bool, Error> {
        let opened = self.repositories().open(import.repository).await?;
        Ok(opened.answer_kept(&key(import.id)).await?.is_some())
    }

    /// Checks that who began an import may still create there: it may have waited for long.
    async fn check_importer(&self, import: &Import, standing: &Standing) -> Result<(), Trouble> {
        let Some(user) = import.actor else { return Ok(()) };
        let found = users::find(&mut self.db().read().await?, user).await?;
        let found = found.filter(|found| found.owner.state == OwnerState::Active);
        let may = found.is_some_and(|found| {
            let is_own = user.owner() == standing.repository.owner_id;
            is_own || found.is_admin || standing.group_role.is_some_and(|role| role >= CREATES_IN_GROUP)
        });
        match may {
            true => Ok(()),
            false => Err(Trouble::Never("who began it may not create the repository any more".to_owned())),
        }
    }

    /// Writes down how far an import is, until somebody gives it up.
    async fn watch_import(&self, id: ImportId, mut told: watch::Receiver<Option<(&'static str, u64)>>) {
        loop {
            tokio::time::sleep(NOTE_EVERY).await;
            // At its commit an import says no more.
            let progress = match told.has_changed() {
                Ok(true) => *told.borrow_and_update(),
                _ => None,
            };
            match self.look_at_import(id, progress).await {
                Ok(None | Some(ImportState::Failed)) => return,
                // What is done ends by itself.
                Ok(Some(_)) => {}
                Err(error) => {
                    tracing::debug!(import.id = id.get(), error = %error, "noting how far an import is");
                }
            }
        }
    }

    /// Notes how far an import is, and reads where it is in its life.
    async fn look_at_import(
        &self,
        id: ImportId,
        progress: Option<(&'static str, u64)>,
    ) -> Result<Option<ImportState>, StoreError> {
        if let Some((phase, size_bytes)) = progress {
            let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
            rows::note_progress(&mut self.db().write().await?, id, phase, size_bytes).await?;
        }
        Ok(rows::find(&mut self.db().read().await?, id).await?.map(|import| import.state))
    }

    /// Ends an import that did not work; false when it has ended before, or when its change was durable already and it
    /// did work. The repository goes first: a row that says that the import failed promises that nothing is left of it,
    /// and a commit that comes later finds no repository.
    pub(super) async fn fail_import(
        &self,
        import: &Import,
        why: &str,
        audit: Option<&Entry>,
    ) -> Result<bool, Error> {
        let found = rows::find(&mut self.db().read().await?, import.id).await?;
        let has_ended = |import: &Import| matches!(import.state, ImportState::Done | ImportState::Failed);
        if found.is_none_or(|import| has_ended(&import)) {
            return Ok(false);
        }
        self.remove_unused(import.repository).await;
        let (id, now) = (import.id, self.clock().now_ms());
        let left = repositories::find(&mut self.db().read().await?, import.repository).await?;
        match left.map(|row| row.state) {
            None | Some(RepositoryState::Deleted) => {
                self.repositories().drop_cache(import.repository).await;
            }
            Some(RepositoryState::Creating) => {
                let words = "the repository of the import cannot be removed now";
                return Err(Error::new(ErrorKind::Unavailable, words));
            }
            Some(_) if self.is_committed(import).await? => {
                rows::end(&mut self.db().write().await?, id, ImportState::Done, None, now).await?;
                return Ok(false);
            }
            // Somebody else uses it.
            Some(_) => {}
        }
        let ended = self.db().transaction(|tx| {
            Box::pin(async move {
                let has_ended = rows::end(tx, id, ImportState::Failed, Some(why), now).await?;
                if let (true, Some(audit)) = (has_ended, audit) {
                    audit.write(tx).await?;
                }
                Ok::<_, StoreError>(has_ended)
            })
        });
        Ok(ended.await?)
    }

    /// Ends imports whose jobs are buried or gone, and forgets those that ended long ago.
    pub(crate) async fn end_abandoned_imports(&self) -> Result<(), Error> {
        let abandoned = rows::abandoned(&mut self.db().read().await?, PageSize::default()).await?;
        for import in abandoned {
            let why = "its job was given up: hakata queue list --state buried";
            match self.fail_import(&import, why, None).await {
                Ok(_) => tracing::warn!(import.id = import.id.get(), "gave up an import whose job is gone"),
                // The others are not to wait for it, and it is tried again with the next look at all of them.
                Err(error) => {
                    tracing::warn!(import.id = import.id.get(), error = error.chain(), "giving up an import");
                }
            }
        }
        let keep = i64::try_from(self.settings().mirrors.imports_kept.as_millis()).unwrap_or(i64::MAX);
        let before = self.clock().now_ms().saturating_sub(keep);
        rows::prune(&mut self.db().write().await?, before).await?;
        Ok(())
    }
}

/// Says how far an import is.
fn words(progress: Progress) -> (&'static str, u64) {
    match progress {
        Progress::Fetching { size_bytes } => ("fetching", size_bytes),
        Progress::Opened { .. } => ("indexing", 0),
        Progress::Indexing { size_bytes, .. } => ("indexing", size_bytes),
        Progress::Indexed { size_bytes, .. } => ("committing", size_bytes),
    }
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&IMPORTS, &TOOK]
}
