//! What no client of git would say in a session.

use hakata_forge::lfs::Operation::Upload;
use hakata_pkt_line::{DELIM, FLUSH, encode};

use crate::fixture::{Fixture, oid};
use crate::talk::{Section, request};

/// Commands, their arguments, and what they hear.
const LINES: &[(&str, &[&str], u16)] = &[
    ("", &[], 400),
    (" ", &[], 400),
    ("\u{0}", &[], 400),
    ("\u{1b}[2J", &[], 400),
    ("batch extra", &[], 400),
    ("LOCK", &[], 400),
    ("sh -c id", &[], 400),
    ("get-object", &[], 422),
    ("get-object ../../../../etc/passwd", &[], 422),
    ("put-object ../../../../etc/passwd", &["size=1"], 422),
    ("verify-object", &["size=1"], 422),
    ("unlock ../1", &[], 404),
    ("unlock 99999999999999999999", &[], 404),
    ("lock", &["path"], 400),
    ("lock", &["path=a", "path=b"], 400),
    ("lock", &["path=a\u{0}b"], 400),
    ("lock", &["path=../../etc/passwd"], 422),
    ("lock", &["path=a//b"], 422),
    ("PUT", &["size=-1"], 422),
    ("PUT", &["size=x"], 422),
    ("PUT", &["size=99999999999999999999"], 422),
    ("PUT", &["size=9223372036854775808"], 400),
    ("PUT", &["size="], 400),
    ("PUT", &["size=5", "token=' OR 1=1 --"], 403),
    ("PUT", &["size=5", "token=hkl_"], 403),
    ("list-lock", &["limit=-1"], 422),
    ("list-lock", &["cursor=ffffffffffffffff-1"], 422),
    ("unlock 1", &["force=maybe"], 422),
];

/// Each line is answered in the protocol, and the session goes on behind it.
#[tokio::test]
async fn every_line_that_makes_no_sense_is_answered() {
    let fixture = Fixture::start().await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let put = format!("put-object {}", oid(b"hello"));
    for (command, arguments, status) in LINES {
        let command = if *command == "PUT" { &put[..] } else { command };
        let given: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let heard = talk.ask(command, &given, Section::None).await;
        assert_eq!(heard.status, *status, "{command} {arguments:?} {heard:?}");
        assert!(heard.lines()[0].chars().all(|c| !c.is_control()), "{command}: {heard:?}");
    }
    assert_eq!(talk.ask("quit", &[], Section::None).await.status, 200, "and it still listens");
    assert_eq!(talk.end().await.0, 0);
}

/// What is too long, too much or no text is refused, whatever stands behind it, and the session goes on.
#[tokio::test]
async fn every_request_that_is_too_much_is_answered() {
    let fixture = Fixture::start().await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let (good, long) = (oid(b"hello"), "a".repeat(60_000));
    assert_eq!(talk.ask(&long, &[], Section::None).await.status, 413);
    assert_eq!(talk.ask("lock", &[format!("path={long}")], Section::None).await.status, 413);
    let many: Vec<String> = (0..500).map(|n| format!("n{n}=1")).collect();
    assert_eq!(talk.ask("lock", &many, Section::None).await.status, 400);
    for line in ["", &good, "../../etc/passwd 1", "\u{0}", &long] {
        let heard = talk.ask("batch", &[], Section::Lines(&[line.to_owned()])).await;
        assert!(matches!(heard.status, 400 | 413 | 422), "{heard:?}");
    }
    let mut raw = Vec::new();
    encode(b"lock\n", &mut raw);
    encode(b"path=\xff\xfe\n", &mut raw);
    raw.extend_from_slice(FLUSH);
    talk.send(&raw).await;
    assert_eq!(talk.hear().await.status, 400, "what is no text is no path here");
    let heard = talk.ask("put-object x", &[], Section::Data(b"what nobody asked for")).await;
    assert_eq!(heard.status, 422, "bytes behind a request that is refused are passed over");
    assert_eq!(talk.ask("batch", &[], Section::Data(b"no line")).await.status, 422);
    assert_eq!(talk.ask("quit", &[], Section::None).await.status, 200, "and it still listens");
    assert_eq!(talk.end().await.0, 0);
}

/// What is no pkt-line ends the session, after a word about it.
#[tokio::test]
async fn what_is_no_packet_ends_the_session() {
    let fixture = Fixture::start().await;
    let put = request(&format!("put-object {}", oid(b"hello")), &["size=5".to_owned()], Section::Data(b"he"));
    let in_data = [&put[..put.len() - FLUSH.len()], b"zzzz"].concat();
    let second_delim = [&put[..put.len() - FLUSH.len()], DELIM].concat();
    for (bytes, hears) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], true),
        (b"0003", true),
        (b"fff1aaaa", true),
        (b"0000", true),
        (b"0001", true),
        (b"0002", true),
        (&[0; 64], true),
        (&in_data, true),
        (&second_delim, true),
        (b"", false),
        (b"00", false),
        (b"0010batch", false),
        (b"000abatch\n", false),
    ] {
        let mut talk = fixture.session("alice", "alice/tools", Upload).await;
        talk.send(bytes).await;
        if hears {
            let heard = talk.hear().await;
            assert!(matches!(heard.status, 400 | 422 | 503), "{bytes:?}: {heard:?}");
            assert!(!heard.lines().is_empty(), "{bytes:?}");
        }
        let (status, _) = talk.end().await;
        assert!(status == 1 || bytes.len() < 12, "{bytes:?}");
    }
    assert_eq!(fixture.n_files(), 0);
}

/// An endless request is no way to keep a session busy.
#[tokio::test]
async fn a_request_without_end_is_cut() {
    let fixture = Fixture::start().await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let mut endless = Vec::new();
    (0..5_000).for_each(|n| encode(format!("n{n}=1\n").as_bytes(), &mut endless));
    talk.send(&endless).await;
    assert_eq!(talk.hear().await.status, 400);
    assert_eq!(talk.end().await.0, 1);
}
