//! Row ids, handed out from blocks that the database gives to a process.

use std::collections::HashMap;
use std::sync::Arc;

use hakata_names::{
    AuditId, DeliveryId, EventId, GroupId, ImportId, JobId, KeyId, LfsLockId, LfsObjectId, MirrorId,
    NoticeId, OwnerId, PackId, ProtectionId, RepositoryId, TokenId, UserId, WebhookId,
};
use tokio::sync::Mutex;

use crate::sql::{Sql, sql};
use crate::value::values;
use crate::{Db, StoreError, Tx};

/// How many ids a process takes at a time. What it has not used when it ends is lost, which costs nothing.
const BLOCK: i64 = 64;

/// An id that has a family of its own.
pub trait FamilyId: From<i64> {
    /// The family's name in `id_block`; never change one.
    const FAMILY: &'static str;
}

macro_rules! families {
    ($($id:ident = $name:literal),+ $(,)?) => {
        $(impl FamilyId for $id { const FAMILY: &'static str = $name; })+
    };
}

families! {
    OwnerId = "owner",
    UserId = "owner",
    GroupId = "owner",
    RepositoryId = "repository",
    PackId = "pack",
    KeyId = "key",
    TokenId = "token",
    ProtectionId = "protection",
    EventId = "event",
    JobId = "job",
    AuditId = "audit",
    WebhookId = "webhook",
    DeliveryId = "delivery",
    NoticeId = "notice",
    MirrorId = "mirror",
    ImportId = "repository_import",
    LfsObjectId = "lfs_object",
    LfsLockId = "lfs_lock",
}

/// Hands out ids, unique over all processes of the database, from 1 up, each once. Clones share the blocks.
///
/// Call it outside of transactions: a block is taken in one of its own, which on SQLite would wait for the caller's.
#[derive(Clone, Debug)]
pub struct Allocator {
    db: Db,
    blocks: Arc<Mutex<HashMap<&'static str, Block>>>,
}

/// What is left of a block.
#[derive(Clone, Copy, Debug)]
struct Block {
    next: i64,
    end: i64,
}

impl Allocator {
    /// Makes an allocator with empty blocks; one per process is enough.
    pub fn new(db: Db) -> Self {
        Self { db, blocks: Arc::default() }
    }

    /// Gives an id that nobody has. Every 64th call costs a short transaction.
    ///
    /// # Errors
    /// Any [`StoreError`] of that transaction.
    pub async fn next<T: FamilyId>(&self) -> Result<T, StoreError> {
        Ok(T::from(self.take(T::FAMILY, 1).await?.next))
    }

    /// Gives `n` ids, ascending; they need not follow each other.
    ///
    /// # Errors
    /// As [`Allocator::next`].
    pub async fn next_many<T: FamilyId>(&self, n: usize) -> Result<Vec<T>, StoreError> {
        let mut ids = Vec::with_capacity(n);
        while ids.len() < n {
            let missing = i64::try_from(n - ids.len()).unwrap_or(i64::MAX);
            let part = self.take(T::FAMILY, missing).await?;
            ids.extend((part.next..part.end).map(T::from));
        }
        Ok(ids)
    }

    /// Cuts up to `n` ids from the family's block, taking a fresh block when it is empty. The mutex is held meanwhile
    /// on purpose: those who wait for it need the same block.
    async fn take(&self, family: &'static str, n: i64) -> Result<Block, StoreError> {
        let mut blocks = self.blocks.lock().await;
        let block = blocks.entry(family).or_insert(Block { next: 0, end: 0 });
        if block.next == block.end {
            // A cancelled caller leaves the old, empty block: the ids are lost, never given twice.
            let size = n.max(BLOCK);
            let first = self.db.transaction(|tx| Box::pin(reserve(tx, family, size))).await?;
            *block = Block { next: first, end: first + size };
        }
        let part = Block { next: block.next, end: block.end.min(block.next + n) };
        block.next = part.end;
        Ok(part)
    }
}

/// Takes the next `size` ids of a family and returns the first. The UPDATE comes first: its row lock is what keeps
/// two processes apart.
async fn reserve(tx: &mut Tx<'_>, family: &str, size: i64) -> Result<i64, StoreError> {
    const RAISE: Sql = sql!("UPDATE id_block SET next_id = next_id + ? WHERE family = ?");
    const START: Sql = sql!(insert_absent "INSERT INTO id_block (family, next_id) VALUES (?, 1)");
    const READ: Sql = sql!("SELECT next_id FROM id_block WHERE family = ?");
    if !tx.execute_one(&RAISE, values![size, family]).await? {
        tx.insert_absent(&START, values![family]).await?;
        tx.execute_one(&RAISE, values![size, family]).await?;
    }
    let next = tx.find(&READ, values![family], |row| row.int(0)).await?;
    next.map(|next| next - size).ok_or(StoreError::Unlocked { table: "id_block" })
}
