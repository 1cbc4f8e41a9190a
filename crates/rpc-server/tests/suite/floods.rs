//! Floods of HTTP/2, and peers that never get to the point: memory stays, others are served, the flood ends.
//!
//! Frames are written by hand: nine bytes of length, type, flags and stream, then the payload. Source: RFC 9113,
//! section 4.1; header blocks by RFC 7541.

use std::time::Duration;

use hakata_names::ObjectFormat;
use hakata_rpc::v1::{GetBlobRequest, InfoRequest, RepositoryKey, ServerService};
use hakata_rpc::{Call, grpc};
use hakata_rpc_server::{Settings, Tokens};
use hakata_runtime::secret::Secret;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

use crate::fixture::{TOKEN, World, endpoint};

const LONG: Duration = Duration::from_secs(30);

/// A server that takes nothing for so long has had enough.
const STALL: Duration = Duration::from_secs(2);

/// What a flood may make a process of servers and clients, unoptimised, grow.
const MAX_GROWTH_BYTES: u64 = 48 << 20;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// POST, http, `/a/b`, authority `h`.
const BLOCK: &[u8] = b"\x83\x86\x04\x04/a/b\x01\x01h";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Memory of this process that is really there, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// How a flood ended.
#[derive(Debug, PartialEq)]
enum End {
    /// The server closed the connection.
    Closed,
    /// It took no more.
    Stalled,
    /// It took everything.
    Taken,
}

/// Sends a beginning and then one piece after another; reads what is answered unless told not to.
async fn flood(
    world: &World,
    begin: &[u8],
    n_pieces: u32,
    piece: impl Fn(u32) -> Vec<u8>,
    reads: bool,
) -> (End, OwnedReadHalf) {
    let (mut from, mut to) = TcpStream::connect(world.grpc_at).await.unwrap().into_split();
    to.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), begin].concat()).await.unwrap();
    let mut answered = [0; 16 << 10];
    for n in 0..n_pieces {
        match timeout(STALL, to.write_all(&piece(n))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return (End::Closed, from),
            Err(_) => return (End::Stalled, from),
        }
        if reads && n % 64 == 0 {
            // What is there is taken, without waiting for more.
            while let Ok(n) = from.try_read(&mut answered) {
                if n == 0 {
                    return (End::Closed, from);
                }
            }
        }
    }
    if reads {
        let rest = timeout(STALL, async { while matches!(from.read(&mut answered).await, Ok(1..)) {} });
        if rest.await.is_ok() {
            return (End::Closed, from);
        }
    }
    (End::Taken, from)
}

/// Runs floods beside a caller who must be answered all the while.
async fn survive(world: &World, floods: impl Future<Output = Vec<End>>) -> Vec<End> {
    let known = world.grpc();
    known.info(Call::default(), InfoRequest {}).await.unwrap();
    let before = resident();
    let serving = async {
        loop {
            let answer = timeout(LONG, known.info(Call::default(), InfoRequest {})).await;
            answer.expect("others are served while it lasts").unwrap();
            tokio::task::yield_now().await;
        }
    };
    let ends = tokio::select! {
        ends = floods => ends,
        () = serving => unreachable!("it asks for ever"),
    };
    known.info(Call::default(), InfoRequest {}).await.unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < MAX_GROWTH_BYTES, "the process grew by {} MiB", grown >> 20);
    ends
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let world = World::new().await;
    let reset = |n: u32| {
        let id = 2 * n + 1;
        [frame(HEADERS, END_HEADERS | END_STREAM, id, BLOCK), frame(RST_STREAM, 0, id, &8u32.to_be_bytes())]
            .concat()
    };
    let ends = survive(&world, async { vec![flood(&world, &[], 100_000, reset, true).await.0] }).await;
    assert_eq!(ends, [End::Closed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_and_headers_that_swell_are_refused() {
    let world = World::new().await;
    let begin = frame(HEADERS, 0, 1, BLOCK);
    // A literal header of 16,000 bytes, over and over.
    let mut literal = b"\x00\x01x\x7f\x81\x7c".to_vec();
    literal.extend([b'a'; 16_000]);
    let endless = |_| frame(CONTINUATION, 0, 1, &literal);
    // Tiny frames cost as much as large ones.
    let tiny = |_| frame(CONTINUATION, 0, 1, b"");
    // A header of 4,000 bytes goes into the table, and is named 16,000 times in each block.
    let mut bomb = BLOCK.to_vec();
    bomb.extend(b"\x40\x01x\x7f\xa1\x1e");
    bomb.extend([b'b'; 4_000]);
    let bomb = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    let again = |n: u32| {
        let block = [BLOCK, &[0xbe; 16_000]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 3, &block)
    };
    let floods = async {
        vec![
            flood(&world, &begin, 10_000, endless, true).await.0,
            flood(&world, &begin, 200_000, tiny, true).await.0,
            flood(&world, &bomb, 2_000, again, true).await.0,
        ]
    };
    let ends = survive(&world, floods).await;
    assert_eq!(ends[..2], [End::Closed, End::Closed], "a head without end is no request");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_settings_are_answered_only_as_fast_as_the_answers_are_taken() {
    let world = World::new().await;
    // Many at once, so that the test and not its system calls are the flood.
    let many = |one: Vec<u8>| one.repeat(1_000);
    let (ping, settings) =
        (many(frame(PING, 0, 0, &[7; 8])), many(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])));
    let floods = async {
        vec![
            flood(&world, &[], 3_000, |_| ping.clone(), false).await.0,
            flood(&world, &[], 3_000, |_| settings.clone(), false).await.0,
        ]
    };
    let ends = survive(&world, floods).await;
    assert!(!ends.contains(&End::Taken), "a peer that reads no answer is not read for ever: {ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_bound_are_refused() {
    let world = World::new().await;
    // Requests whose bodies never come.
    let open = |n: u32| frame(HEADERS, END_HEADERS, 2 * n + 1, BLOCK);
    survive(&world, async { vec![flood(&world, &[], 50_000, open, true).await.0] }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_wait_in_the_repository() {
    let world = World::new().await;
    let mut script = b"commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline big\ndata 8000000\n".to_vec();
    script.extend(std::iter::repeat_n(*b"0123456789abcde\n", 500_000).flatten());
    script.push(b'\n');
    world.import(ObjectFormat::Sha1, &script);
    world.create("tools", ObjectFormat::Sha1).await;
    let repository = Some(RepositoryKey { path: "alice/tools".to_owned(), id: 0 });
    let request = GetBlobRequest { repository, path: "big".into(), ..Default::default() }.encode_to_vec();
    let mut message = vec![0];
    message.extend(u32::try_from(request.len()).unwrap().to_be_bytes());
    message.extend(request);
    let mut block = b"\x83\x86\x01\x01h".to_vec();
    let text = |bytes: &str| [&[u8::try_from(bytes.len()).unwrap()], bytes.as_bytes()].concat();
    block.extend([&b"\x04"[..], &text("/hakata.git.v1.BlobService/Get")].concat());
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("content-type", "application/grpc".to_owned()),
        ("te", "trailers".to_owned()),
    ] {
        block.extend([&b"\x00"[..], &text(name), &text(&value)].concat());
    }
    let ask = |n: u32| {
        let id = 2 * n + 1;
        [frame(HEADERS, END_HEADERS, id, &block), frame(DATA, END_STREAM, id, &message)].concat()
    };
    // No stream may send a byte: SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let closed = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    survive(&world, async {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(flood(&world, &closed, 60, ask, false).await);
        }
        held.into_iter().map(|(end, _held)| end).collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_never_get_to_the_point_are_cut_and_keep_nobody_out() {
    let settings = Settings { login: Duration::from_millis(500), ..Settings::default() };
    let world = World::with(settings.clone()).await;
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("k.pem"), made.signing_key.serialize_pem()).unwrap();
    let config = hakata_service::tls::Config {
        certificate: dir.path().join("c.pem"),
        key: dir.path().join("k.pem"),
        client_authority: None,
    };
    let tls = hakata_service::tls::Tls::load(config).unwrap();
    let tokens = Tokens::new(vec![Secret::new(TOKEN.to_owned())]);
    let secured = crate::fixture::serve(world.local.clone(), tokens, settings, Some(tls), &world.tasks);
    // The beginning of a ClientHello, of a preface, of a request; and nothing at all.
    let begins = [
        (secured.0, &b"\x16\x03\x01\x02\x00\x01"[..]),
        (secured.1, b"\x16\x03\x01\x02\x00\x01"),
        (secured.0, b""),
        (secured.1, b""),
        (world.grpc_at, b"PRI * HT"),
        (world.grpc_at, b""),
        (world.msgpack_at, b"\x94"),
        (world.msgpack_at, b""),
    ];
    let mut silent = Vec::new();
    for (at, begin) in begins {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(begin).await.unwrap();
            silent.push(stream);
        }
    }
    let known = grpc::Grpc::lazy(&endpoint(world.grpc_at)).unwrap();
    known.info(Call::default(), InfoRequest {}).await.unwrap();
    world.msgpack().info(Call::default(), InfoRequest {}).await.unwrap();
    for mut stream in silent {
        let mut said = Vec::new();
        // A reset is as good an end as a close.
        let _ = timeout(LONG, stream.read_to_end(&mut said)).await.expect("nobody is waited for");
    }
}
