//! The queue as those see it who tell workers of jobs through a message broker.

use std::time::Duration;

use hakata_names::JobId;
use hakata_store::StoreError;
use hakata_store::jobs::{self, Unrelayed};

use super::queue::{known, millis};
use super::{Claimed, Kind, Queue, Rules};
use crate::Error;

/// What became of jobs that messages named.
#[derive(Clone, Debug, Default)]
pub struct ClaimedTold {
    /// Those that this worker has now, and others that were named before in vain.
    pub jobs: Vec<Claimed>,
    /// How many wait on for a limit, their lane or their kind. The next claim of the kind finds them; their messages are
    /// of no more use, as are those of jobs that need none.
    pub n_passed: u64,
}

/// A job that a message is to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: Kind,
}

/// Jobs that this relay is naming.
#[derive(Debug)]
pub struct Unconfirmed {
    /// What to name.
    pub jobs: Vec<Named>,
    until: i64,
}

impl Queue {
    /// Claims jobs that messages named, and others of the kind that were named before in vain, up to `most` together and
    /// no more than `limit` on all nodes. At most 128 are named.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_told(
        &self,
        kind: Kind,
        rules: &Rules,
        limit: usize,
        most: usize,
        named: &[JobId],
    ) -> Result<ClaimedTold, Error> {
        let (claim, wanted) = self.wish(kind, rules, limit, most);
        let told = self
            .forge
            .db()
            .transaction(|tx| Box::pin(async move { jobs::claim_told(tx, claim, wanted, named).await }));
        let told = told.await.map_err(|error: StoreError| Error::from(error))?;
        let jobs = told.claimed.into_iter().map(|job| Claimed { kind, job }).collect();
        Ok(ClaimedTold { jobs, n_passed: told.passed })
    }

    /// Takes up to `most` jobs that a message is to name: whose time has come, or that nobody claimed for long after
    /// they were named. No other relay takes them for the given time; then they are up again unless
    /// [`Queue::name_again`] says otherwise. Jobs of kinds that only a newer release knows are left to it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_unrelayed(&self, most: usize, lasting: Duration) -> Result<Unconfirmed, Error> {
        let (now, lasting_ms) = (self.now(), millis(lasting));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let taken =
            self.forge.db().transaction(|tx| Box::pin(jobs::take_unrelayed(tx, now, lasting_ms, most)));
        let (taken, until) = taken.await.map_err(|error: StoreError| Error::from(error))?;
        let named = |job: Unrelayed| Some(Named { id: job.id, kind: Kind::parse(&job.kind)? });
        Ok(Unconfirmed { jobs: taken.into_iter().filter_map(named).collect(), until })
    }

    /// Says that jobs are to be named again after so long, unless they are claimed by then.
    ///
    /// # Errors
    /// When the database does not answer; then they are named again sooner.
    pub async fn name_again(&self, taken: &Unconfirmed, ids: &[JobId], after: Duration) -> Result<(), Error> {
        let (until, after_ms) = (taken.until, millis(after));
        let deferred = self
            .forge
            .db()
            .transaction(|tx| Box::pin(async move { jobs::defer_relay(tx, ids, until, after_ms).await }));
        deferred.await.map(drop).map_err(|error: StoreError| Error::from(error))
    }

    /// Lists the kinds of which jobs were named in vain, whether or not a limit lets them run now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn passed_kinds(&self) -> Result<Vec<Kind>, Error> {
        let kinds = jobs::passed_kinds(&mut self.forge.db().read().await?, self.now()).await?;
        Ok(known(&kinds))
    }

    /// Tells how long a job has waited for its message by now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn relay_lag(&self) -> Result<Duration, Error> {
        let lag_ms = jobs::relay_lag(&mut self.forge.db().read().await?, self.now()).await?;
        Ok(lag_ms.map_or(Duration::ZERO, |lag_ms| Duration::from_millis(u64::try_from(lag_ms).unwrap_or(0))))
    }
}
