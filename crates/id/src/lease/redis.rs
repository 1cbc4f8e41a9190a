//! Leases in Redis, beside those of katsubushi.
//!
//! ```text
//! NS:id:N        token of the holder        expires with the lease     katsubushi's own key
//! NS:fence:N     milliseconds since 1970    stays
//! NS:id-floor    run, fence, had:N          stays                      least fence of every id, and who had one
//! ```
//!
//! Each act is one script, so a lease and its fence change in one step. Redis may lose data, and says so: a floor that is
//! missing, or that names another run of Redis than the one that answers, means that fences may be missing or old. Then
//! the next to acquire any id raises the floor, and nobody who comes later begins below it. A fence that is missing
//! although the floor says that there was one (deleted by hand, evicted) counts as lost for its id. So the first start in an
//! empty Redis waits for twice `id.fence_ahead`; whoever holds a lease that survived goes on without a pause.
//!
//! Beside katsubushi: it sets `NS:id:N` with NX, as we do, so neither takes an id that the other one holds. But it knows
//! no fences and overwrites the key of a lease that it has lost, so ids are safe only if the two use disjoint ranges.

use std::time::Duration;

use ::redis::{FromRedisValue, RedisError, Script, ScriptInvocation};
use tokio::time::timeout;

use super::{Because, Candidate, Lease, LeaseError, Renewed, Term, Token, Wish, in_order};
use crate::layout::{Layout, WorkerId};

mod link;
mod url;

use link::Link;
pub use url::{RedisUrl, RedisUrlError};

/// How far our clock may be ahead of that of Redis when an id is acquired.
const MAX_AHEAD: Duration = Duration::from_secs(3_600);

/// What a lease in Redis is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub url: RedisUrl,
    /// The layout that bounds the worker ids.
    pub layout: Layout,
    /// First worker id that may be taken.
    pub least: WorkerId,
    /// Last one.
    pub most: WorkerId,
    /// How long a lease lasts without renewal.
    pub ttl: Duration,
    /// How long Redis may take to answer; far less than the fence lies ahead.
    pub patience: Duration,
}

/// A lease in Redis.
pub struct RedisLease {
    settings: Settings,
    link: Option<Link>,
    held: Option<Held>,
    scripts: Scripts,
}

/// A lease held, and the greatest fence known to be durable.
struct Held {
    worker_id: WorkerId,
    token: Token,
    fence_ms: i64,
}

struct Scripts {
    acquire: Script,
    renew: Script,
    release: Script,
}

impl RedisLease {
    /// Makes a lease that holds nothing; nothing is asked before [`Lease::acquire`].
    pub fn new(settings: Settings) -> Self {
        let scripts = Scripts {
            acquire: Script::new(include_str!("redis/acquire.lua")),
            renew: Script::new(include_str!("redis/renew.lua")),
            release: Script::new(include_str!("redis/release.lua")),
        };
        Self { settings, link: None, held: None, scripts }
    }

    fn key(&self, kind: &str, worker_id: WorkerId) -> String {
        format!("{}:{kind}:{worker_id}", self.settings.namespace())
    }

    async fn link(&mut self) -> Result<&mut Link, LeaseError> {
        let link = match self.link.take() {
            Some(link) => link,
            // Connecting is several steps with a limit each; this is the limit of them together.
            None => {
                timeout(self.settings.patience * 2, Link::open(&self.settings.url, self.settings.patience))
                    .await
                    .map_err(|_| link::silent(self.settings.patience * 2))??
            }
        };
        Ok(self.link.insert(link))
    }

    /// Runs a script. After an error the connection is made anew: what it leads to may have changed.
    async fn run<T: FromRedisValue>(&mut self, script: &ScriptInvocation<'_>) -> Result<T, LeaseError> {
        let patience = self.settings.patience;
        let link = self.link().await?;
        let answer = timeout(patience, script.invoke_async(&mut link.connection)).await;
        self.judged(answer)
    }

    fn judged<T>(
        &mut self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, LeaseError> {
        let judged = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => link::sorted(error),
            Err(_) => link::silent(self.settings.patience),
        };
        self.link = None;
        Err(judged)
    }

    /// Lists the ids of the range that nobody holds, in the order in which to try them, and tells Redis's time before.
    async fn candidates(&mut self, now_ms: i64) -> Result<(i64, Vec<WorkerId>), LeaseError> {
        let layout = self.settings.layout;
        let range = u64::from(self.settings.least.get())..=u64::from(self.settings.most.get());
        let ids: Vec<WorkerId> = range.filter_map(|n| WorkerId::new(layout, n).ok()).collect();
        let mut ask = ::redis::pipe();
        ask.cmd("TIME").cmd("MGET");
        for id in &ids {
            ask.arg(self.key("id", *id)).arg(self.key("fence", *id));
        }
        let patience = self.settings.patience;
        let link = self.link().await?;
        let answer = timeout(patience, ask.query_async(&mut link.connection)).await;
        let ((s, us), values): ((i64, i64), Vec<Option<String>>) = self.judged(answer)?;
        let free = ids.into_iter().zip(values.chunks_exact(2)).filter(|(_, pair)| pair[0].is_none());
        let fence_ms = |pair: &[Option<String>]| pair[1].as_ref().and_then(|fence| fence.parse().ok());
        let free = free.map(|(worker_id, pair)| Candidate { worker_id, fence_ms: fence_ms(pair) });
        Ok((s * 1_000 + us / 1_000, in_order(free.collect(), now_ms)))
    }

    async fn try_take(
        &mut self,
        worker_id: WorkerId,
        asked_ms: i64,
        wish: Wish,
    ) -> Result<Option<Term>, LeaseError> {
        let patience = self.settings.patience;
        let token = Token::fresh();
        let run_id = self.link().await?.run_id.clone();
        let script = self.scripts.acquire.clone();
        let mut script = script.prepare_invoke();
        script.key(self.key("id", worker_id)).key(self.key("fence", worker_id));
        script.key(format!("{}:id-floor", self.settings.namespace()));
        script.arg(token.current()).arg(self.settings.ttl_ms()).arg(wish.now_ms).arg(wish.fence_ms());
        script.arg(wish.after_loss_ms(patience)).arg(run_id).arg(asked_ms).arg(millis(patience));
        script.arg(worker_id.get());
        let answer = self.run::<Option<(i64, i64, i64, i64)>>(&script).await?;
        let Some((from_ms, fence_ms, place_ms, lost)) = answer else { return Ok(None) };
        self.held = Some(Held { worker_id, token, fence_ms });
        let lost = match lost {
            0 => None,
            1 => Some("Redis is new to these ids, was emptied or was started again"),
            _ => Some("Redis has lost the fence of this worker id alone, by hand or by evicting it"),
        };
        Ok(Some(Term { worker_id, from_ms, fence_ms, place_ms: Some(place_ms), lost }))
    }
}

impl Lease for RedisLease {
    async fn acquire(&mut self, wish: impl Fn() -> Wish + Send + Sync) -> Result<Term, LeaseError> {
        self.held = None;
        let (asked_ms, candidates) = self.candidates(wish().now_ms).await?;
        bounded(wish().now_ms, asked_ms)?;
        for worker_id in candidates {
            if let Some(term) = self.try_take(worker_id, asked_ms, wish()).await? {
                return Ok(term);
            }
        }
        Err(LeaseError::Taken { least: self.settings.least, most: self.settings.most })
    }

    async fn renew(&mut self, wish: Wish) -> Result<Renewed, LeaseError> {
        let Some(Held { worker_id, token, fence_ms }) = &self.held else {
            return Err(LeaseError::Lost(self.settings.least));
        };
        let worker_id = *worker_id;
        let script = self.scripts.renew.clone();
        let mut script = script.prepare_invoke();
        script.key(self.key("id", worker_id)).key(self.key("fence", worker_id));
        script.arg(token.current()).arg(token.next()).arg(self.settings.ttl_ms());
        script.arg(wish.fence_ms()).arg(*fence_ms);
        let Some((fence_ms, place_ms)) = self.run::<Option<(i64, i64)>>(&script).await? else {
            self.held = None;
            return Err(LeaseError::Lost(worker_id));
        };
        if let Some(held) = &mut self.held {
            held.token.confirm();
            held.fence_ms = fence_ms;
        }
        Ok(Renewed { fence_ms, place_ms: Some(place_ms) })
    }

    async fn release(&mut self, next_ms: i64) -> Result<(), LeaseError> {
        let Some(Held { worker_id, token, .. }) = self.held.take() else { return Ok(()) };
        let script = self.scripts.release.clone();
        let mut script = script.prepare_invoke();
        script.key(self.key("id", worker_id)).key(self.key("fence", worker_id));
        script.arg(token.current()).arg(token.next()).arg(next_ms);
        self.run::<i64>(&script).await.map(drop)
    }
}

impl Settings {
    fn namespace(&self) -> &str {
        &self.url.namespace
    }

    fn ttl_ms(&self) -> i64 {
        millis(self.ttl)
    }
}

/// Refuses to write times into Redis that a clock far ahead would make: a floor stays, and every id of the namespace
/// would wait for it, for years if the clock was years ahead.
fn bounded(now_ms: i64, place_ms: i64) -> Result<(), LeaseError> {
    let ahead_ms = now_ms.saturating_sub(place_ms);
    if ahead_ms <= millis(MAX_AHEAD) {
        return Ok(());
    }
    let source = Box::new(Because(format!("our clock is {} s ahead of its clock", ahead_ms / 1_000)));
    let hint = "set the clock of this machine, or that of Redis, right";
    Err(LeaseError::Refused { place: "Redis", hint, source })
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl std::fmt::Debug for RedisLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let worker_id = self.held.as_ref().map(|held| held.worker_id);
        f.debug_struct("RedisLease").field("worker_id", &worker_id).finish_non_exhaustive()
    }
}
