//! Redis frozen, killed, emptied, read-only, full, and shut by a password: nothing is issued twice and nobody dies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hakata_id::keeper::{Keeper, Settings as Keeping, Standing};
use hakata_id::lease::redis::{RedisLease, RedisUrl, Settings};
use hakata_id::{Generator, Issuer, Layout, Refusal, TimeBase, WorkerId};
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;

use crate::redis_rules::worker;
use crate::redis_server::{PATIENCE, RedisServer};

/// Short enough for a test, long enough for a busy machine.
const AHEAD: Duration = Duration::from_millis(1_500);

/// A process that keeps a lease.
struct Process {
    issuer: Issuer,
    tasks: Tasks,
    keeper: Keeper,
}

impl Process {
    fn start(url: &str, least: u64, most: u64) -> Self {
        let lease = RedisLease::new(Settings {
            url: RedisUrl::parse(url).unwrap(),
            layout: Layout::Standard,
            least: worker(least),
            most: worker(most),
            ttl: Duration::from_secs(600),
            patience: Duration::from_millis(400),
        });
        let time = Arc::new(TimeBase::system(Layout::Standard));
        let issuer = Issuer::new(Arc::new(Generator::new(Layout::Standard)), time, Duration::from_secs(1));
        let tasks = Tasks::new();
        let settings = Keeping { fence_ahead: AHEAD, renew_every: Duration::from_millis(50) };
        let keeper = Keeper::spawn(&tasks, lease, &issuer, settings);
        Self { issuer, tasks, keeper }
    }

    fn issue(&self) -> Result<u64, Refusal> {
        let mut issued = 0;
        self.issuer.try_issue(1, |id| issued = id)?;
        assert_ne!(issued, 0, "success brings an id");
        Ok(issued)
    }

    /// Waits until ids are issued.
    async fn issues(&self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.issue() {
                Ok(id) => return id,
                Err(refusal) => assert!(Instant::now() < deadline, "{refusal}; {:?}", self.standing()),
            }
            self.moment().await;
        }
    }

    /// Waits until a lease is held, and tells the first time that may be issued.
    async fn begins(&self) -> i64 {
        let mut standing = self.keeper.standing();
        let is_held = |standing: &Standing| matches!(standing, Standing::Held { .. });
        let held = tokio::time::timeout(PATIENCE, standing.wait_for(is_held))
            .await
            .map(|held| held.unwrap().clone());
        match held {
            Ok(Standing::Held { from_ms, .. }) => from_ms,
            other => panic!("a lease is acquired, and it stands: {other:?}"),
        }
    }

    /// Waits until no ids are issued.
    async fn refuses(&self) {
        let began = Instant::now();
        while self.issue() != Err(Refusal::NoLease) {
            assert!(began.elapsed() < PATIENCE, "issuing stops");
            self.moment().await;
        }
    }

    /// Waits until the keeper says something with these words.
    async fn says(&self, words: &str) {
        let mut standing = self.keeper.standing();
        let has_words = |standing: &Standing| match standing {
            Standing::Seeking { why: Some(why) } | Standing::Held { trouble: Some(why), .. } => {
                why.contains(words)
            }
            _ => false,
        };
        let said = tokio::time::timeout(PATIENCE, standing.wait_for(has_words)).await;
        assert!(said.is_ok(), "{words:?} is said, and not {:?}", self.standing());
    }

    /// Waits for the keeper's next step, or a moment.
    async fn moment(&self) {
        let mut standing = self.keeper.standing();
        standing.mark_unchanged();
        let _ = tokio::time::timeout(Duration::from_millis(5), standing.changed()).await;
    }

    fn standing(&self) -> Standing {
        self.keeper.standing().borrow().clone()
    }

    fn held(&self) -> Option<WorkerId> {
        self.issuer.generator().worker_id()
    }

    async fn stop(self) {
        self.tasks.cancel();
        self.keeper.stopped().await;
    }
}

#[tokio::test]
async fn the_first_start_in_an_empty_redis_waits_and_later_ones_do_not() {
    let server = RedisServer::start(&[]);
    let began = Instant::now();
    let first = Process::start(&server.url(), 1, 9);
    first.issues().await;
    assert!(
        began.elapsed() >= AHEAD * 2,
        "an empty Redis may be one that lost its data: {:?}",
        began.elapsed()
    );
    let second = Process::start(&server.url(), 1, 9);
    let from_ms = second.begins().await;
    let now_ms = Clock::System.now_ms();
    assert!(from_ms <= now_ms, "its ids were never held: no wait until {from_ms} at {now_ms}");
    second.issues().await;
    assert_ne!(first.held(), second.held());
    let held = first.held().unwrap();
    first.stop().await;
    assert_eq!(server.get(&format!("test:id:{held}")), None, "the lease is given back");
    second.stop().await;
}

#[tokio::test]
async fn a_frozen_redis_stops_issuing_at_the_fence_and_not_before() {
    let server = RedisServer::start(&[]);
    let process = Process::start(&server.url(), 1, 9);
    process.issues().await;
    let held = process.held();
    server.freeze();
    process.refuses().await;
    let (fence, now) = (process.issuer.generator().fence(), process.issuer.time().now());
    assert!(fence != hakata_id::Slot::ZERO && fence <= now, "not before the fence: {fence} at {now}");
    server.thaw();
    process.issues().await;
    assert_eq!(process.held(), held, "the lease is still there, so it goes on");
}

#[tokio::test]
async fn a_lease_deleted_or_stolen_is_replaced_by_another_id() {
    let server = RedisServer::start(&[]);
    let process = Process::start(&server.url(), 1, 2);
    let mut last = process.issues().await;
    for thief in [None, Some("6ba7b810-9dad")] {
        let held = process.held().unwrap();
        let key = format!("test:id:{held}");
        match thief {
            None => server.run(&["DEL", &key]),
            Some(thief) => server.run(&["SET", &key, thief]),
        }
        let deadline = Instant::now() + PATIENCE;
        while process.held().is_none_or(|now| now == held) {
            assert!(Instant::now() < deadline, "another id is taken: {:?}", process.standing());
            process.moment().await;
        }
        assert_eq!(server.get(&key).as_deref(), thief, "and nobody is robbed back");
        let id = process.issues().await;
        assert!(id > last, "ids rise over the change");
        last = id;
    }
}

#[tokio::test]
async fn an_emptied_redis_makes_everybody_wait() {
    let server = RedisServer::start(&[]);
    let process = Process::start(&server.url(), 1, 9);
    process.issues().await;
    let lost_ms = Clock::System.now_ms();
    server.run(&["FLUSHALL"]);
    process.refuses().await;
    let issued_ms = Layout::Standard.to_time(process.issues().await).unwrap();
    let waited_ms = u128::try_from(issued_ms - lost_ms).unwrap();
    assert!(waited_ms >= AHEAD.as_millis() * 2, "what was lost has passed after {waited_ms} ms");
    process.stop().await;
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_another_run() {
    let mut server = RedisServer::start(&[]);
    let process = Process::start(&server.url(), 1, 9);
    process.issues().await;
    server.kill();
    process.refuses().await;
    process.says("asking Redis").await;
    server.start_again();
    process.issues().await;
    process.stop().await;
}

#[tokio::test]
async fn a_lease_that_survives_a_restart_goes_on_and_newcomers_wait() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let process = Process::start(&server.url(), 1, 9);
    process.issues().await;
    let held = process.held();
    server.kill();
    server.start_again();
    let floor = server.floor();
    let deadline = Instant::now() + PATIENCE;
    let fence = format!("test:fence:{}", held.unwrap());
    let before = server.get(&fence);
    while server.get(&fence) == before {
        assert!(Instant::now() < deadline, "the fence rises again: {:?}", process.standing());
        process.moment().await;
    }
    assert!(process.issue().is_ok());
    assert_eq!(process.held(), held, "its token was found");
    let began = Instant::now();
    let newcomer = Process::start(&server.url(), 1, 9);
    newcomer.issues().await;
    assert!(began.elapsed() >= AHEAD * 2, "other fences may be old: {:?}", began.elapsed());
    assert_ne!(server.floor(), floor, "the new run is noted");
}

#[tokio::test]
async fn what_an_operator_must_do_is_said() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let port = server.port();
    Process::start(&server.url(), 1, 9).says("check user and password in id.redis").await;
    Process::start(&format!("redis://:wrong@127.0.0.1:{port}?ns=test"), 1, 9)
        .says("check user and password in id.redis")
        .await;
    let process = Process::start(&format!("redis://:right@127.0.0.1:{port}?ns=test"), 1, 9);
    process.issues().await;
    process.stop().await;
}

#[tokio::test]
async fn a_replica_and_a_full_redis_are_said_and_heal() {
    let server = RedisServer::start(&[]);
    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    let process = Process::start(&server.url(), 1, 9);
    process.says("this is a replica: name the primary in id.redis").await;
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    server.run(&["REPLICAOF", "NO", "ONE"]);
    process.says("Redis has reached maxmemory").await;
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    process.issues().await;
}

#[tokio::test]
async fn a_node_of_a_cluster_is_said() {
    let server = RedisServer::start(&["--cluster-enabled", "yes"]);
    Process::start(&server.url(), 1, 9).says("a node of a cluster").await;
}

#[tokio::test]
async fn a_redis_that_comes_late_is_waited_for() {
    let mut server = RedisServer::start(&[]);
    server.kill();
    let process = Process::start(&server.url(), 1, 9);
    process.says("asking Redis").await;
    server.start_again();
    process.issues().await;
}
