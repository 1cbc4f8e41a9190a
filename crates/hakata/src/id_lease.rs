//! Leases of worker ids in the database: what `store` keeps, as the id server asks for it.
//!
//! A database does not lose what it has committed, so a worker id without a fence never had one, and nobody waits at a
//! first start. Whoever restores an older backup stops all id servers first and starts them when as much time has passed
//! as `id.fence_ahead` is long. A replica that is promoted behind the primary is the same in small: what it lacks is
//! covered as long as it is less than `id.lease_ttl` less `id.fence_ahead`.

use std::time::Duration;

use hakata_id::lease::{Because, Candidate, Lease, LeaseError, Renewed, Term, Token, Wish, in_order};
use hakata_id::{Layout, WorkerId};
use hakata_store::id_leases::{self, Asked, Held};
use hakata_store::{Db, StoreError};

/// What the place is called in messages.
const PLACE: &str = "the database";

/// What a lease in the database is made with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The layout that bounds the worker ids.
    pub(crate) layout: Layout,
    /// First worker id that may be taken.
    pub(crate) least: WorkerId,
    /// Last one.
    pub(crate) most: WorkerId,
    /// How long a lease lasts without renewal, by the database's clock.
    pub(crate) ttl: Duration,
    /// How long the database may take to answer; far less than the fence lies ahead.
    pub(crate) patience: Duration,
}

/// A lease in the database.
#[derive(Debug)]
pub(crate) struct SqlLease {
    db: Db,
    settings: Settings,
    held: Option<(WorkerId, Token)>,
}

impl SqlLease {
    /// Makes a lease that holds nothing, in a database whose schema is up to date.
    pub(crate) fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings, held: None }
    }

    /// Waits for the database, but not for long.
    async fn within<T>(&self, asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, LeaseError> {
        let patience = self.settings.patience;
        match tokio::time::timeout(patience, asking).await {
            Ok(answer) => answer.map_err(|error| unreachable(Box::new(error))),
            Err(_) => Err(unreachable(Box::new(Because(format!("no answer within {patience:?}"))))),
        }
    }

    /// Lists the ids of the range that nobody holds, in the order in which to try them.
    async fn candidates(&self, now_ms: i64) -> Result<Vec<WorkerId>, LeaseError> {
        let Settings { layout, least, most, .. } = self.settings;
        let (first, last) = (i64::from(least.get()), i64::from(most.get()));
        let known =
            self.within(async { id_leases::list(&mut self.db.read().await?, first, last).await }).await?;
        let free = (least.get()..=most.get()).filter_map(|n| {
            let row = known.iter().find(|row| row.worker_id == i64::from(n));
            let worker_id = WorkerId::new(layout, u64::from(n)).ok()?;
            row.is_none_or(|row| !row.is_held)
                .then_some(Candidate { worker_id, fence_ms: row.map(|row| row.fence_at) })
        });
        Ok(in_order(free.collect(), now_ms))
    }

    fn asked<'a>(&self, worker_id: WorkerId, token: &'a str, wish: Wish) -> Asked<'a> {
        let ttl_ms = i64::try_from(self.settings.ttl.as_millis()).unwrap_or(i64::MAX);
        Asked { worker_id: i64::from(worker_id.get()), token, ttl_ms, fence_at: wish.fence_ms() }
    }
}

impl Lease for SqlLease {
    async fn acquire(&mut self, wish: impl Fn() -> Wish + Send + Sync) -> Result<Term, LeaseError> {
        self.held = None;
        for worker_id in self.candidates(wish().now_ms).await? {
            let (token, wish) = (Token::fresh(), wish());
            let asked = self.asked(worker_id, token.current(), wish);
            let taking = self.db.transaction(|tx| Box::pin(id_leases::acquire(tx, asked)));
            if let Some(Held { fence_at, found_at, database_ms }) = self.within(taking).await? {
                self.held = Some((worker_id, token));
                let from_ms = wish.now_ms.max(found_at);
                let place_ms = Some(database_ms);
                return Ok(Term { worker_id, from_ms, fence_ms: fence_at, place_ms, lost: None });
            }
        }
        Err(LeaseError::Taken { least: self.settings.least, most: self.settings.most })
    }

    async fn renew(&mut self, wish: Wish) -> Result<Renewed, LeaseError> {
        let Some((worker_id, token)) = &self.held else { return Err(LeaseError::Lost(self.settings.least)) };
        let (worker_id, current) = (*worker_id, token.current());
        let asked = self.asked(worker_id, token.next(), wish);
        let renewing = self.db.transaction(|tx| Box::pin(id_leases::renew(tx, current, asked)));
        let Some(Held { fence_at, database_ms, .. }) = self.within(renewing).await? else {
            self.held = None;
            return Err(LeaseError::Lost(worker_id));
        };
        if let Some((_, token)) = &mut self.held {
            token.confirm();
        }
        Ok(Renewed { fence_ms: fence_at, place_ms: Some(database_ms) })
    }

    async fn release(&mut self, next_ms: i64) -> Result<(), LeaseError> {
        let Some((worker_id, token)) = self.held.take() else { return Ok(()) };
        let (id, tokens) = (i64::from(worker_id.get()), [token.current(), token.next()]);
        let releasing = async { id_leases::release(&mut self.db.write().await?, id, tokens, next_ms).await };
        self.within(releasing).await.map(drop)
    }
}

fn unreachable(source: Box<dyn std::error::Error + Send + Sync>) -> LeaseError {
    LeaseError::Unreachable { place: PLACE, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hakata_id::lease::contract::{HOLDERS, follows_the_book, steps};
    use hakata_id::lease::memory::MemoryPlace;
    use hakata_runtime::clock::Clock;
    use hakata_runtime::secret::random_bytes;

    fn worker(n: u64) -> WorkerId {
        WorkerId::new(Layout::Standard, n).unwrap()
    }

    fn lease(db: &Db, least: u64, most: u64) -> SqlLease {
        let (ttl, patience) = (Duration::from_secs(600), Duration::from_secs(20));
        let settings =
            Settings { layout: Layout::Standard, least: worker(least), most: worker(most), ttl, patience };
        SqlLease::new(db.clone(), settings)
    }

    fn wish(now_ms: i64) -> Wish {
        Wish { now_ms, ahead: Duration::from_secs(10) }
    }

    hakata_store::on_every_engine! {
        /// The statements answer as the book does.
        async fn the_database_answers_as_the_book_does(database: TestDatabase) {
            let db = database.migrated().await;
            for _ in 0..6 {
                database.execute("DELETE FROM id_lease").await;
                let steps = steps(&random_bytes::<60>());
                let leases = std::array::from_fn::<_, HOLDERS, _>(|_| lease(&db, 7, 7));
                let place = MemoryPlace::new(Clock::manual(0));
                let book = std::array::from_fn(|_| place.lease(worker(7), worker(7), Duration::from_secs(600)));
                let expire = async || database.execute("UPDATE id_lease SET token = '', expires_at = 0").await;
                follows_the_book(&steps, leases, book, expire).await;
            }
        }

        /// Ids are taken once each, those whose fence has passed first.
        async fn a_range_is_shared(database: TestDatabase) {
            let db = database.migrated().await;
            let mut last = lease(&db, 1, 1);
            last.acquire(|| wish(5_000)).await.unwrap();
            last.release(90_000).await.unwrap();
            let (mut first, mut second, mut third) = (lease(&db, 0, 1), lease(&db, 0, 1), lease(&db, 0, 1));
            let term = first.acquire(|| wish(6_000)).await.unwrap();
            assert_eq!((term.worker_id, term.from_ms), (worker(0), 6_000), "no id in the future");
            let term = second.acquire(|| wish(6_000)).await.unwrap();
            assert_eq!((term.worker_id, term.from_ms), (worker(1), 90_000), "unless there is no other");
            assert!(matches!(third.acquire(|| wish(6_000)).await, Err(LeaseError::Taken { .. })));
        }
    }
}
