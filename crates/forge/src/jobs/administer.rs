//! What an administrator sees of the queue and does with it.

use hakata_names::JobId;
use hakata_store::jobs::{self, Job};
use hakata_store::page::PageSize;
use hakata_store::{JobState, StoreError};
use serde_json::json;

use super::Kind;
use crate::{Actor, Error, Forge, Kind as ErrorKind};

impl Forge {
    /// Lists up to `most` jobs in a state by id, of one kind or all.
    pub(crate) async fn list_jobs(
        &self,
        state: JobState,
        kind: Option<Kind>,
        most: usize,
    ) -> Result<Vec<Job>, Error> {
        let kind = kind.map(Kind::as_str);
        let (mut listed, mut after) = (Vec::new(), None);
        while listed.len() < most {
            let mut conn = self.db().read().await?;
            let page = jobs::list(&mut conn, state, kind, after, PageSize::new(most - listed.len())).await?;
            listed.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    /// Gets a job.
    pub(crate) async fn get_job(&self, id: JobId) -> Result<Job, Error> {
        let found = jobs::find(&mut self.db().read().await?, id).await?;
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no job {id}")))
    }

    /// Lets a buried or waiting job run as soon as it can.
    pub(crate) async fn retry_job(&self, actor: &Actor, job: &Job) -> Result<(), Error> {
        let audit = self.audit(actor, "queue.retry", job.id, json!({ "kind": job.kind })).await?;
        let (now, audit) = (self.clock().now_ms(), &audit);
        let is_waiting = self.db().transaction(|tx| {
            Box::pin(async move {
                let is_waiting = jobs::wait_anew(tx, job, now).await?;
                if is_waiting {
                    audit.write(tx).await?;
                }
                Ok::<_, StoreError>(is_waiting)
            })
        });
        if is_waiting.await? { Ok(()) } else { Err(in_use(job)) }
    }

    /// Deletes a job that no worker has.
    pub(crate) async fn purge_job(&self, actor: &Actor, job: &Job) -> Result<(), Error> {
        let audit = self.audit(actor, "queue.purge", job.id, json!({ "kind": job.kind })).await?;
        let (id, audit) = (job.id, &audit);
        let is_gone = self.db().transaction(|tx| {
            Box::pin(async move {
                let is_gone = jobs::purge(tx, id).await?;
                if is_gone {
                    audit.write(tx).await?;
                }
                Ok::<_, StoreError>(is_gone)
            })
        });
        if is_gone.await? { Ok(()) } else { Err(in_use(job)) }
    }

    /// Lets nobody claim jobs of a kind, or lets everybody again.
    pub(crate) async fn set_paused(&self, actor: &Actor, kind: Kind, is_paused: bool) -> Result<(), Error> {
        let action = if is_paused { "queue.pause" } else { "queue.resume" };
        let audit = self.audit(actor, action, kind, json!({})).await?;
        let (now, audit) = (self.clock().now_ms(), &audit);
        let is_changed = self.db().transaction(|tx| {
            Box::pin(async move {
                let is_changed = match is_paused {
                    true => jobs::pause(tx, kind.as_str(), now).await?,
                    false => jobs::resume(tx, kind.as_str()).await?,
                };
                if is_changed {
                    audit.write(tx).await?;
                }
                Ok::<_, StoreError>(is_changed)
            })
        });
        let already = if is_paused { "paused already" } else { "not paused" };
        match is_changed.await? {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Conflict, format!("{kind} is {already}"))),
        }
    }

    /// Lists the kinds that nobody may claim.
    pub(crate) async fn paused_kinds(&self) -> Result<Vec<String>, Error> {
        Ok(jobs::paused(&mut self.db().read().await?).await?)
    }
}

fn in_use(job: &Job) -> Error {
    let error = Error::new(ErrorKind::Conflict, format!("job {} is running or done", job.id));
    error.with_hint("hakata queue show tells who has it")
}
