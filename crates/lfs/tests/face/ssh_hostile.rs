//! What no client of git would say in a session.

use hakata_forge::lfs::Operation::Upload;
use hakata_pkt_line::{DELIM, FLUSH, encode};

use crate::fixture::{Fixture, oid};
use crate::talk::{Section, request};

/// Each line is answered in the protocol, and the session goes on behind it.
#[tokio::test]
async fn every_line_that_makes_no_sense_is_answered() {
    let fixture = Fixture::start().await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let good = oid(b"hello");
    let long = "a".repeat(60_000);
    let put = format!("put-object {good}");
    for (command, arguments, status) in [
        ("", &[][..], 400),
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
        ("lock", &["path=.git/config/.."], 422),
        (&long, &[], 413),
        ("lock", &[&format!("path={long}")], 413),
        (&put, &["size=-1"], 422),
        (&put, &["size=x"], 422),
        (&put, &["size=99999999999999999999"], 422),
        (&put, &["size=9223372036854775808"], 400),
        (&put, &["size="], 400),
        (&put, &["size=5", "token=' OR 1=1 --"], 403),
        ("version 1; id", &[], 400),
        ("list-lock", &["limit=-1"], 422),
        ("list-lock", &["cursor=ffffffffffffffff-1"], 422),
        ("unlock 1", &["force=maybe"], 422),
    ] {
        let given: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let heard = talk.ask(command, &given, Section::None).await;
        let shown = &command[..command.len().min(40)];
        assert_eq!(heard.status, status, "{shown} {heard:?}");
        assert!(heard.lines()[0].chars().all(|c| !c.is_control()), "{shown}: {heard:?}");
        if command.starts_with("version") {
            talk.ask("version 1", &[], Section::None).await;
        }
    }
    let many: Vec<String> = (0..500).map(|n| format!("n{n}=1")).collect();
    assert_eq!(talk.ask("lock", &many, Section::None).await.status, 400);
    for lines in [vec![""], vec![&good[..]], vec!["../../etc/passwd 1"], vec!["\u{0}"], vec![&long[..]]] {
        let lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        let heard = talk.ask("batch", &[], Section::Lines(&lines)).await;
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
