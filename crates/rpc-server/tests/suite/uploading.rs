//! Contents of files that are too long for a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use hakata_names::ObjectFormat;
use hakata_repository::Repository;
use hakata_rpc::msgpack::envelope::{self, Extras};
use hakata_rpc::msgpack::frame::Scanner;
use hakata_rpc::v1::{
    CommitFilesRequest, FileAct, FileChange, GetRefRequest, InfoRequest, MadeCommit, RepositoryKey, Signature,
};
use hakata_rpc::{Call, Code, Operations, Requests, Status};
use hakata_rpc_server::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{TOKEN, World, run};
use crate::gauges::{OPEN, UPLOADING, forget_peak, gauge, peak, until};

const SCRIPT: &[u8] = b"commit refs/heads/main\nmark :1\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline a\ndata 2\na\n\n";

/// A repository for each way.
const NAMES: [&str; 3] = ["one", "two", "three"];

async fn world(settings: Settings, format: ObjectFormat) -> World {
    hakata_runtime::metrics::register(&hakata_rpc_server::metrics());
    let world = World::with(settings).await;
    world.import(format, SCRIPT);
    for name in NAMES {
        world.create(name, format).await;
    }
    world
}

fn ways(world: &World) -> [(&'static str, Arc<dyn Operations>); 3] {
    let [one, two, three] = NAMES;
    [(one, world.local.clone()), (two, world.grpc().operations()), (three, world.msgpack().operations())]
}

fn key(name: &str) -> Option<RepositoryKey> {
    Some(RepositoryKey { path: format!("alice/{name}"), id: 0 })
}

fn commit(name: &str, changes: Vec<FileChange>) -> CommitFilesRequest {
    CommitFilesRequest {
        repository: key(name),
        ref_name: "refs/heads/main".into(),
        author: Some(Signature { name: "A".into(), email: "a@b".into(), time_s: 9, offset_minutes: 0 }),
        message: "long".into(),
        changes,
        ..CommitFilesRequest::default()
    }
}

/// A file whose content comes behind the request.
fn announced(path: &'static str, content_bytes: usize) -> FileChange {
    let content_bytes = content_bytes as u64;
    FileChange { act: FileAct::Put.into(), path: path.into(), content_bytes, ..FileChange::default() }
}

fn piece(content: impl Into<Bytes>) -> CommitFilesRequest {
    CommitFilesRequest { content: content.into(), ..CommitFilesRequest::default() }
}

/// A request and what it announces, in pieces.
fn said(first: CommitFilesRequest, content: &[u8], length: usize) -> Requests<CommitFilesRequest> {
    let pieces: Vec<_> = content.chunks(length).map(|bytes| Ok(piece(bytes.to_vec()))).collect();
    Requests::new(stream::iter([Ok(first)]).chain(stream::iter(pieces)))
}

/// Bytes that no compression makes shorter, from a place on.
fn noise(from: u64, length: usize) -> Vec<u8> {
    let mut state = from.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

async fn git(world: &World, name: &str, args: &[&str]) -> Vec<u8> {
    let repository = repository(world, name).await;
    assert_eq!(repository.verify().await.unwrap(), [], "rows, bytes and directory agree");
    run(repository.cache().await.unwrap().dir().path(), args, b"")
}

async fn repository(world: &World, name: &str) -> Repository {
    let path = hakata_names::RepositoryPath::parse(&format!("alice/{name}")).unwrap();
    let row = world.repositories.find(&path).await.unwrap().unwrap();
    world.repositories.open_row(&row).await.unwrap()
}

async fn tip(to: &dyn Operations, name: &str) -> Bytes {
    let request = GetRefRequest { repository: key(name), ref_name: "refs/heads/main".into() };
    to.get_ref(Call::default(), request).await.unwrap().target_oid
}

#[tokio::test(flavor = "multi_thread")]
async fn long_contents_are_committed_alike_in_all_ways() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let world = world(Settings::default(), format).await;
        let (big, text) = (noise(1, 700_000), b"0123456789abcde\n".repeat(9_000));
        let all = [&big[..], &text, b"end", &text].concat();
        let mut answers: Vec<Result<MadeCommit, Status>> = Vec::new();
        for (name, to) in ways(&world) {
            let inline = FileChange {
                act: FileAct::Put.into(),
                path: "inline".into(),
                content: "here\n".into(),
                ..FileChange::default()
            };
            let moved = FileChange {
                act: FileAct::Move.into(),
                from_path: "a".into(),
                with_content: true,
                ..announced("moved", 3)
            };
            let changes = vec![
                announced("big", big.len()),
                inline,
                announced("text", text.len()),
                moved,
                announced("again", text.len()),
            ];
            answers.push(to.commit_files(Call::default(), said(commit(name, changes), &all, 60_001)).await);
            for (path, content) in [("big", &big[..]), ("text", &text), ("moved", b"end"), ("again", &text)] {
                let read = git(&world, name, &["cat-file", "blob", &format!("main:{path}")]).await;
                assert!(read == content, "{path} of {name}");
            }
            let listed = git(&world, name, &["ls-tree", "-r", "--name-only", "main"]).await;
            assert_eq!(String::from_utf8(listed).unwrap(), "again\nbig\ninline\nmoved\ntext\n");
        }
        assert!(answers.iter().all(|answer| answer == &answers[0] && answer.is_ok()), "{answers:?}");
        assert_eq!(gauge(UPLOADING), 0, "room is given back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_are_not_what_was_announced_are_refused_and_nothing_changes() {
    let world = world(Settings::default(), ObjectFormat::Sha1).await;
    for (name, to) in ways(&world) {
        let before = tip(&*to, name).await;
        let two = || commit(name, vec![announced("x", 5), announced("y", 5)]);
        let delete = FileChange { act: FileAct::Delete.into(), ..announced("a", 5) };
        let both = FileChange { content: "x".into(), ..announced("x", 5) };
        let mixed = [Ok(two()), Ok(CommitFilesRequest { message: "other".into(), ..piece("0123456789") })];
        let wrong = [
            said(two(), b"012345678", 4),
            said(two(), b"0123456789a", 4),
            said(two(), b"0123456789a", 20),
            said(commit(name, vec![delete]), b"01234", 9),
            said(commit(name, vec![both]), b"01234", 9),
            said(commit(name, Vec::new()), b"01234", 9),
            said(CommitFilesRequest { content: "01234".into(), ..two() }, b"56789", 9),
            Requests::new(stream::iter(mixed)),
        ];
        for (nth, requests) in wrong.into_iter().enumerate() {
            let refused = to.commit_files(Call::default(), requests).await.unwrap_err();
            assert_eq!(refused.code, Code::InvalidArgument, "{nth} {name}: {refused}");
        }
        // What is in the way is told before the contents come, which here never do.
        let stale = CommitFilesRequest { expected_oid: vec![7; 20].into(), ..two() };
        let waits = Requests::new(stream::iter([Ok(stale), Ok(piece("01"))]).chain(stream::pending()));
        let stale = to.commit_files(Call::default(), waits).await.unwrap_err();
        assert_eq!(stale.code, Code::Aborted, "{name}");
        let own = Status::new(Code::NotFound, "the caller's own source broke");
        let breaks = stream::iter([Ok(two()), Ok(piece("01")), Err(own.clone())]);
        let broken = to.commit_files(Call::default(), Requests::new(breaks)).await.unwrap_err();
        assert_eq!((broken.code, &broken.message), (own.code, &own.message), "{name}");
        until(OPEN, |n| n == 0).await;
        until(UPLOADING, |n| n == 0).await;
        assert_eq!(tip(&*to, name).await, before, "{name}");
    }
    world.has_no_quarantine();
}

#[tokio::test(flavor = "multi_thread")]
async fn room_for_contents_is_bounded_for_one_call_and_for_all() {
    let settings = Settings { max_upload_bytes: 1_000, max_uploads_bytes: 1_500, ..Settings::default() };
    let world = world(settings, ObjectFormat::Sha1).await;
    let [(_, local), ..] = ways(&world);
    for (name, to) in ways(&world) {
        let large = said(commit(name, vec![announced("x", 600), announced("y", 600)]), &[0; 1_200], 600);
        let large = to.commit_files(Call::default(), large).await.unwrap_err();
        assert_eq!(large.code, Code::ResourceExhausted, "{name}");

        let waiting = commit("one", vec![announced("x", 900)]);
        let waiting = Requests::new(stream::iter([Ok(waiting)]).chain(stream::pending()));
        let waiting = tokio::spawn(local.commit_files(Call::default(), waiting));
        until(UPLOADING, |n| n == 900).await;
        let second = || said(commit(name, vec![announced("x", 700)]), &noise(3, 700), 600);
        let full = to.commit_files(Call::default(), second()).await.unwrap_err();
        assert_eq!(full.code, Code::ResourceExhausted, "{name}");
        assert!(full.detail.unwrap().retry_after_ms > 0, "it says when to try again");
        waiting.abort();
        until(UPLOADING, |n| n == 0).await;
        assert!(to.commit_files(Call::default(), second()).await.is_ok(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_of_a_request_whose_caller_leaves() {
    let world = world(Settings::default(), ObjectFormat::Sha1).await;
    for (name, to) in ways(&world) {
        let before = tip(&*to, name).await;
        let begun = commit(name, vec![announced("x", 1_000_000)]);
        let begun = stream::iter([Ok(begun), Ok(piece(noise(1, 50_000))), Ok(piece(noise(2, 50_000)))]);
        let asking =
            tokio::spawn(to.commit_files(Call::default(), Requests::new(begun.chain(stream::pending()))));
        until(UPLOADING, |n| n == 1_000_000).await;
        asking.abort();
        until(UPLOADING, |n| n == 0).await;
        until(OPEN, |n| n == 0).await;
        assert_eq!(tip(&*to, name).await, before, "{name}");
    }
    world.has_no_quarantine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_made_is_answered_by_its_first_message_alone() {
    let world = world(Settings::default(), ObjectFormat::Sha1).await;
    for (name, to) in ways(&world) {
        let call = Call { idempotency_key: Some("one".to_owned()), ..Call::default() };
        let request = commit(name, vec![announced("x", 300_000)]);
        let alone = to.commit_files(call.clone(), request.clone().into()).await.unwrap_err();
        assert_eq!(alone.code, Code::InvalidArgument, "there is nothing to answer with: {alone}");
        let made = to.commit_files(call.clone(), said(request.clone(), &noise(1, 300_000), 65_536)).await;
        assert!(made.is_ok(), "{made:?}");
        assert_eq!(to.commit_files(call.clone(), request.clone().into()).await, made, "{name}");
        // One that says everything again is not heard to its end.
        assert_eq!(to.commit_files(call, said(request, &noise(1, 300_000), 65_536)).await, made, "{name}");
    }
}

/// What a call may make a process of server and client, unoptimised, grow: buffers of sockets and pipes.
const MAX_GROWTH_BYTES: u64 = 24 << 20;

/// Longer than any buffer, and than what may be made in memory.
const LONG: usize = 96 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_whatever_a_content_is_long() {
    let world = world(Settings::default(), ObjectFormat::Sha1).await;
    for (name, to) in ways(&world) {
        let content = noise(7, 1 << 20);
        let send = |length: usize| {
            let (first, content) =
                (commit(name, vec![announced("big", length)]), Bytes::from(content.clone()));
            let n = length / content.len();
            let pieces = stream::iter(0..n * 8).map(move |nth| {
                // Each mebibyte begins otherwise, so that compression finds nothing.
                let at = (nth % 8) * (128 << 10);
                let mut bytes = content[at..at + (128 << 10)].to_vec();
                bytes.rotate_left(nth / 8);
                Ok(piece(bytes))
            });
            Requests::new(stream::iter([Ok(first)]).chain(pieces))
        };
        to.commit_files(Call::default(), send(2 << 20)).await.unwrap();
        let before = forget_peak();
        let made = to.commit_files(Call::default(), send(LONG)).await;
        let grown = peak().saturating_sub(before);
        assert!(made.is_ok(), "{name}: {made:?}");
        assert!(grown < MAX_GROWTH_BYTES, "{name}: {} MiB", grown >> 20);
        let cache = repository(&world, name).await.cache().await.unwrap();
        let size = run(cache.dir().path(), &["cat-file", "-s", "main:big"], b"");
        assert_eq!(String::from_utf8(size).unwrap().trim(), LONG.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_its_next_part_only_so_long() {
    let settings = Settings { kept_life: Duration::from_millis(50), ..Settings::default() };
    let world = world(settings, ObjectFormat::Sha1).await;
    let begun = commit("three", vec![announced("x", 1_000)]);
    let begun = stream::iter([Ok(begun), Ok(piece("0")), Ok(piece("1"))]);
    let to: Arc<dyn Operations> = world.msgpack().operations();
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let late = stream::once(async move {
        let _ = told.await;
        Ok(piece("2"))
    });
    let asking = tokio::spawn(to.commit_files(Call::default(), Requests::new(begun.chain(late))));
    until(UPLOADING, |n| n == 1_000).await;
    until(UPLOADING, |n| n == 0).await;
    tell.send(()).unwrap();
    assert_eq!(asking.await.unwrap().unwrap_err().code, Code::NotFound);
}

/// A connection on which requests are written by hand.
struct Raw {
    stream: TcpStream,
    scanner: Scanner,
    bytes: BytesMut,
}

impl Raw {
    async fn open(world: &World) -> Self {
        let mut stream = TcpStream::connect(world.msgpack_at).await.unwrap();
        stream.write_all(&envelope::auth(0, TOKEN)).await.unwrap();
        let mut raw = Self { stream, scanner: Scanner::new(1 << 20), bytes: BytesMut::new() };
        raw.answer().await.1.unwrap();
        raw
    }

    async fn ask(&mut self, msgid: u32, method: &str, params: &[u8]) {
        self.stream.write_all(&envelope::request(msgid, method, params)).await.unwrap();
    }

    /// Reads the next answer: the number of its request, and the result or a code.
    async fn answer(&mut self) -> (u32, Result<Bytes, Code>) {
        loop {
            if let Some(length) = self.scanner.scan(&self.bytes).unwrap() {
                let answer = envelope::answered(&self.bytes.split_to(length).freeze()).unwrap();
                let error = answer.error.map(|error| envelope::status(&error).code);
                return (answer.msgid, error.map_or(Ok(answer.result), Err));
            }
            assert!(self.stream.read_buf(&mut self.bytes).await.unwrap() > 0, "the server goes on");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_parts_belongs_to_its_connection_and_there_are_only_so_many() {
    let world = world(Settings { max_kept: 2, ..Settings::default() }, ObjectFormat::Sha1).await;
    let method = "merge.commit_files";
    let mut begins = Extras::from(&Call::default());
    begins.more = true;
    let begun = envelope::params_of(&commit("three", vec![announced("x", 10)]), &begins).unwrap();
    let goes_on = |handle: &str| {
        let mut extras = Extras::from(&Call::default());
        extras.upload = Some(handle.to_owned());
        envelope::params_of(&piece("0123456789"), &extras).unwrap()
    };
    let mut owner = Raw::open(&world).await;
    let mut handles = Vec::new();
    for msgid in 1..=4 {
        owner.ask(msgid, method, &begun).await;
        match owner.answer().await.1 {
            Ok(result) => handles.push(envelope::decode::<BTreeMap<String, String>>(&result).unwrap()),
            Err(code) => assert_eq!(code, Code::ResourceExhausted),
        }
    }
    assert_eq!(handles.len(), 2, "so many wait, and no more");
    let handle = &handles[0]["upload"];
    let mut stranger = Raw::open(&world).await;
    for (msgid, method, params, code) in [
        (1, method, goes_on(handle), Code::NotFound),
        (2, method, goes_on("nobody"), Code::NotFound),
        (3, "server.info", envelope::params_of(&InfoRequest {}, &begins).unwrap(), Code::InvalidArgument),
    ] {
        stranger.ask(msgid, method, &params).await;
        assert_eq!(stranger.answer().await, (msgid, Err(code)));
    }
    owner.ask(9, method, &goes_on(handle)).await;
    assert!(owner.answer().await.1.is_ok(), "its own connection knows it");
    drop(owner);
    until(OPEN, |n| n == 0).await;
    until(UPLOADING, |n| n == 0).await;
}
