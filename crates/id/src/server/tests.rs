//! Conversations on real sockets, with sources that misbehave; what a whole server does is tested from outside.

use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::tasks::{Stopped, Tasks};
use hakata_service::stream::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Ended;
use super::connection::Conversation;
use crate::keeper::Standing;
use crate::memcached::{self, Event, Source};
use crate::stats::Stats;
use crate::{Generator, Issuer, Layout, Refusal, Slot, TimeBase, WorkerId};

/// An issuer that holds worker id 7 for ever, and its counts.
pub(crate) struct Bench {
    pub(crate) issuer: Issuer,
    pub(crate) stats: Arc<Stats>,
    _standing: watch::Sender<Standing>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let layout = Layout::Standard;
        let generator = Arc::new(Generator::new(layout));
        let worker_id = WorkerId::new(layout, 7).unwrap();
        generator.start(worker_id, Slot::ZERO, layout.end());
        let time = Arc::new(TimeBase::system(layout));
        let standing = Standing::Held { worker_id, from_ms: 0, fence_ms: i64::MAX, trouble: None };
        let (sender, standing) = watch::channel(standing);
        let issuer = Issuer::new(generator, time, Duration::from_secs(1));
        let stats = Arc::new(Stats::new(issuer.clone(), standing));
        Self { issuer, stats, _standing: sender }
    }
}

/// Numbers from 1 on, with trouble on the way.
#[derive(Default)]
struct Odd {
    last: u64,
    panics_at: u64,
    /// Every id is to be waited for first.
    waits: bool,
    waited: bool,
}

impl Source for Odd {
    fn ids(&mut self, n: u32, each: &mut dyn FnMut(u64)) -> Result<u32, Refusal> {
        if self.waits && !self.waited {
            self.waited = true;
            return Err(Refusal::Wait(Duration::from_millis(3)));
        }
        self.waited = false;
        let n = if self.waits { 1 } else { n };
        for _ in 0..n {
            self.last += 1;
            assert_ne!(self.last, self.panics_at, "the source is broken");
            each(self.last);
        }
        Ok(n)
    }

    fn stats(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn count(&mut self, _what: Event) {}
}

fn settings() -> memcached::Settings {
    memcached::Settings { max_unsent_bytes: 4096, ..memcached::Settings::default() }
}

/// A client and the conversation with it.
async fn pair(source: Odd) -> (TcpStream, Conversation<Odd>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (served, _) = listener.accept().await.unwrap();
    let idle = Some(Duration::from_secs(60));
    (client, Conversation::new(Stream::Tcp(served), Arc::new(settings()), idle, source))
}

async fn read_all(mut client: TcpStream) -> String {
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    all
}

/// What `n` keys `k` are answered with.
fn values(n: u64) -> String {
    let value = |id: u64| format!("VALUE k 0 {}\r\n{id}\r\n", id.to_string().len());
    (1..=n).map(value).collect::<String>() + "END\r\n"
}

#[tokio::test]
async fn a_panic_ends_its_own_conversation_only() {
    let tasks = Tasks::new();
    let (mut broken, conversation) = pair(Odd { panics_at: 3, ..Odd::default() }).await;
    let never = CancellationToken::new();
    let task = tasks.spawn("test_id_panic", async move { conversation.run(&never).await });
    broken.write_all(b"get k k\r\nget k\r\n").await.unwrap();
    assert_eq!(task.await, Err(Stopped::Panicked));
    let mut heard = Vec::new();
    // Closed or reset: either way at once, and nothing half said.
    let _ = broken.read_to_end(&mut heard).await;
    assert!(heard.is_empty(), "{heard:?}");
    let (mut other, conversation) = pair(Odd::default()).await;
    let never = CancellationToken::new();
    let task = tasks.spawn("test_id_other", async move { conversation.run(&never).await });
    other.write_all(b"get k\r\nquit\r\n").await.unwrap();
    assert_eq!(read_all(other).await, values(1), "what the broken one left behind is not sent to others");
    assert_eq!(task.await, Ok(Ended::Closed));
}

#[tokio::test]
async fn ids_that_are_waited_for_come_in_order_and_once() {
    let (mut client, conversation) = pair(Odd { waits: true, ..Odd::default() }).await;
    let keys = 200;
    client.write_all(format!("get{}\r\nquit\r\n", " k".repeat(keys)).as_bytes()).await.unwrap();
    let never = CancellationToken::new();
    let (heard, ended) = tokio::join!(read_all(client), conversation.run(&never));
    assert_eq!((heard, ended), (values(keys as u64), Ended::Closed));
}

#[tokio::test]
async fn replies_beyond_the_bound_wait_for_their_reader() {
    let (mut client, conversation) = pair(Odd::default()).await;
    let keys = 60_000;
    let never = CancellationToken::new();
    let talk = async {
        client.write_all(format!("get{}\r\n", " k".repeat(keys)).as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        read_all(client).await
    };
    let (heard, ended) = tokio::join!(talk, conversation.run(&never));
    assert!(heard == values(keys as u64), "every key is answered once, in order");
    assert_eq!(ended, Ended::Left);
}

#[tokio::test]
async fn a_stop_answers_what_has_arrived() {
    let (mut client, conversation) = pair(Odd::default()).await;
    // A bound request, and the beginning of another.
    client.write_all(b"get k\r\nget k").await.unwrap();
    let stopped = CancellationToken::new();
    stopped.cancel();
    assert_eq!(conversation.run(&stopped).await, Ended::Drained);
    assert_eq!(read_all(client).await, values(1), "what is not complete is not carried out");
}

#[tokio::test(start_paused = true)]
async fn silence_is_measured_from_the_last_complete_request() {
    let (mut client, conversation) = pair(Odd::default()).await;
    let start = tokio::time::Instant::now();
    let never = CancellationToken::new();
    let talk = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        client.write_all(b"version\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_secs(40)).await;
        client.write_all(b"get").await.unwrap();
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = conversation.run(&never) => ended,
        () = talk => unreachable!("the client stays"),
    };
    let late = start.elapsed().saturating_sub(Duration::from_secs(100));
    assert!(ended == Ended::Idle && late < Duration::from_millis(10), "{ended:?}, {late:?} late");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_nothing_is_cut_after_the_same_time() {
    let (mut client, conversation) = pair(Odd::default()).await;
    let never = CancellationToken::new();
    let mut task = std::pin::pin!(conversation.run(&never));
    let request = format!("get{}\r\n", " k".repeat(20_000));
    // Until neither side's buffers take more.
    let flood = async { while client.write_all(request.as_bytes()).await.is_ok() {} };
    let start = tokio::time::Instant::now();
    let ended = tokio::select! {
        ended = &mut task => ended,
        () = flood => unreachable!("the server holds the connection until it is late"),
    };
    let took = start.elapsed();
    assert_eq!(ended, Ended::Unread);
    assert!((60_000..60_010).contains(&took.as_millis()), "cut after {took:?} of 60 s");
}
