//! One attempt at one import, and how imports end.

use std::time::Duration;

use hakata_git::quarantine::Fsck;
use hakata_names::ImportId;
use hakata_repository::{Import as Intake, ImportQuota, Progress, Reason};
use hakata_runtime::metrics::{CounterFamily, Histogram, Label, Metric, SECONDS};
use hakata_store::imports::{self as rows, Import};
use hakata_store::jobs::Job;
use hakata_store::page::PageSize;
use hakata_store::{ImportState, RepositoryState, StoreError, repositories};
use tokio::sync::watch;
use tokio::time::Instant;

use super::manage::import_of;
use crate::audit::Entry;
use crate::jobs::{Kind, Outcome};
use crate::quota::Quota;
use crate::remotes::{Remotes, Trouble, within};
use crate::{Error, Forge};

static IMPORTS: CounterFamily<End> =
    CounterFamily::new("hakata_imports_total", "Attempts at imports on this node, by how they ended");
static TOOK: Histogram = Histogram::new("hakata_import_seconds", "Time of one attempt at an import", SECONDS);

/// Time between two notes of how far an import is.
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Done,
    Retry,
    Failed,
}

impl Label for End {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Failed => "failed",
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
        let tried = within(forge.settings().mirrors.import_time, self.bring_in(import)).await;
        TOOK.observe_duration(began.elapsed());
        match tried {
            Ok(remark) => {
                let now = forge.clock().now_ms();
                let mut conn = forge.db().write().await?;
                rows::end(&mut conn, id, ImportState::Done, remark.as_deref(), now).await?;
                IMPORTS.get(End::Done).inc();
                tracing::info!(import.id = id.get(), repository.id = import.repository.get(), "imported");
                Ok(Outcome::Finish)
            }
            Err(Trouble::Later(why)) if !is_last => {
                rows::note_retry(&mut forge.db().write().await?, id, &why).await?;
                IMPORTS.get(End::Retry).inc();
                Ok(Outcome::Retry { why, after: None })
            }
            Err(trouble) => {
                forge.fail_import(import, trouble.text(), None).await?;
                IMPORTS.get(End::Failed).inc();
                tracing::info!(import.id = id.get(), why = trouble.text(), "gave an import up");
                // The import's own row says why; there is nothing for an operator to mend.
                Ok(Outcome::Finish)
            }
        }
    }

    /// Fetches and commits, unless that was done before; answers what is to be said of it all the same.
    async fn bring_in(&self, import: &Import) -> Result<Option<String>, Trouble> {
        let forge = &self.forge;
        let login = forge.open_login(import.id.into(), import.login.as_deref()).await;
        let login = login.map_err(|error| Trouble::Never(Trouble::from(error).text().to_owned()))?;
        let mut conn = forge.db().read().await?;
        let standing = repositories::find_standing_by_id(&mut conn, import.repository, import.actor).await?;
        drop(conn);
        let standing = standing.filter(|it| it.repository.state != RepositoryState::Deleted);
        let gone = || Trouble::Never("the repository was deleted".to_owned());
        let standing = standing.ok_or_else(gone)?;
        if standing.repository.version > 0 {
            // An earlier attempt was cut when its change was durable already.
            return Ok(None);
        }
        let default = forge.settings().repository_quota;
        let room_bytes = Quota::of(&standing, default).room();
        let fsck = if import.accepts_warnings { Fsck::Hashes } else { Fsck::Strict };
        let remote = self.remote(&import.url, login, room_bytes, fsck).await?;
        let intake = Intake {
            fsck,
            actor: import.actor,
            reason: Reason::Import,
            quota: Some(ImportQuota { default_bytes: default.bytes(), room_bytes }),
            idempotency_key: Some(format!("import:{}", import.id)),
            ..Intake::new("")
        };
        let opened = forge.repositories().open(import.repository).await?;
        let (tell, told) = watch::channel(None);
        let _changing = forge.changing_policy();
        let importing = opened.import_from(&remote, &intake, move |progress| {
            tell.send_replace(Some(words(progress)));
        });
        let imported = tokio::select! {
            imported = importing => imported?,
            never = forge.note_progress(import.id, told) => match never {},
        };
        let refused: Vec<(String, String)> = imported
            .committed
            .refs
            .iter()
            .filter_map(|(name, answer)| {
                answer.as_ref().err().map(|refusal| (name.to_string(), refusal.to_string()))
            })
            .collect();
        let n_problems = imported.problems.len();
        Ok(match (refused.first(), n_problems) {
            (None, 0) => None,
            (None, n) => Some(format!("git's checks find {n} things odd: hakata repo verify tells them")),
            (Some((name, why)), _) => {
                Some(format!("{} refs were not taken, such as {name}: {why}", refused.len()))
            }
        })
    }
}

impl Forge {
    /// Writes down how far an import is, as long as it is asked to.
    async fn note_progress(
        &self,
        id: ImportId,
        mut told: watch::Receiver<Option<(&'static str, u64)>>,
    ) -> std::convert::Infallible {
        loop {
            if told.changed().await.is_err() {
                // The import is at its commit, and says no more.
                return std::future::pending().await;
            }
            let progress = *told.borrow_and_update();
            if let Some((phase, size_bytes)) = progress {
                let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
                let noted =
                    async { rows::note_progress(&mut self.db().write().await?, id, phase, size_bytes).await };
                if let Err(error) = noted.await {
                    tracing::debug!(import.id = id.get(), error = %error, "noting how far an import is");
                }
            }
            tokio::time::sleep(NOTE_EVERY).await;
        }
    }

    /// Ends an import that did not work; false when it has ended before, or when its change was durable already and it
    /// did work. The repository goes first: a row that says that the import failed promises that nothing is left of it.
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
        if left.is_some_and(|row| row.version > 0 && row.state != RepositoryState::Deleted) {
            rows::end(&mut self.db().write().await?, id, ImportState::Done, None, now).await?;
            return Ok(false);
        }
        self.repositories().drop_cache(import.repository).await;
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
            self.fail_import(&import, "its job was given up: hakata queue list --state buried", None).await?;
            tracing::warn!(import.id = import.id.get(), "gave up an import whose job is gone");
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
