//! Following a repository of another host, and making one follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use hakata_git::quarantine::{Fsck, PackLimits};
use hakata_git::remote::{PushResult, RefPush, Remote};
use hakata_names::{Oid, RefName, RefUpdate};
use hakata_runtime::fault;

use crate::cache::CacheHandle;
use crate::import::ImportError;
use crate::receive::{Offered, ReceiveError, Received};
use crate::repository::Repository;

/// Tells which refs are followed.
pub type IsFollowed<'a> = &'a (dyn Fn(&RefName) -> bool + Send + Sync);

/// What of another repository is followed.
pub struct Follow<'a> {
    /// Those of the other side come, and those that only we have go; all others stay.
    pub is_followed: IsFollowed<'a>,
    /// Most refs that the other side may have.
    pub max_refs: usize,
    /// Most bytes of new objects, as packed here.
    pub room_bytes: u64,
    /// How objects are looked at.
    pub fsck: Fsck,
}

/// What came from the other side: nothing of it is visible yet.
#[derive(Debug)]
pub struct Arrived {
    /// The moves that make our refs theirs, with their objects; none if they are.
    pub received: Received,
    /// Where `HEAD` shall point, if that of the other side points elsewhere.
    pub default_ref: Option<RefName>,
    /// Refs there that are followed.
    pub n_refs: usize,
    /// Refs there whose names are not stored here.
    pub n_skipped: usize,
}

/// Which refs another repository shall have.
pub struct PushTo<'a> {
    /// They are made what they are here, and go if they are not and may; all others there stay.
    pub is_followed: IsFollowed<'a>,
    /// Whether refs there may lose commits, or go.
    pub is_forced: bool,
    /// Most refs that the other side may have.
    pub max_refs: usize,
}

/// What is to be pushed to another host; its objects stay readable as long as this is there.
#[derive(Debug)]
pub struct PushPlan {
    refs: Vec<RefPush>,
    /// Refs there that are followed and are not what they are here, by name: what is overwritten or goes is among them.
    pub other: Vec<RefName>,
    cache: CacheHandle,
}

impl Repository {
    /// Asks another host for its refs and fetches what is not here of those that are followed. What the caller makes of
    /// it is one change like any push. Dropping the future ends the fetch and removes what came.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn fetch_from(
        &self,
        remote: &Remote,
        follow: &Follow<'_>,
        progress: impl FnMut(u64) + Send,
    ) -> Result<Arrived, ImportError> {
        let base = self.cache_to_read().await?;
        let listed = remote.list(&self.engine.git, base.dir(), self.format(), follow.max_refs).await;
        let listed = listed.map_err(ImportError::Fetch)?;
        let theirs: BTreeMap<RefName, Oid> =
            listed.refs.into_iter().filter(|(name, _)| (follow.is_followed)(name)).collect();
        let gone = self
            .snapshot()
            .iter()
            .filter(|at| (follow.is_followed)(&at.name) && !theirs.contains_key(&at.name));
        let gone = gone.map(|at| RefUpdate { name: at.name.clone(), old: Some(at.oid), new: None }).collect();
        let moved = theirs.iter().filter(|(name, oid)| self.tip(name) != Some(**oid));
        let moved: Vec<(RefName, Oid)> = moved.map(|(name, oid)| (name.clone(), *oid)).collect();
        let received = match moved.is_empty() {
            true => Received::new(gone, self.state.prune_epoch),
            false => self.fetch_moves(remote, follow, (base, moved, gone), progress).await?,
        };
        let default_ref = listed.head.filter(|name| theirs.contains_key(name) && name != self.default_ref());
        Ok(Arrived { received, default_ref, n_refs: theirs.len(), n_skipped: listed.n_skipped })
    }

    /// Fetches what refs point to into a quarantine, and packs what is new of it into another as a push would have sent it.
    async fn fetch_moves(
        &self,
        remote: &Remote,
        follow: &Follow<'_>,
        (base, moved, gone): (CacheHandle, Vec<(RefName, Oid)>, Vec<RefUpdate>),
        progress: impl FnMut(u64) + Send,
    ) -> Result<Received, ImportError> {
        let (git, known) = (&self.engine.git, self.snapshot().tips());
        let permit = self.engine.quarantines.acquire().await;
        let permit = permit.map_err(|error| ImportError::Receive(ReceiveError::Limited(error)))?;
        let fetched = self.quarantine(Some(&base)).await.map_err(ImportError::Receive)?;
        let tips: BTreeSet<Oid> = moved.iter().map(|(_, oid)| *oid).collect();
        let tips: Vec<Oid> = tips.into_iter().collect();
        let came = remote.fetch_objects(git, &fetched, tips.iter().copied(), known, progress).await;
        came.map_err(ImportError::Fetch)?;
        fault::point("mirror.fetched");
        // Whoever packs it waits for a place again.
        drop(permit);
        let (permit, front) = self.admitted().await.map_err(ImportError::Receive)?;
        let quarantine = self.quarantine(Some(&front)).await.map_err(ImportError::Receive)?;
        let limits =
            PackLimits { max_bytes: Some(follow.room_bytes), fsck: follow.fsck, ..PackLimits::default() };
        let pack = fetched.pack_into(git, &quarantine, &tips, known, &limits).await;
        let pack = pack.map_err(ImportError::Fetch)?;
        drop((fetched, base));
        let set =
            moved.into_iter().map(|(name, oid)| RefUpdate { old: self.tip(&name), new: Some(oid), name });
        let updates = gone.into_iter().chain(set).collect();
        let offered = Arc::new(Offered::new(quarantine, Some(pack), Vec::new(), permit, front));
        let examined = Received::examine(&self.engine, updates, offered, &self.state).await;
        examined.map_err(ImportError::Receive)
    }

    /// Asks another host for its refs, and finds out what is to be pushed so that they are what they are here.
    ///
    /// # Errors
    /// [`ImportError`] when the other side does not talk to us.
    pub async fn plan_push(&self, remote: &Remote, to: &PushTo<'_>) -> Result<PushPlan, ImportError> {
        let cache = self.cache_to_read().await?;
        let git = &self.engine.git;
        let listed = remote.list(git, cache.dir(), self.format(), to.max_refs).await;
        let listed = listed.map_err(ImportError::Fetch)?.refs.into_iter();
        let theirs: BTreeMap<RefName, Oid> = listed.filter(|(name, _)| (to.is_followed)(name)).collect();
        let other = theirs.iter().filter(|(name, oid)| self.tip(name) != Some(**oid));
        let other: Vec<RefName> = other.map(|(name, _)| name.clone()).collect();
        // A branch that is deleted there loses its commits, too.
        let gone = other.iter().filter(|name| to.is_forced && self.tip(name).is_none());
        let gone = gone.map(|name| RefPush { name: name.clone(), new: None, is_forced: true });
        let moved = self
            .snapshot()
            .iter()
            .filter(|at| (to.is_followed)(&at.name) && theirs.get(&at.name) != Some(&at.oid));
        let moved =
            moved.map(|at| RefPush { name: at.name.clone(), new: Some(at.oid), is_forced: to.is_forced });
        // What goes comes first, so that `a` can become `a/b`.
        let refs = gone.chain(moved).collect();
        Ok(PushPlan { refs, other, cache })
    }

    /// Pushes what was planned; answers what became of each ref. Dropping the future ends the push, and what was pushed
    /// until then stays so.
    ///
    /// # Errors
    /// [`ImportError`] when the other side does not talk to us.
    pub async fn push_planned(
        &self,
        remote: &Remote,
        plan: &PushPlan,
    ) -> Result<Vec<PushResult>, ImportError> {
        if plan.refs.is_empty() {
            return Ok(Vec::new());
        }
        let pushed = remote.push(&self.engine.git, plan.cache.dir(), &plan.refs).await;
        pushed.map_err(ImportError::Fetch)
    }

    fn tip(&self, name: &RefName) -> Option<Oid> {
        self.snapshot().find(name).map(|at| at.oid)
    }

    async fn cache_to_read(&self) -> Result<CacheHandle, ImportError> {
        self.cache().await.map_err(|error| ImportError::Receive(ReceiveError::Cache(error)))
    }
}

impl fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("max_refs", &self.max_refs).finish_non_exhaustive()
    }
}

impl fmt::Debug for PushTo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushTo").field("is_forced", &self.is_forced).finish_non_exhaustive()
    }
}
