//! The client against servers that misbehave on purpose.

mod fake;
mod replies;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{AttemptError, Client, FetchError, ReplyError, Settings};
use fake::{Act, Fake, values};

/// An hour: longer than any test, so what is left alone stays so.
const HOUR: Duration = Duration::from_secs(3600);

fn settings() -> Settings {
    Settings { patience: Duration::from_secs(20), back_off: (HOUR, HOUR), ..Settings::default() }
}

fn client(servers: &[&Fake], settings: Settings) -> Client {
    Client::new(servers.iter().map(|fake| fake.endpoint.clone()), settings).expect("there are servers")
}

/// One attempt a server, no second round.
fn impatient() -> Settings {
    Settings { patience: Duration::from_secs(5), ..settings() }
}

/// The ids of a server that does nothing wrong: each one once.
fn honest() -> impl FnMut(&fake::Request) -> Act + Send + 'static {
    let mut next = 1_000;
    move |request| {
        let ids: Vec<u64> = (0..request.keys.len() as u64).map(|at| next + at).collect();
        next += ids.len() as u64;
        Act::Reply(values(&request.keys, &ids))
    }
}

fn last_error(error: FetchError) -> AttemptError {
    match error {
        FetchError::NoneAnswered { last, .. } => last,
        FetchError::Busy { .. } => panic!("a connection is free: {error}"),
    }
}

#[test]
fn a_client_without_servers_is_refused() {
    assert!(Client::new([], Settings::default()).is_err());
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let fake = Fake::start(honest()).await;
    let client = client(&[&fake], settings());
    let mut ids = BTreeSet::new();
    for _ in 0..100 {
        ids.insert(client.get().await.expect("an id"));
        ids.extend(client.get_many(10).await.expect("ten ids"));
    }
    assert_eq!(ids.len(), 1_100, "no id comes twice");
    assert_eq!(fake.n_connections(), 1, "the connection is used again");
    assert_eq!(client.get_many(0).await.expect("nothing").len(), 0);
    assert_eq!(client.get_many(2_500).await.expect("three batches").len(), 2_500);
    assert_eq!(fake.most_keys(), 1_000, "many ids are fetched in batches");
}

#[tokio::test]
async fn connections_at_once_are_bounded() {
    let fake = Fake::start(honest()).await;
    let client = client(&[&fake], Settings { max_connections: 3, ..settings() });
    let fetches = (0..50).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.get().await.expect("an id") })
    });
    let mut ids = BTreeSet::new();
    for fetch in fetches.collect::<Vec<_>>() {
        ids.insert(fetch.await.expect("the task ends"));
    }
    assert_eq!(ids.len(), 50);
    assert!(fake.n_connections() <= 3, "{} connections were opened", fake.n_connections());
}

#[tokio::test]
async fn servers_are_asked_in_order_and_dead_ones_left_alone() {
    let (dead, second) = (Fake::start(|_| Act::Close).await, Fake::start(honest()).await);
    let client = client(&[&dead, &second], settings());
    for _ in 0..20 {
        client.get().await.expect("the second server answers");
    }
    assert_eq!(dead.n_connections(), 1, "a dead server is not asked again while it is left alone");
    assert_eq!(second.n_connections(), 1);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_passed_over() {
    let (gone, second) = (Fake::start(honest()).await.stop().await, Fake::start(honest()).await);
    let servers = [gone, second.endpoint.clone()];
    let client = Client::new(servers, settings()).expect("there are servers");
    assert_ne!(client.get().await.expect("the second server answers"), 0);
}

#[tokio::test]
async fn the_first_server_is_used_again_once_its_rest_is_over() {
    let mut ill = true;
    let mut well = honest();
    let first =
        Fake::start(move |request| if std::mem::take(&mut ill) { Act::Close } else { well(request) }).await;
    let second = Fake::start(honest()).await;
    let short = (Duration::from_millis(1), Duration::from_millis(1));
    let client = client(&[&first, &second], Settings { back_off: short, ..settings() });
    client.get().await.expect("the second server answers");
    tokio::time::timeout(Duration::from_secs(10), async {
        while first.n_requests() < 2 {
            client.get().await.expect("one of them answers");
        }
    })
    .await
    .expect("the first server is asked again");
}

#[tokio::test]
async fn if_all_are_left_alone_all_are_asked() {
    let mut calls = 0;
    let mut well = honest();
    let only = Fake::start(move |request| {
        calls += 1;
        if calls == 1 { Act::Close } else { well(request) }
    })
    .await;
    let client = client(&[&only], Settings { back_off: (Duration::from_millis(1), HOUR), ..settings() });
    client.get().await.expect("the only server is asked again although it rests");
}

#[tokio::test]
async fn an_idle_cut_surfaces_no_error() {
    let mut ids = honest();
    let fake = Fake::start(move |request| match ids(request) {
        Act::Reply(reply) => Act::ReplyThenClose(reply),
        other => other,
    })
    .await;
    let client = client(&[&fake], impatient());
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        assert!(
            seen.insert(client.get().await.expect("a cut connection is opened anew")),
            "an id came twice"
        );
    }
    assert_eq!(fake.n_connections(), 50, "each connection was cut after one reply");
}

#[tokio::test]
async fn connections_that_lay_idle_for_long_are_not_trusted() {
    let fake = Fake::start(honest()).await;
    let client = client(&[&fake], Settings { max_idle: Duration::ZERO, ..settings() });
    client.get().await.expect("an id");
    client.get().await.expect("an id");
    assert_eq!(fake.n_connections(), 2);
}

#[tokio::test]
async fn a_silent_server_costs_one_timeout() {
    let (silent, second) = (Fake::start(|_| Act::Nothing).await, Fake::start(honest()).await);
    let quick = Settings { reply_timeout: Duration::from_millis(300), ..settings() };
    let client = client(&[&silent, &second], quick);
    for _ in 0..10 {
        client.get().await.expect("the second server answers");
    }
    assert_eq!(silent.n_requests(), 1);
}

#[tokio::test]
async fn a_reply_that_stops_half_way_is_lost_and_never_read_later() {
    let mut next = 0;
    let fake = Fake::start(move |request| {
        next += 100;
        let ids: Vec<u64> = (0..request.keys.len() as u64).map(|at| next + at).collect();
        let mut reply = values(&request.keys, &ids);
        if request.connection == 0 {
            let rest = reply.split_off(reply.len() / 2);
            return Act::Halves(reply, rest);
        }
        Act::Reply(reply)
    })
    .await;
    let short = (Duration::from_millis(1), Duration::from_millis(1));
    let quick = Settings { reply_timeout: Duration::from_millis(500), back_off: short, ..settings() };
    let client = client(&[&fake], quick);
    let first = client.get_many(10).await.expect("the retry answers");
    assert_eq!(first, (200..210).collect::<Vec<u64>>(), "all ids are of the second reply");
    fake.release();
    fake.wait_for_closed(0).await;
    let second = client.get_many(10).await.expect("the second connection goes on");
    assert_eq!(second, (300..310).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_dropped_fetch_takes_its_connection_along() {
    let mut ids = honest();
    let fake =
        Fake::start(move |request| if request.connection == 0 { Act::Nothing } else { ids(request) }).await;
    let client = client(&[&fake], settings());
    let dropped = {
        let client = client.clone();
        tokio::spawn(async move { client.get().await })
    };
    fake.wait_for_requests(1).await;
    dropped.abort();
    fake.wait_for_closed(0).await;
    client.get().await.expect("a new connection answers");
    assert_eq!(fake.n_connections(), 2);
}

#[tokio::test]
async fn what_nobody_asked_for_is_never_taken_for_a_reply() {
    let mut ids = honest();
    let fake = Fake::start(move |request| match ids(request) {
        // A whole second reply follows, as after a retry on the same connection.
        Act::Reply(reply) if request.connection == 0 => Act::Reply([reply.clone(), reply].concat()),
        other => other,
    })
    .await;
    let short = (Duration::from_millis(1), Duration::from_millis(1));
    let client = client(&[&fake], Settings { back_off: short, ..settings() });
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        assert!(seen.insert(client.get().await.expect("an id")), "an id came twice");
    }
    assert_eq!(fake.n_connections(), 2, "the first connection was dropped");
}

#[tokio::test]
async fn a_server_without_a_lease_is_passed_over_and_quoted() {
    let refuse = |_: &fake::Request| Act::Reply(b"SERVER_ERROR no lease\r\n".to_vec());
    let (first, second) = (Fake::start(refuse).await, Fake::start(honest()).await);
    let both = client(&[&first, &second], settings());
    both.get().await.expect("the second server answers");
    let alone = client(&[&first], impatient());
    match last_error(alone.get().await.expect_err("no server answers")) {
        AttemptError::Reply(ReplyError::Refused(words)) => assert_eq!(words, "SERVER_ERROR no lease"),
        other => panic!("the refusal is what is reported, not {other:?}"),
    }
}

#[tokio::test]
async fn who_comes_when_all_connections_are_in_use_waits_for_so_long() {
    let fake = Fake::start(honest()).await;
    let patience = Duration::from_millis(50);
    let client = client(&[&fake], Settings { max_connections: 1, patience, ..settings() });
    let turn = client.shared.turns.acquire().await.expect("a turn is free");
    let refused = client.get().await.expect_err("the only connection is in use");
    assert!(matches!(refused, FetchError::Busy { max_connections: 1 }), "{refused}");
    drop(turn);
    let patient = Settings { max_connections: 1, ..settings() };
    self::client(&[&fake], patient).get().await.expect("an id");
    assert_eq!(fake.n_connections(), 1, "who waited in vain opened nothing");
}
