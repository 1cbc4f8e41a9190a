//! Requests that no client of good will sends.

use hakata_names::{ObjectFormat, Oid};
use hakata_pkt_line::{FLUSH, encode};
use proptest::prelude::*;

use super::{V0, V2, ask, v2};
use crate::serve::{
    BoxFuture, Directory, FetchLimits, FetchStats, Mode, OpenDirectoryError, Output, Protocol,
    ProtocolVersion, RequestError, ServeError, Source, UploadPack, upload_pack,
};
use crate::testing::{self, Bench};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

fn raw(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    lines.iter().for_each(|line| encode(line.as_bytes(), &mut out));
    out.extend_from_slice(FLUSH);
    out
}

#[tokio::test]
async fn each_is_answered_by_an_error_line() {
    let bench = Bench::new().await;
    let (dir, [one, ..]) = bench.history(SHA1);
    let want = format!("want {one}");
    let many = vec![want.as_str(); 51];
    let unknown = format!("want {}", "ab".repeat(20));
    let fetch = |arguments: &[&str]| v2("fetch", SHA1, arguments);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", b"".to_vec(), "too early"),
        ("no pkt-line", b"GET / HTTP/1.1\r\n".to_vec(), "not hexadecimal"),
        ("impossible length", b"0003".to_vec(), "out of range"),
        ("cut within a line", b"0014command=ls".to_vec(), "too early"),
        ("cut before the flush", b"0014command=ls-refs\n".to_vec(), "too early"),
        ("no command", raw(&["agent=x"]), "no command requested"),
        ("unknown command", raw(&["command=push"]), "invalid command 'push'"),
        ("odd object-info", v2("object-info", SHA1, &["type"]), "unexpected line"),
        ("object-info of no object", v2("object-info", SHA1, &["size", "oid HEAD"]), "unexpected line"),
        ("bundle-uri is not offered", raw(&["command=bundle-uri"]), "invalid command"),
        ("two commands", raw(&["command=fetch", "command=ls-refs"]), "after another command"),
        ("unknown capability", raw(&["command=ls-refs", "x\u{1b}=1"]), "unknown capability 'x\\u{1b}=1'"),
        ("other format", raw(&["command=ls-refs", "object-format=sha256"]), "mismatched object format"),
        ("no such format", raw(&["command=ls-refs", "object-format=md5"]), "unknown object format"),
        ("odd ls-refs", v2("ls-refs", SHA1, &["peels"]), "unexpected line"),
        ("odd fetch", fetch(&[&want, "wants x"]), "unexpected line"),
        ("packfile-uris is not offered", fetch(&["packfile-uris https"]), "unexpected line"),
        ("short want", fetch(&["want abc"]), "unexpected line"),
        ("zero want", fetch(&[&format!("want {}", "0".repeat(40))]), "unexpected line"),
        ("unknown want", fetch(&[&unknown, "done"]), "upload-pack: not our ref abab"),
        ("unknown want among known ones", fetch(&[&want, &unknown, "done"]), "not our ref abab"),
        ("too many wants", fetch(&many), "too many wants in one request (limit 50)"),
        ("too many haves", fetch(&vec![format!("have {one}").as_str(); 51]), "too many haves"),
        ("unknown want-ref", fetch(&["want-ref refs/heads/none"]), "unknown ref refs/heads/none"),
        ("want-ref that is none", fetch(&["want-ref --evil"]), "unknown ref --evil"),
        (
            "want-ref twice",
            fetch(&["want-ref refs/heads/main", "want-ref refs/heads/main"]),
            "duplicate want-ref",
        ),
        ("deepen 0", fetch(&[&want, "deepen 0"]), "invalid deepen"),
        ("deepen -1", fetch(&[&want, "deepen -1"]), "invalid deepen"),
        ("deepen too deep", fetch(&[&want, "deepen 99999999999999999999"]), "invalid deepen"),
        ("deepen-since nonsense", fetch(&[&want, "deepen-since yesterday"]), "invalid deepen-since"),
        ("deepen-not nothing", fetch(&[&want, "deepen-not ../../x"]), "ambiguous deepen-not"),
        ("deepen both ways", fetch(&[&want, "deepen 1", "deepen-since 1"]), "cannot be used together"),
        ("filter by path", fetch(&[&want, "filter sparse:path=/etc/passwd"]), "not supported"),
        ("filter by expression", fetch(&[&want, "filter sparse:oid=HEAD:x"]), "not supported"),
    ];
    for (what, request, message) in cases {
        let (served, said) = ask(&bench, &dir, SHA1, V2, &request).await;
        assert!(matches!(served, Err(ServeError::Refused(_))), "{what}: {served:?}");
        let said = String::from_utf8_lossy(&said);
        assert!(said[4..].starts_with("ERR ") && said.contains(message), "{what}: {said}");
    }
}

#[tokio::test]
async fn version_zero_is_no_weaker() {
    let bench = Bench::new().await;
    let (dir, [one, ..]) = bench.history(SHA1);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", b"".to_vec(), "too early"),
        ("no flush", raw(&[&format!("want {one}")])[..50].to_vec(), "too early"),
        ("unknown want", raw(&[&format!("want {} side-band", "ab".repeat(20))]), "not our ref abab"),
        ("have first", raw(&[&format!("have {one}")]), "unexpected line"),
        ("other format", raw(&[&format!("want {one} object-format=sha256")]), "mismatched object format"),
        ("odd line", raw(&[&format!("want {one}"), "deepen-not nothing"]), "ambiguous deepen-not"),
        ("rubbish behind", [raw(&[&format!("want {one}")]), raw(&["hello"])].concat(), "unexpected line"),
    ];
    for (what, request, message) in cases {
        let (served, said) = ask(&bench, &dir, SHA1, V0, &request).await;
        assert!(matches!(served, Err(ServeError::Refused(_))), "{what}: {served:?}");
        let said = String::from_utf8_lossy(&said);
        assert!(said[4..].starts_with("ERR ") && said.contains(message), "{what}: {said}");
    }
    let (served, said) = ask(&bench, &dir, SHA1, V0, b"0000").await;
    assert!(served.is_ok() && said.is_empty(), "who wants nothing gets nothing");
}

#[tokio::test]
async fn hidden_history_is_out_of_reach() {
    let bench = Bench::new().await;
    let (dir, [one, two, three]) = bench.history(SHA1);
    let lost = testing::commit(&dir, "lost", &[three]);
    let blob = testing::object(&dir, "blob", b"one\n");
    let tag_of = |name: &str| {
        testing::git(&dir, &["tag", "-a", "-m", name, name, &one.to_string()]);
        Oid::parse_hex(testing::git(&dir, &["rev-parse", name]).trim().as_bytes()).unwrap()
    };
    let (dropped_tag, inner_tag) = (tag_of("dropped"), tag_of("inner"));
    testing::git(&dir, &["tag", "-a", "-m", "outer", "outer", "inner"]);
    testing::git(&dir, &["tag", "-d", "dropped", "inner"]);
    for graph in [false, true] {
        if graph {
            crate::maintain::write_commit_graph(&bench.git, &dir).await.unwrap();
        }
        for (what, oid, allowed) in [
            ("a tip", three, true),
            ("an ancestor", one, true),
            ("what a tag is about", two, true),
            ("a blob, for a partial clone", blob, true),
            ("a commit that was forced away", lost, false),
            ("a tag behind a tag", inner_tag, true),
            ("a tag that was deleted", dropped_tag, false),
        ] {
            for protocol in [V0, V2] {
                let request = match protocol.version {
                    ProtocolVersion::V2 => v2("fetch", SHA1, &[&format!("want {oid}"), "done"]),
                    _ => [raw(&[&format!("want {oid}")]), b"0009done\n".to_vec()].concat(),
                };
                let (served, _) = ask(&bench, &dir, SHA1, protocol, &request).await;
                match allowed {
                    true => assert!(served.is_ok(), "{what} {graph} {protocol:?}: {served:?}"),
                    false => {
                        let refused = matches!(&served, Err(ServeError::Refused(RequestError::NotOurRef(no))) if *no == oid);
                        assert!(refused, "{what} {graph} {protocol:?}: {served:?}");
                    }
                }
            }
        }
    }
}

/// A repository whose refs moved a moment ago.
struct Moved {
    dir: crate::GitDir,
    recent: Vec<Oid>,
}

impl Source for Moved {
    fn directory(&self) -> BoxFuture<'_, Result<Directory, OpenDirectoryError>> {
        self.dir.directory()
    }

    fn recent_tips(&self) -> BoxFuture<'_, Vec<Oid>> {
        Box::pin(std::future::ready(self.recent.clone()))
    }
}

#[tokio::test]
async fn a_clone_that_races_a_forced_push_succeeds() {
    let bench = Bench::new().await;
    let (dir, [_, _, three]) = bench.history(SHA1);
    let before = testing::commit(&dir, "before", &[three]);
    let last = testing::commit(&dir, "last", &[before]);
    let snapshot = testing::snapshot(&dir, SHA1);
    let source = Moved { dir, recent: vec![last] };
    for (oid, allowed) in [(last, true), (before, true), (testing::commit(&source.dir, "x", &[last]), false)]
    {
        let conversation = UploadPack {
            git: &bench.git,
            snapshot: &snapshot,
            source: &source,
            protocol: V2,
            limits: FetchLimits::default(),
        };
        let request = v2("fetch", SHA1, &[&format!("want {oid}"), "done"]);
        let mut said = Vec::new();
        let (mut stats, mut output) = (FetchStats::default(), Output::writer(&mut said));
        let served = upload_pack(conversation, &mut &request[..], &mut output, &mut stats).await;
        drop(output);
        assert_eq!(served.is_ok(), allowed, "{served:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_child_along() {
    let bench = Bench::new().await;
    let (dir, [_, _, three]) = bench.history(SHA1);
    let snapshot = testing::snapshot(&dir, SHA1);
    let request = v2("fetch", SHA1, &[&format!("want {three}"), "done"]);
    let (frames, receiver) = tokio::sync::mpsc::channel(1);
    drop(receiver);
    let conversation = UploadPack {
        git: &bench.git,
        snapshot: &snapshot,
        source: &dir,
        protocol: Protocol { version: ProtocolVersion::V2, mode: Mode::Stateless },
        limits: FetchLimits::default(),
    };
    let (mut stats, mut output) = (FetchStats::default(), Output::Frames(frames));
    let served = upload_pack(conversation, &mut &request[..], &mut output, &mut stats).await;
    assert!(matches!(served, Err(ServeError::Gone(_))), "{served:?}");
    assert_eq!(bench.git.children(), 0, "no permit is held any more");
    // One that leaves after the first words has had them.
    let (frames, mut receiver) = tokio::sync::mpsc::channel(1);
    let (mut stats, mut output) = (FetchStats::default(), Output::Frames(frames));
    let words = {
        let mut input = &request[..];
        let served = upload_pack(conversation, &mut input, &mut output, &mut stats);
        tokio::select! {
            words = receiver.recv() => words,
            served = served => served.ok().and_then(|()| receiver.try_recv().ok()),
        }
    };
    let words = words.map_or(0, |words| words.len());
    assert!(words > 0 && stats.sent_bytes >= words as u64, "{stats:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn hostile_bytes_never_panic(
        lines in proptest::collection::vec("(want |have |filter |deepen |command=|ref-prefix )?[a-f0-9 :=/-]{0,60}", 0..6),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new().await;
            let dir = bench.repository(SHA1);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let requests = [raw(&lines), v2("fetch", SHA1, &lines), v2("ls-refs", SHA1, &lines)];
            for request in requests.map(|request| [request, tail.clone()].concat()) {
                for protocol in [V0, V2] {
                    let _ = ask(&bench, &dir, SHA1, protocol, &request).await;
                }
            }
        });
    }
}
