//! Sessions over SSH as clients hold them.

use hakata_forge::lfs::Operation::{Download, Upload};
use hakata_lfs::Settings;
use hakata_pkt_line::{DELIM, encode};
use serde_json::json;

use crate::fixture::{Fixture, download, oid};
use crate::talk::{Section, Talk, arguments, line};

/// Bob may push to `alice/tools`.
async fn with_bob() -> Fixture {
    let fixture = Fixture::start().await;
    let invite = json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": "developer" });
    fixture.run(invite).await;
    fixture
}

/// Asks a batch for these objects.
async fn batch(talk: &mut Talk, objects: &[&[u8]]) -> Vec<String> {
    let lines: Vec<String> = objects.iter().map(|bytes| line(bytes)).collect();
    let given = ["transfer=ssh", "hash-algo=sha256", "refname=refs/heads/main", "unknown=1"];
    let heard = talk.ask("batch", &given.map(str::to_owned), Section::Lines(&lines)).await;
    assert_eq!((heard.status, heard.argument("hash-algo")), (200, "sha256"), "{heard:?}");
    heard.lines()
}

/// Sends an object as a client does.
async fn put(talk: &mut Talk, bytes: &[u8]) {
    let answer = batch(talk, &[bytes]).await;
    let given = arguments(&answer[0]);
    let heard = talk.ask(&format!("put-object {}", oid(bytes)), &given, Section::Data(bytes)).await;
    assert_eq!(heard.status, 200, "{heard:?}");
    let heard = talk.ask(&format!("verify-object {}", oid(bytes)), &given, Section::None).await;
    assert_eq!(heard.status, 200, "{heard:?}");
}

#[tokio::test]
async fn h3_a_version_is_agreed_on_first() {
    let fixture = Fixture::start().await;
    let mut talk = fixture.open("alice", "alice/tools", Upload).await;
    assert_eq!(talk.greeting().await, ["version=1", "locking"]);
    for (command, status) in
        [("batch", 400), ("version 2", 400), ("version", 400), ("version 1", 200), ("batch", 200)]
    {
        let heard = talk.ask(command, &[], Section::None).await;
        assert_eq!(heard.status, status, "{command}: {heard:?}");
        assert_eq!(heard.lines().is_empty(), status == 200, "a refusal says why");
    }
    let heard = talk.ask("quit", &[], Section::None).await;
    assert_eq!((heard.status, heard.section.is_none()), (200, true), "clients read no delimiter here");
    assert_eq!(talk.end().await, (0, String::new()));
}

#[tokio::test]
async fn h4_h5_what_was_sent_comes_back() {
    let fixture = Fixture::start().await;
    let large = vec![7; 300_000];
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let answer = batch(&mut talk, &[&large, b"hello"]).await;
    assert_eq!(answer.len(), 2);
    let words: Vec<&str> = answer[0].split(' ').collect();
    assert_eq!((words[0], words[1], words[2]), (&oid(&large)[..], "300000", "upload"));
    assert!(words[3].starts_with("token=hkl_") && words[4] == "expires-in=3600", "{words:?}");
    let ends = words[5].strip_prefix("expires-at=").unwrap();
    assert!(ends.len() == 20 && ends.ends_with('Z'), "RFC 3339 by the second: {ends}");
    for bytes in [&large[..], b"hello", b""] {
        put(&mut talk, bytes).await;
    }
    assert_eq!(batch(&mut talk, &[&large]).await, [format!("{} noop", line(&large))], "b6");
    let mut talk = fixture.session("alice", "alice/tools", Download).await;
    for bytes in [&large[..], b"hello", b""] {
        let answer = batch(&mut talk, &[bytes]).await;
        let heard =
            talk.ask(&format!("get-object {}", oid(bytes)), &arguments(&answer[0]), Section::None).await;
        assert_eq!((heard.status, heard.argument("size")), (200, &bytes.len().to_string()[..]));
        assert_eq!(heard.section.unwrap().concat(), bytes);
    }
    let told = fixture.batch("alice", "alice/tools", &download(&[&large])).await.json();
    assert!(told["objects"][0]["actions"]["download"].is_object(), "it is the same object over HTTP: {told}");
}

#[tokio::test]
async fn t2_wrong_bytes_leave_nothing_and_the_session_goes_on() {
    let fixture = Fixture::start().await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let put = format!("put-object {}", oid(b"hello"));
    let size = |n: u64| vec![format!("size={n}")];
    for (bytes, n, words) in [
        (&b"jello"[..], 5, "hashes to"),
        (b"hell", 5, "ends after 4 of 5 bytes"),
        (b"hello!", 5, "longer than the 5 bytes"),
        (&[7; 200_000], 5, "longer than the 5 bytes"),
        (b"", 5, "ends after 0 of 5 bytes"),
    ] {
        let heard = talk.ask(&put, &size(n), Section::Data(bytes)).await;
        assert_eq!(heard.status, 422, "{heard:?}");
        assert!(heard.lines()[0].contains(words), "{heard:?}");
    }
    let heard = talk.ask(&put, &[], Section::Data(b"hello")).await;
    assert_eq!(heard.status, 400, "how long it is must be said: {heard:?}");
    let heard = talk.ask(&format!("verify-object {}", oid(b"hello")), &size(5), Section::None).await;
    assert_eq!(heard.status, 404, "h7: verifying looks");
    assert_eq!(fixture.n_files(), 0);
    assert_eq!(talk.ask(&put, &size(5), Section::Data(b"hello")).await.status, 200);
    let heard = talk.ask(&format!("verify-object {}", oid(b"hello")), &size(6), Section::None).await;
    assert_eq!(heard.status, 422, "t6");
}

/// A batch is refused where nothing of it could be done; otherwise each object is when it is asked for.
#[tokio::test]
async fn b3_b11_objects_are_refused_with_words() {
    let fixture = Fixture::start().await;
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "10B" });
    fixture.run(quota).await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    put(&mut talk, b"hello").await;
    let lines = [line(b"ok"), line(b"too long for it")];
    let heard = talk.ask("batch", &[], Section::Lines(&lines)).await;
    assert_eq!(heard.status, 507, "x6");
    assert!(
        heard.lines()[0].contains(&oid(b"too long for it")) && heard.lines()[0].contains("are left"),
        "{heard:?}"
    );
    assert_eq!(batch(&mut talk, &[b"whole"]).await.len(), 1, "what a refused batch reserved is free again");
    let heard = talk.ask("batch", &[], Section::Lines(&[format!("{} {}", oid(b"x"), 1_u64 << 40)])).await;
    assert_eq!(heard.status, 422, "{heard:?}");
    for (argument, status) in [("hash-algo=blake3", 409), ("transfer=basic", 422)] {
        let heard = talk.ask("batch", &[argument.to_owned()], Section::Lines(&[line(b"a")])).await;
        assert_eq!(heard.status, status, "{argument}");
    }
    let mut talk = fixture.session("alice", "alice/tools", Download).await;
    let heard = talk.ask("batch", &[], Section::Lines(&[line(b"absent")])).await;
    assert_eq!(heard.status, 404, "{heard:?}");
    let some = batch(&mut talk, &[b"hello", b"absent"]).await;
    assert_eq!(some.len(), 2, "what is there can be had");
    for (bytes, size, status) in [(&b"absent"[..], 6, 404), (b"hello", 6, 422), (b"hello", 5, 200)] {
        let given = [format!("size={size}")];
        let heard = talk.ask(&format!("get-object {}", oid(bytes)), &given, Section::None).await;
        assert_eq!(heard.status, status, "{heard:?}");
        assert!(heard.section.is_some(), "clients read a delimiter in any answer to this");
    }
}

#[tokio::test]
async fn security_19_a_token_is_for_one_object_and_a_session_for_one_thing() {
    let fixture = with_bob().await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let mine = batch(&mut talk, &[b"mine"]).await;
    let mut bobs = fixture.session("bob", "alice/tools", Upload).await;
    let theirs = batch(&mut bobs, &[b"mine"]).await;
    for (line, what) in [(&mine[0], b"nine"), (&theirs[0], b"mine")] {
        let heard =
            talk.ask(&format!("put-object {}", oid(what)), &arguments(line), Section::Data(what)).await;
        assert_eq!(heard.status, 403, "{heard:?}");
    }
    let other = ["size=4".to_owned(), "token=hkl_AAAA".to_owned()];
    let heard = talk.ask(&format!("put-object {}", oid(b"mine")), &other, Section::Data(b"mine")).await;
    assert_eq!(heard.status, 403, "{heard:?}");
    let heard = talk.ask(&format!("get-object {}", oid(b"mine")), &[], Section::None).await;
    assert_eq!(heard.status, 403, "sending is not fetching: {heard:?}");
    put(&mut talk, b"mine").await;
    let mut talk = fixture.session("alice", "alice/tools", Download).await;
    for command in ["put-object", "verify-object"] {
        let size = ["size=4".to_owned()];
        let heard = talk.ask(&format!("{command} {}", oid(b"mine")), &size, Section::None).await;
        assert_eq!(heard.status, 403, "{command}: {heard:?}");
    }
    for command in ["lock", "unlock 1"] {
        assert_eq!(talk.ask(command, &["path=a".to_owned()], Section::None).await.status, 403, "{command}");
    }
}

/// What is judged is judged with each request: who was sent away hears it in the next.
#[tokio::test]
async fn a_session_ends_with_its_right() {
    let fixture = with_bob().await;
    let mut talk = fixture.session("bob", "alice/tools", Upload).await;
    put(&mut talk, b"before").await;
    let out = json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": null });
    fixture.run(out).await;
    let heard = talk.ask("batch", &[], Section::Lines(&[line(b"after")])).await;
    assert_eq!(heard.status, 404, "{heard:?}");
}

#[tokio::test]
async fn h6_locks_have_all_four_arguments_everywhere() {
    let fixture = with_bob().await;
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    let path = ["path=art/a b=c.psd".to_owned(), "refname=refs/heads/main".to_owned()];
    let made = talk.ask("lock", &path, Section::None).await;
    assert_eq!(
        (made.status, made.argument("path"), made.argument("ownername")),
        (201, "art/a b=c.psd", "alice")
    );
    let (id, at) = (made.argument("id").to_owned(), made.argument("locked-at").to_owned());
    assert!(at.len() == 20 && at.ends_with('Z'), "{at}");
    let mut bobs = fixture.session("bob", "alice/tools", Upload).await;
    let held = bobs.ask("lock", &path, Section::None).await;
    assert_eq!((held.status, held.argument("id"), held.argument("ownername")), (409, &id[..], "alice"));
    assert_eq!(held.lines(), ["already locked by alice"]);
    assert_eq!(bobs.ask("lock", &["path=b".to_owned()], Section::None).await.status, 201);
    let refused = bobs.ask(&format!("unlock {id}"), &[], Section::None).await;
    assert_eq!((refused.status, refused.lines().len()), (403, 1), "{refused:?}");
    let forced = bobs.ask(&format!("unlock {id}"), &["force=true".to_owned()], Section::None).await;
    assert_eq!(forced.status, 403, "a developer is no maintainer: {forced:?}");
    for bad in ["path=", "path=/a", "path=a/../b", "x=1"] {
        assert_eq!(talk.ask("lock", &[bad.to_owned()], Section::None).await.status, 422, "{bad}");
    }
    let gone = talk.ask(&format!("unlock {id}"), &[], Section::None).await;
    assert_eq!((gone.status, gone.argument("id"), gone.argument("locked-at")), (200, &id[..], &at[..]));
    assert_eq!((gone.argument("path"), gone.argument("ownername")), ("art/a b=c.psd", "alice"));
    assert_eq!(talk.ask(&format!("unlock {id}"), &[], Section::None).await.status, 404);
}

#[tokio::test]
async fn l3_l4_locks_are_listed_by_whose_they_are_and_in_pages() {
    let fixture = with_bob().await;
    let mut alices = fixture.session("alice", "alice/tools", Upload).await;
    let mut bobs = fixture.session("bob", "alice/tools", Upload).await;
    let none = alices.ask("list-lock", &[], Section::None).await;
    assert_eq!((none.status, none.section), (200, Some(Vec::new())));
    alices.ask("lock", &["path=a x".to_owned()], Section::None).await;
    bobs.ask("lock", &["path=b".to_owned()], Section::None).await;
    // git-lfs 3.3 asks with an s before each push.
    for command in ["list-lock", "list-locks"] {
        let heard = bobs.ask(command, &["refname=refs/heads/main".to_owned()], Section::None).await;
        let lines = heard.lines();
        let told = |tail: &str| lines.iter().filter(|line| line.ends_with(tail)).count();
        assert_eq!((lines.len(), told(" ours"), told(" theirs"), told(" a x")), (10, 1, 1, 1), "{lines:?}");
    }
    let mut reads = fixture.session("bob", "alice/tools", Download).await;
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let given = ["limit=1".to_owned(), format!("cursor={cursor}")];
        let heard = reads.ask("list-lock", &given, Section::None).await;
        let lines = heard.lines();
        assert_eq!(lines.len(), 4, "who reads is not told whose: {lines:?}");
        let id = lines[0].strip_prefix("lock ").unwrap();
        assert!(lines[1..].iter().all(|line| line.split(' ').nth(1) == Some(id)), "{lines:?}");
        found.push(lines[1].clone());
        match heard.arguments.as_slice() {
            [] => break,
            [_] => heard.argument("next-cursor").clone_into(&mut cursor),
            more => panic!("{more:?}"),
        }
    }
    assert_eq!(found.len(), 2);
    for (condition, n) in
        [("path=a x", 4), ("path=absent", 0), ("path=../x", 0), ("id=x", 0), ("refspec=main", 8)]
    {
        let heard = reads.ask("list-lock", &[condition.to_owned()], Section::None).await;
        assert_eq!((heard.status, heard.lines().len()), (200, n), "{condition}");
    }
    for bad in ["limit=x", "cursor=x"] {
        assert_eq!(reads.ask("list-lock", &[bad.to_owned()], Section::None).await.status, 422, "{bad}");
    }
}

/// Before anything of the protocol, in one sentence, and the same for what is absent and what is hidden.
#[tokio::test]
async fn h2_who_may_not_is_refused_at_once() {
    let fixture = Fixture::start().await;
    let mut heard = Vec::new();
    for (who, path, operation) in [
        ("bob", "alice/tools", Download),
        ("bob", "alice/tools", Upload),
        ("bob", "alice/absent", Download),
        ("bob", "alice/absent", Upload),
        ("alice", "nobody/absent", Download),
    ] {
        heard.push(fixture.open(who, path, operation).await.end().await);
    }
    assert_eq!(heard[0], (1, "hakata: repository not found\n".to_owned()));
    heard.dedup();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let (status, words) = fixture.open("bob", "alice/open", Upload).await.end().await;
    assert!(status == 1 && words.starts_with("hakata: ") && !words.contains("not found"), "{words}");
    let mut talk = fixture.session("bob", "alice/open", Download).await;
    assert_eq!(talk.ask("batch", &[], Section::None).await.status, 200, "an empty batch is one");
    // The first objects of a repository come before its first push.
    let mut talk = fixture.session("alice", "alice/new", Upload).await;
    put(&mut talk, b"first").await;
}

/// A client that leaves in the middle leaves neither bytes nor a reservation.
#[tokio::test]
async fn what_was_cut_leaves_nothing() {
    let fixture = Fixture::start().await;
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "300kB" });
    fixture.run(quota).await;
    let large = vec![7; 200_000];
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    batch(&mut talk, &[&large]).await;
    let mut half = Vec::new();
    encode(format!("put-object {}\n", oid(&large)).as_bytes(), &mut half);
    encode(b"size=200000\n", &mut half);
    half.extend_from_slice(DELIM);
    (0..3).for_each(|_| encode(&[7; 30_000], &mut half));
    talk.send(&half).await;
    assert_eq!(talk.end().await.0, 1);
    assert_eq!(fixture.n_files(), 0);
    let mut talk = fixture.session("alice", "alice/tools", Upload).await;
    batch(&mut talk, &[&vec![8; 250_000]]).await;
}

#[tokio::test]
async fn several_sessions_move_objects_at_once() {
    let fixture = Fixture::start().await;
    let contents: Vec<Vec<u8>> = (0..8_u8).map(|n| vec![n; 150_000 + usize::from(n)]).collect();
    let mut first = fixture.session("alice", "alice/tools", Upload).await;
    let objects: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let answer = batch(&mut first, &objects).await;
    let sending = contents.iter().zip(&answer).map(|(bytes, line)| {
        let fixture = &fixture;
        async move {
            let mut talk = fixture.session("alice", "alice/tools", Upload).await;
            let put = format!("put-object {}", oid(bytes));
            assert_eq!(talk.ask(&put, &arguments(line), Section::Data(bytes)).await.status, 200);
            assert_eq!(talk.ask("quit", &[], Section::None).await.status, 200);
        }
    });
    futures_util::future::join_all(sending).await;
    let answer = batch(&mut first, &objects).await;
    assert!(answer.iter().all(|line| line.ends_with(" noop")), "{answer:?}");
}

#[tokio::test]
async fn limits_are_told_and_the_session_goes_on() {
    let fixture = Fixture::start().await;
    let settings = Settings { max_objects: 2, ..Settings::default() };
    let mut talk = fixture.open_with("alice", "alice/tools", Upload, settings).await;
    talk.agree().await;
    let three = [line(b"a"), line(b"b"), line(b"c")];
    let heard = talk.ask("batch", &[], Section::Lines(&three)).await;
    assert_eq!(heard.status, 413, "b11");
    assert_eq!(talk.ask("batch", &[], Section::Lines(&three[..2])).await.status, 200);
    // What is refused and too large to be read to its end ends the session.
    let settings =
        Settings { max_discard: hakata_runtime::units::ByteSize::new(1_000), ..Settings::default() };
    let mut talk = fixture.open_with("alice", "alice/tools", Upload, settings).await;
    talk.agree().await;
    let heard = talk.ask("put-object x", &["size=5".to_owned()], Section::Data(&[7; 40_000])).await;
    assert_eq!(heard.status, 422);
    let (status, words) = talk.end().await;
    assert!(status == 1 && words.contains("64 lower-case hexadecimal digits"), "{words}");
}
