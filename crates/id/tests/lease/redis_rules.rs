//! The scripts answer as the book does, and live beside katsubushi.

use std::time::Duration;

use hakata_id::lease::contract::{HOLDERS, follows_the_book, steps};
use hakata_id::lease::memory::{Book, Expiry, MemoryPlace};
use hakata_id::lease::redis::{RedisLease, RedisUrl, Settings};
use hakata_id::lease::{Lease, LeaseError, Wish};
use hakata_id::{Layout, WorkerId};
use hakata_runtime::clock::Clock;
use hakata_runtime::secret::random_bytes;

use crate::redis_server::RedisServer;

/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) const START: i64 = 1_763_740_800_000;

pub(crate) fn worker(n: u64) -> WorkerId {
    WorkerId::new(Layout::Standard, n).unwrap()
}

pub(crate) fn lease(url: &str, least: u64, most: u64) -> RedisLease {
    RedisLease::new(Settings {
        url: RedisUrl::parse(url).unwrap(),
        layout: Layout::Standard,
        least: worker(least),
        most: worker(most),
        ttl: Duration::from_secs(600),
        patience: PATIENCE,
    })
}

fn wish(now_ms: i64) -> Wish {
    Wish { now_ms, ahead: Duration::from_secs(10) }
}

/// Makes the namespace an old one, in which no fence is missing.
async fn settle(server: &RedisServer) {
    let mut first = lease(&server.url(), 1023, 1023);
    first.acquire(|| wish(0)).await.unwrap();
    first.release(0).await.unwrap();
}

#[tokio::test]
async fn the_scripts_answer_as_the_book_does() {
    let server = RedisServer::start(&[]);
    for round in 0..60 {
        // The steps are part of the message if they lead to a difference.
        let steps = steps(&random_bytes::<80>());
        let url = format!("{}{round}", server.url());
        let leases = std::array::from_fn::<_, HOLDERS, _>(|_| lease(&url, 7, 7));
        let place = MemoryPlace::with_book(Clock::manual(START), Book::new(Expiry::Forgets), PATIENCE);
        let book = std::array::from_fn(|_| place.lease(worker(7), worker(7), Duration::from_secs(600)));
        let key = format!("test{round}:id:7");
        follows_the_book(&steps, leases, book, async || server.run(&["DEL", &key])).await;
    }
}

#[tokio::test]
async fn keys_are_those_of_katsubushi_and_fences_outlive_them() {
    let server = RedisServer::start(&[]);
    settle(&server).await;
    let mut first = lease(&server.url(), 7, 7);
    let term = first.acquire(|| wish(START)).await.unwrap();
    assert_eq!((term.worker_id, term.from_ms, term.fence_ms), (worker(7), START, START + 10_000));
    let mut redis = server.connect();
    let ttl: i64 = ::redis::cmd("PTTL").arg("test:id:7").query(&mut redis).unwrap();
    assert!((1..=600_000).contains(&ttl), "the lease ends by itself: {ttl}");
    let ttl: i64 = ::redis::cmd("PTTL").arg("test:fence:7").query(&mut redis).unwrap();
    assert_eq!(ttl, -1, "the fence does not");
    assert_eq!(server.get("test:fence:7"), Some((START + 10_000).to_string()));
    let place_ms = first.renew(wish(START + 1_000)).await.unwrap().place_ms.unwrap();
    let now_ms = Clock::System.now_ms();
    assert!(
        (now_ms - 60_000..=now_ms + 1_000).contains(&place_ms),
        "Redis's own clock: {place_ms} at {now_ms}"
    );
    first.release(START + 1_234).await.unwrap();
    assert_eq!(server.get("test:id:7"), None);
    assert_eq!(server.get("test:fence:7"), Some((START + 1_234).to_string()));
}

/// katsubushi takes `SET NS:id:N uuid EX 600 NX` and then overwrites by GETSET: neither side takes what the other holds.
#[tokio::test]
async fn ids_of_katsubushi_are_left_alone() {
    let server = RedisServer::start(&[]);
    settle(&server).await;
    for n in [1, 2, 4] {
        server.run(&["SET", &format!("test:id:{n}"), "6ba7b810-9dad", "EX", "600", "NX"]);
    }
    let mut ours = lease(&server.url(), 1, 4);
    let term = ours.acquire(|| wish(START)).await.unwrap();
    assert_eq!(term.worker_id, worker(3), "the only one that nobody holds");
    let nx: Option<String> = ::redis::cmd("SET")
        .arg(&["test:id:3", "6ba7b810-9dad", "EX", "600", "NX"])
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(nx, None, "nor does it take ours");
    let mut late = lease(&server.url(), 1, 4);
    let taken = late.acquire(|| wish(START)).await.unwrap_err();
    assert!(matches!(taken, LeaseError::Taken { .. }), "{taken}");
    assert_eq!(taken.to_string(), "every worker id from 1 to 4 is held by somebody else");
    // One that was frozen wakes up and overwrites ours: we stop, and do not overwrite it back.
    server.run(&["GETSET", "test:id:3", "6ba7b810-9dad"]);
    assert!(matches!(ours.renew(wish(START + 1_000)).await, Err(LeaseError::Lost(_))));
    assert_eq!(server.get("test:id:3").as_deref(), Some("6ba7b810-9dad"));
    ours.release(START).await.unwrap();
    assert_eq!(server.get("test:id:3").as_deref(), Some("6ba7b810-9dad"), "a release compares");
}

#[tokio::test]
async fn an_id_whose_fence_has_passed_is_preferred() {
    let server = RedisServer::start(&[]);
    settle(&server).await;
    for n in 0..20 {
        server.run(&["SET", &format!("test:fence:{n}"), &(START + 5_000).to_string()]);
    }
    server.run(&["SET", "test:fence:13", &(START - 1).to_string()]);
    let term = lease(&server.url(), 0, 19).acquire(|| wish(START)).await.unwrap();
    assert_eq!((term.worker_id, term.from_ms), (worker(13), START), "no id lies in the future");
}

/// A Redis that evicts keys, or an operator who deletes one, takes a fence and leaves the floor.
#[tokio::test]
async fn a_fence_that_is_lost_alone_is_noticed() {
    let server = RedisServer::start(&[]);
    settle(&server).await;
    let mut first = lease(&server.url(), 7, 7);
    let fence_ms = first.acquire(|| wish(START)).await.unwrap().fence_ms;
    server.run(&["DEL", "test:fence:7", "test:id:7"]);
    // Its clock is behind that of the first holder, which may go on to the fence that it knows.
    let behind = START - 5_000;
    let term = lease(&server.url(), 7, 7).acquire(|| wish(behind)).await.unwrap();
    assert!(term.from_ms >= fence_ms, "{} is below the fence {fence_ms} that was lost", term.from_ms);
    assert_eq!(term.from_ms, wish(behind).after_loss_ms(PATIENCE), "as after any loss");
    assert!(term.lost.is_some_and(|why| why.contains("this worker id alone")), "{:?}", term.lost);
    let never_held = lease(&server.url(), 8, 8).acquire(|| wish(START)).await.unwrap();
    assert_eq!((never_held.from_ms, never_held.lost), (START, None), "others need not wait");
}

/// A floor stays in Redis, so a clock that is years ahead at a first start would shut the namespace for years.
#[tokio::test]
async fn a_clock_far_ahead_writes_nothing() {
    let server = RedisServer::start(&[]);
    let in_years = Clock::System.now_ms() + 10 * 365 * 86_400_000;
    let refused = lease(&server.url(), 1, 9).acquire(|| wish(in_years)).await.unwrap_err().chain();
    assert!(refused.contains("set the clock of this machine") && refused.contains("s ahead of"), "{refused}");
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query(&mut server.connect()).unwrap();
    assert_eq!(keys, Vec::<String>::new(), "nothing has to be cleaned up");
}

#[tokio::test]
async fn the_last_id_has_one_winner() {
    let server = RedisServer::start(&[]);
    settle(&server).await;
    let racing = (0..8).map(|_| {
        let mut lease = lease(&server.url(), 5, 5);
        async move { lease.acquire(|| wish(START)).await.is_ok() }
    });
    let won = futures_util::future::join_all(racing).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
}
