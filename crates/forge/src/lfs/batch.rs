//! Batches: what may be fetched, and what need not be sent.

use std::collections::{HashMap, HashSet};

use hakata_names::{LfsObjectId, LfsOid, RefName, RepositoryId, UserId};
use hakata_store::lfs_objects::{self, LfsObject};
use hakata_store::repositories::{self, Full};
use hakata_store::{Conn, StoreError};
use hakata_store::{lfs_removals, lfs_reservations};

use super::Operation;
use super::measure::{ASKED, AskedOutcome, Phase, SHARED, Step};
use super::present::{Asked, look_up};
use crate::access::{Grant, Read, Write};
use crate::admin::shown_bytes;
use crate::error::REMOVED;
use crate::quota::Quota;
use crate::{Error, Forge, Kind};

/// Most repositories of others that are looked at for objects of one batch.
const MAX_SOURCES: usize = 64;

/// Objects given to a repository in one transaction: it holds the repository's row, which pushes wait for.
const LINKED_AT_ONCE: usize = 128;

/// An object that a batch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub oid: LfsOid,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// What a batch says about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is to be fetched, or sent.
    Transfer,
    /// It is there, and need not be sent.
    Present,
    /// Neither.
    Refused(Refusal),
}

/// Why an object of a batch is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The repository does not have it.
    #[error("the object does not exist")]
    Missing,
    /// An owner removed it from the repository for good.
    #[error("{REMOVED}")]
    Removed,
    /// It has another length.
    #[error("the object has {stored_bytes} bytes, not {asked_bytes}")]
    OtherSize {
        /// Its length.
        stored_bytes: u64,
        /// What was asked for.
        asked_bytes: u64,
    },
    /// No object may be so large.
    #[error("size must be less than or equal to {limit_bytes} bytes")]
    TooLarge {
        /// The largest there may be.
        limit_bytes: u64,
    },
    /// There is no room left; the sentence tells whose, and how much is left.
    #[error("{0}")]
    Full(String),
}

/// Decides about objects that are to be fetched; one answer each, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn batch_download(
    forge: &Forge,
    grant: &Grant<Read>,
    wanted: &[Wanted],
) -> Result<Vec<Answer>, Error> {
    let _step = Step::begin(Phase::Batch, forge.clock());
    let found = look_up(forge, grant.repository(), &oids(wanted), Asked::ToFetch).await?;
    let answer = |wanted: &Wanted| match found.linked.get(&wanted.oid) {
        _ if found.removed.contains(&wanted.oid) => Answer::Refused(Refusal::Removed),
        None => Answer::Refused(Refusal::Missing),
        Some(at) if at.is_bad => Answer::Refused(Refusal::Missing),
        Some(at) => other_size(wanted, at.size_bytes).map_or(Answer::Transfer, Answer::Refused),
    };
    let answers: Vec<Answer> = wanted.iter().map(answer).collect();
    answers.iter().for_each(|answer| count(Operation::Download, answer));
    Ok(answers)
}

/// Decides about objects that are to be sent; one answer each, in order. What the actor may read in another repository is
/// given to this one at once; for the rest room is reserved.
///
/// `ref_name` is the ref that will point to them: where its rules let the actor push nothing, nothing is sent for it.
///
/// # Errors
/// [`Kind::Forbidden`] by such a rule, and when the database does not answer.
pub async fn batch_upload(
    forge: &Forge,
    grant: &Grant<Write>,
    ref_name: Option<&RefName>,
    wanted: &[Wanted],
) -> Result<Vec<Answer>, Error> {
    let _step = Step::begin(Phase::Batch, forge.clock());
    if let Some(ref_name) = ref_name {
        forge.check_may_push(grant, ref_name).await?;
    }
    let mut batch = Upload { forge, grant, answers: HashMap::new() };
    batch.find_present(wanted).await?;
    batch.refuse_large(wanted);
    batch.share(wanted).await?;
    batch.reserve(wanted).await?;
    let mut answers = batch.answers;
    // Two entries of one oid and different lengths cannot both be right; the first decided.
    let first: HashMap<LfsOid, u64> =
        wanted.iter().rev().map(|wanted| (wanted.oid, wanted.size_bytes)).collect();
    let answer = |wanted: &Wanted| match first.get(&wanted.oid) {
        Some(&size) if size != wanted.size_bytes => {
            Answer::Refused(Refusal::OtherSize { stored_bytes: size, asked_bytes: wanted.size_bytes })
        }
        _ => answers.entry(wanted.oid).or_insert(Answer::Transfer).clone(),
    };
    let answers: Vec<Answer> = wanted.iter().map(answer).collect();
    answers.iter().for_each(|answer| count(Operation::Upload, answer));
    Ok(answers)
}

/// A batch of uploads under way; what has an answer is decided.
struct Upload<'a> {
    forge: &'a Forge,
    grant: &'a Grant<Write>,
    answers: HashMap<LfsOid, Answer>,
}

impl Upload<'_> {
    /// Those that nobody decided about yet, each once.
    fn open(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let mut seen = HashSet::new();
        let is_open = |wanted: &&Wanted| !self.answers.contains_key(&wanted.oid) && seen.insert(wanted.oid);
        wanted.iter().filter(is_open).copied().collect()
    }

    async fn find_present(&mut self, wanted: &[Wanted]) -> Result<(), Error> {
        let found = look_up(self.forge, self.grant.repository(), &oids(wanted), Asked::ToSend).await?;
        for wanted in self.open(wanted) {
            if found.removed.contains(&wanted.oid) {
                self.answers.insert(wanted.oid, Answer::Refused(Refusal::Removed));
                continue;
            }
            let Some(at) = found.linked.get(&wanted.oid) else { continue };
            // What is bad is counted already: sent again, it takes no more room.
            let there = if at.is_bad { Answer::Transfer } else { Answer::Present };
            let answer = other_size(&wanted, at.size_bytes).map_or(there, Answer::Refused);
            self.answers.insert(wanted.oid, answer);
        }
        Ok(())
    }

    fn refuse_large(&mut self, wanted: &[Wanted]) {
        let limit_bytes = self.forge.settings().lfs.max_object.bytes();
        for wanted in wanted.iter().filter(|wanted| wanted.size_bytes > limit_bytes) {
            let refused = Answer::Refused(Refusal::TooLarge { limit_bytes });
            self.answers.entry(wanted.oid).or_insert(refused);
        }
    }

    /// Gives the repository what the actor may read elsewhere. The question is asked in one way whatever exists, so
    /// that its time tells a stranger little; a deploy key reads nothing elsewhere.
    async fn share(&mut self, wanted: &[Wanted]) -> Result<(), Error> {
        let (forge, actor) = (self.forge, self.grant.actor());
        let Some(user) = actor.user() else { return Ok(()) };
        let open = self.open(wanted);
        if open.is_empty() {
            return Ok(());
        }
        let oids: Vec<LfsOid> = open.iter().map(|wanted| wanted.oid).collect();
        let mut conn = forge.db().read().await?;
        let candidates = lfs_objects::list_candidates(&mut conn, user, &oids).await?;
        drop(conn);
        let (mut may_read, mut readable) = (HashMap::new(), Vec::new());
        for wanted in open {
            let size = |at: &&lfs_objects::Candidate| u64::try_from(at.size_bytes) == Ok(wanted.size_bytes);
            for at in candidates.iter().filter(|at| at.oid == wanted.oid).filter(size) {
                if self.is_readable(at.repository, user, &mut may_read).await? {
                    readable.push(wanted);
                    break;
                }
            }
        }
        for wanted in readable.chunks(LINKED_AT_ONCE) {
            self.link(wanted).await?;
        }
        Ok(())
    }

    async fn is_readable(
        &self,
        id: RepositoryId,
        user: UserId,
        known: &mut HashMap<RepositoryId, bool>,
    ) -> Result<bool, Error> {
        if let Some(&is_readable) = known.get(&id) {
            return Ok(is_readable);
        }
        if known.len() >= MAX_SOURCES {
            return Ok(false);
        }
        let mut conn = self.forge.db().read().await?;
        let standing = repositories::find_standing_by_id(&mut conn, id, Some(user)).await?;
        let facts = standing.map(|standing| crate::access::Facts::new(&standing, Some(user)).into());
        let is_readable = crate::access::grant_from::<Read>(self.grant.actor(), facts).is_ok();
        known.insert(id, is_readable);
        Ok(is_readable)
    }

    /// Links live objects within the quotas: all of them at once, or one after the other when there is no room for all.
    /// One that is not live any more stays undecided.
    async fn link(&mut self, wanted: &[Wanted]) -> Result<(), Error> {
        match self.try_link(wanted).await {
            Ok(linked) => {
                SHARED.add(linked.len() as u64);
                self.answers.extend(linked.into_iter().map(|oid| (oid, Answer::Present)));
                Ok(())
            }
            Err(Unlinked::Gone) => Ok(()),
            Err(refused @ (Unlinked::Full(_) | Unlinked::Removed)) => match wanted {
                [one] => {
                    let refusal = match refused {
                        Unlinked::Full(full) => no_room(full, one.size_bytes),
                        _ => Refusal::Removed,
                    };
                    self.answers.insert(one.oid, Answer::Refused(refusal));
                    Ok(())
                }
                several => {
                    for one in several {
                        Box::pin(self.link(std::slice::from_ref(one))).await?;
                    }
                    Ok(())
                }
            },
            Err(Unlinked::Store(error)) => Err(error.into()),
        }
    }

    /// Links in one transaction; tells which the repository has now.
    async fn try_link(&self, wanted: &[Wanted]) -> Result<Vec<LfsOid>, Unlinked> {
        let (forge, repository) = (self.forge, self.grant.repository());
        let (now, quota) = (forge.clock().now_ms(), default_quota(forge));
        let mut oids: Vec<LfsOid> = wanted.iter().map(|wanted| wanted.oid).collect();
        // In one order: two batches that share the same objects wait for each other and do not meet.
        oids.sort_unstable();
        let oids = &oids;
        let linked = forge.db().transaction(|tx| {
            Box::pin(async move {
                if !repositories::lock(tx, repository).await? {
                    return Err(Unlinked::Gone);
                }
                let mut live = lfs_objects::lock_all_live(tx, oids).await?;
                live.retain(|object| !object.is_bad);
                link_all_within(tx, repository, &live, quota, now).await?;
                Ok(live.iter().map(|object| object.oid).collect())
            })
        });
        linked.await
    }

    async fn reserve(&mut self, wanted: &[Wanted]) -> Result<(), Error> {
        let open = self.open(wanted);
        if open.is_empty() {
            return Ok(());
        }
        let (forge, repository) = (self.forge, self.grant.repository());
        let rows: Vec<lfs_reservations::Wanted> = open
            .iter()
            .map(|wanted| lfs_reservations::Wanted {
                oid: wanted.oid,
                size_bytes: i64::try_from(wanted.size_bytes).unwrap_or(i64::MAX),
            })
            .collect();
        let (rows, times) = (&rows, promised(forge));
        let quota = default_quota(forge);
        let reserved = forge.db().transaction(|tx| {
            Box::pin(async move { lfs_reservations::reserve(tx, repository, rows, quota, times).await })
        });
        for (wanted, room) in open.iter().zip(reserved.await?) {
            let answer = match room {
                Ok(()) => Answer::Transfer,
                Err(full) => Answer::Refused(no_room(full, wanted.size_bytes)),
            };
            self.answers.insert(wanted.oid, answer);
        }
        Ok(())
    }
}

/// Why an object was not given to a repository.
#[derive(Debug)]
pub(super) enum Unlinked {
    /// The object, or the repository, is gone.
    Gone,
    /// An owner removed it from the repository.
    Removed,
    /// A quota is in the way.
    Full(Full),
    /// The database refused.
    Store(StoreError),
}

impl From<StoreError> for Unlinked {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Gives an object, whose row is locked, to a repository, and counts it, unless it has it, which is promised then; takes
/// back what was reserved.
pub(super) async fn link_within(
    conn: &mut Conn,
    repository: RepositoryId,
    object: &LfsObject,
    default_quota: i64,
    now: i64,
) -> Result<(), Unlinked> {
    lfs_reservations::release(conn, repository, &object.oid).await?;
    if !lfs_removals::find(conn, repository, &[object.oid]).await?.is_empty() {
        return Err(Unlinked::Removed);
    }
    if !lfs_objects::link(conn, repository, object.id, now).await? {
        lfs_objects::promise(conn, repository, &[object.id], now).await?;
        return Ok(());
    }
    let added = repositories::add_size_within(conn, repository, object.size_bytes, default_quota).await?;
    added.map_err(Unlinked::Full)
}

/// Gives objects as [`link_within`] does, with as many questions for a hundred as for one.
async fn link_all_within(
    conn: &mut Conn,
    repository: RepositoryId,
    objects: &[LfsObject],
    default_quota: i64,
    now: i64,
) -> Result<(), Unlinked> {
    let oids: Vec<LfsOid> = objects.iter().map(|object| object.oid).collect();
    lfs_reservations::release_all(conn, repository, &oids).await?;
    if !lfs_removals::find(conn, repository, &oids).await?.is_empty() {
        return Err(Unlinked::Removed);
    }
    let has = lfs_objects::find_linked(conn, repository, &oids).await?;
    let has: HashSet<LfsObjectId> = has.iter().map(|linked| linked.id).collect();
    let promised: Vec<LfsObjectId> = has.iter().copied().collect();
    lfs_objects::promise(conn, repository, &promised, now).await?;
    let new: Vec<&LfsObject> = objects.iter().filter(|object| !has.contains(&object.id)).collect();
    let ids: Vec<LfsObjectId> = new.iter().map(|object| object.id).collect();
    lfs_objects::link_all(conn, repository, &ids, now).await?;
    let size_bytes = new.iter().fold(0_i64, |sum, object| sum.saturating_add(object.size_bytes));
    let added = repositories::add_size_within(conn, repository, size_bytes, default_quota).await?;
    added.map_err(Unlinked::Full)
}

/// Gives back the room that a batch promised, when nothing of it will be sent. It would lapse by itself.
pub async fn release(forge: &Forge, grant: &Grant<Write>, wanted: &[Wanted]) {
    let oids: Vec<LfsOid> = wanted.iter().map(|wanted| wanted.oid).collect();
    let released = async {
        lfs_reservations::release_all(&mut forge.db().write().await?, grant.repository(), &oids).await
    };
    if let Err(error) = released.await {
        tracing::debug!(%error, "reservations stay until they lapse");
    }
}

/// From when to when room is promised, in milliseconds since 1970.
pub(super) fn promised(forge: &Forge) -> (i64, i64) {
    let now = forge.clock().now_ms();
    let lasts = i64::try_from(forge.settings().lfs.action_time.as_millis()).unwrap_or(i64::MAX / 4);
    (now, now.saturating_add(lasts))
}

pub(super) fn default_quota(forge: &Forge) -> i64 {
    i64::try_from(forge.settings().repository_quota.bytes()).unwrap_or(i64::MAX)
}

/// Says whose room is used up, and how much is left of it.
pub(super) fn no_room(full: Full, size_bytes: u64) -> Refusal {
    let bytes = |stored: i64| u64::try_from(stored).unwrap_or(0);
    let quota = Quota { of: full.of, limit: bytes(full.limit_bytes), used: bytes(full.used_bytes) };
    let left = shown_bytes(quota.room());
    Refusal::Full(format!("no room for {}: {left} are left, {}", shown_bytes(size_bytes), quota.refusal()))
}

/// The oids of a batch, each once.
fn oids(wanted: &[Wanted]) -> Vec<LfsOid> {
    let oids: HashSet<LfsOid> = wanted.iter().map(|wanted| wanted.oid).collect();
    oids.into_iter().collect()
}

fn other_size(wanted: &Wanted, stored: i64) -> Option<Refusal> {
    let stored_bytes = u64::try_from(stored).unwrap_or(0);
    let asked_bytes = wanted.size_bytes;
    (stored_bytes != asked_bytes).then_some(Refusal::OtherSize { stored_bytes, asked_bytes })
}

fn count(operation: Operation, answer: &Answer) {
    let outcome = match answer {
        Answer::Transfer => AskedOutcome::Transfer,
        Answer::Present => AskedOutcome::Present,
        Answer::Refused(Refusal::Missing) => AskedOutcome::Missing,
        Answer::Refused(Refusal::Removed) => AskedOutcome::Removed,
        Answer::Refused(Refusal::OtherSize { .. }) => AskedOutcome::Invalid,
        Answer::Refused(Refusal::TooLarge { .. }) => AskedOutcome::TooLarge,
        Answer::Refused(Refusal::Full(_)) => AskedOutcome::Full,
    };
    ASKED.get((operation, outcome)).inc();
}

impl Forge {
    /// Refuses what is sent for a ref whose rules let the actor push nothing.
    async fn check_may_push(&self, grant: &Grant<Write>, ref_name: &RefName) -> Result<(), Error> {
        let refused = self.judge_push_to(grant.actor(), grant.repository(), ref_name).await?;
        match refused {
            None => Ok(()),
            Some(refused) => {
                let error = Error::new(Kind::Forbidden, refused.reason);
                Err(match refused.hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                })
            }
        }
    }
}
