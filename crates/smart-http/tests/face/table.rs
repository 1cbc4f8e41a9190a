//! Requests in; status, fields in order and body out.

use std::process::{Command, Stdio};

use crate::fixture::Fixture;
use crate::raw::{get, head, post, send};

const UPLOAD: &str = "content-type: application/x-git-upload-pack-request\r\n";
const RECEIVE: &str = "content-type: application/x-git-receive-pack-request\r\n";
/// `alice:secret-word`.
const ALICE: &str = "authorization: Basic YWxpY2U6c2VjcmV0LXdvcmQ=\r\n";
/// `alice:wrong`.
const WRONG: &str = "authorization: Basic YWxpY2U6d3Jvbmc=\r\n";

const LS_REFS: &[u8] = b"0014command=ls-refs\n0016object-format=sha100010009peel\n0000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advertisements_have_gits_fields_in_gits_order() {
    let fixture = Fixture::start().await;
    let bare = fixture.path("http-backend.git");
    let made = Command::new("git").args(["init", "-q", "--bare"]).arg(&bare).status().unwrap();
    assert!(made.success());
    std::fs::write(bare.join("git-daemon-export-ok"), "").unwrap();
    for (service, config) in
        [("git-upload-pack", "http.uploadpack"), ("git-receive-pack", "http.receivepack")]
    {
        for version in 0..=2 {
            let backend = Command::new("git")
                .args(["-c", &format!("{config}=true"), "http-backend"])
                .env("GIT_PROJECT_ROOT", fixture.path(""))
                .env("REQUEST_METHOD", "GET")
                .env("PATH_INFO", "/http-backend.git/info/refs")
                .env("QUERY_STRING", format!("service={service}"))
                .env("GIT_PROTOCOL", format!("version={version}"))
                .stderr(Stdio::null())
                .output()
                .unwrap();
            let backend = String::from_utf8_lossy(&backend.stdout).into_owned();
            let (backend_head, backend_body) = backend.split_once("\r\n\r\n").expect("a head");
            let expected: Vec<String> = backend_head
                .split("\r\n")
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
                .collect();
            let fields = format!("{ALICE}git-protocol: version={version}\r\n");
            let target = format!("/alice/tools.git/info/refs?service={service}");
            let ours = get(fixture.address, &target, &fields).await;
            assert_eq!(ours.status, 200);
            assert_eq!(ours.fields[..expected.len()], expected, "{service} version {version}");
            assert_eq!(ours.fields[expected.len()..], [format!("content-length: {}", ours.body.len())]);
            let announced = |body: &str| body.contains("# service=");
            assert_eq!(announced(&ours.text()), announced(backend_body), "{service} version {version}");
            let plain = get(fixture.address, &target.replace(".git/", "/"), &fields).await;
            assert!(plain.body == ours.body, "with and without .git is one repository");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_get_without_its_body() {
    let fixture = Fixture::start().await;
    let target = "/alice/tools.git/info/refs?service=git-upload-pack";
    let of_get = get(fixture.address, target, "").await;
    let of_head = send(fixture.address, &head("HEAD", target, "")).await.expect("an answer");
    assert_eq!((of_head.status, of_head.fields), (of_get.status, of_get.fields));
    assert!(of_head.body.is_empty() && !of_get.body.is_empty());
    let absent = send(fixture.address, &head("HEAD", &target.replace("tools", "absent"), "")).await;
    assert_eq!(absent.expect("an answer").status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_their_status_and_their_words() {
    let fixture = Fixture::start().await;
    let info = |path: &str| format!("/{path}.git/info/refs?service=git-upload-pack");
    let push = |path: &str| format!("/{path}.git/info/refs?service=git-receive-pack");
    let cases = [
        (info("alice/tools"), "", 200, ""),
        (info("alice/tools"), ALICE, 200, ""),
        (info("alice/tools"), WRONG, 401, "www-authenticate: Basic realm=\"Hakata\""),
        (info("alice/tools"), "authorization: Digest x\r\n", 401, "www-authenticate: Basic realm=\"Hakata\""),
        (
            info("alice/tools"),
            "authorization: Bearer nonsense\r\n",
            401,
            "www-authenticate: Basic realm=\"Hakata\"",
        ),
        (info("alice/private"), "", 401, "www-authenticate: Basic realm=\"Hakata\""),
        (info("alice/absent"), "", 401, "www-authenticate: Basic realm=\"Hakata\""),
        (info("alice/private"), ALICE, 200, ""),
        (info("alice/absent"), ALICE, 404, ""),
        (push("alice/tools"), "", 401, "www-authenticate: Basic realm=\"Hakata\""),
        (push("alice/tools"), ALICE, 200, ""),
        ("/alice/tools.git/info/refs".into(), "", 403, ""),
        ("/alice/tools.git/info/refs?service=git-foo".into(), "", 403, ""),
        ("/alice/tools.git/HEAD".into(), "", 403, ""),
        ("/alice/tools.git/git-upload-pack".into(), "", 405, "allow: POST"),
        ("/alice/%zz/info/refs?service=git-upload-pack".into(), "", 400, ""),
        ("/alice/t%2Fools/info/refs?service=git-upload-pack".into(), "", 404, ""),
    ];
    for (target, fields, status, field) in &cases {
        let reply = get(fixture.address, target, fields).await;
        assert_eq!(reply.status, *status, "{target} {fields}");
        assert!(reply.status != 401 || reply.field("www-authenticate").is_some());
        if !field.is_empty() {
            assert_eq!(reply.fields[0], *field, "the field of a status stands first: {target}");
        }
        assert!(reply.field("location").is_none(), "never a redirect");
        assert_eq!(reply.field("expires"), Some("Fri, 01 Jan 1980 00:00:00 GMT"));
        if *status != 200 {
            assert_eq!(reply.field("content-type"), Some("text/plain; charset=utf-8"));
            assert!(reply.text().ends_with('\n'), "{:?}", reply.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_and_absent_are_one() {
    let fixture = Fixture::start().await;
    for fields in ["", WRONG] {
        for target in [
            "/alice/NAME.git/info/refs?service=git-upload-pack",
            "/alice/NAME.git/info/refs?service=git-receive-pack",
        ] {
            let private = get(fixture.address, &target.replace("NAME", "private"), fields).await;
            let absent = get(fixture.address, &target.replace("NAME", "absent"), fields).await;
            assert_eq!(private.status, absent.status);
            assert_eq!(private.fields, absent.fields);
            assert_eq!(private.text(), absent.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_answer_or_refuse() {
    let fixture = Fixture::start().await;
    let (fetch, push) = ("/alice/tools.git/git-upload-pack", "/alice/tools.git/git-receive-pack");
    let v2 = format!("{UPLOAD}git-protocol: version=2\r\n");
    let gzip = format!("{v2}content-encoding: gzip\r\n");
    let nested = format!("{v2}content-encoding: gzip, gzip\r\n");
    let pushing = format!("{ALICE}{RECEIVE}");
    let smuggled = format!("{push}?service=git-upload-pack");
    for (target, fields, body, status) in [
        (fetch, v2.as_str(), LS_REFS, 200),
        (fetch, &gzip, &crate::hostile::gzip(LS_REFS), 200),
        (fetch, &nested, LS_REFS, 415),
        (fetch, RECEIVE, LS_REFS, 415),
        (fetch, "", LS_REFS, 415),
        (fetch, &v2, b"", 400),
        (fetch, &v2, &LS_REFS[..30], 400),
        (fetch, &gzip, b"", 400),
        (fetch, &gzip, LS_REFS, 400),
        (fetch, &gzip, &crate::hostile::gzip(LS_REFS)[..30], 400),
        (fetch, UPLOAD, b"0000", 200),
        (push, RECEIVE, b"0000", 401),
        (&smuggled, RECEIVE, b"0000", 401),
        (push, &pushing, b"0000", 200),
        (push, &pushing, b"", 400),
        (push, &pushing, b"00", 400),
        (push, UPLOAD, b"0000", 415),
    ] {
        let reply = post(fixture.address, target, fields, body).await;
        assert_eq!(reply.status, status, "{target} {fields} {:?}", String::from_utf8_lossy(body));
        if status == 200 {
            let service = target.rsplit('/').next().unwrap();
            let media_type = format!("application/x-{service}-result");
            assert_eq!(reply.field("content-type"), Some(media_type.as_str()));
        }
    }
    let reply = post(fixture.address, fetch, &v2, LS_REFS).await;
    assert!(reply.text().contains(" refs/heads/main\n"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_come_in_chunks_and_behind_100_continue() {
    let fixture = Fixture::start().await;
    let target = "/alice/tools.git/git-upload-pack";
    let fields =
        format!("{UPLOAD}git-protocol: version=2\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n");
    let mut request = head("POST", target, &fields);
    for piece in LS_REFS.chunks(7) {
        request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let reply = send(fixture.address, &request).await.expect("an answer");
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains(" refs/heads/main\n"), "{}", reply.text());
    let refused = target.replace("tools", "private");
    let reply =
        send(fixture.address, &head("POST", &refused, &fields)).await.expect("refused without a body");
    assert_eq!(reply.status, 401, "a client that waits for 100 Continue hears the refusal at once");
}
