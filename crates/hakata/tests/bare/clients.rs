//! The real git against a folder.

use std::process::Output;

use crate::folder::{Place, make_runnable};
use crate::server::{Server, wait_until};

/// A place with one repository that takes pushes from everybody.
fn place() -> Place {
    let place = Place::new();
    place.repository("a.git", &[], &[("http.receivepack", "true")]);
    place
}

fn serve(place: &Place, flags: &[&str]) -> Server {
    Server::start(&place.root(), &place.home(), flags)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Clones into `w` and commits `text` there.
fn clone_and_commit(place: &Place, url: &str, text: &str) -> String {
    place.git("", &["clone", "-q", url, "w"]);
    std::fs::write(place.path("w/file"), text).unwrap();
    place.git("w", &["add", "file"]);
    place.git("w", &["commit", "-q", "-m", text]);
    place.git("w", &["rev-parse", "HEAD"])
}

#[test]
fn clone_fetch_and_push_in_every_version_and_format() {
    for (init, versions) in [
        (&[][..], &["0", "1", "2"][..]),
        (&["--object-format=sha256"], &["0", "2"]),
        (&["--ref-format=reftable"], &["2"]),
    ] {
        let place = Place::new();
        place.repository("x/a.git", init, &[("http.receivepack", "true")]);
        let server = serve(&place, &[]);
        for version in versions {
            let of_version = format!("protocol.version={version}");
            let (one, two) = (format!("one{version}"), format!("two{version}"));
            for name in [&one, &two] {
                place.git("", &["-c", &of_version, "clone", "-q", &server.url("x/a"), name]);
            }
            std::fs::write(place.path(&one).join("file"), version).unwrap();
            place.git(&one, &["add", "file"]);
            place.git(&one, &["commit", "-q", "-m", version]);
            place.git(&one, &["-c", &of_version, "push", "-q", "origin", "HEAD:main"]);
            place.git(&two, &["-c", &of_version, "pull", "-q"]);
            let tips = [&one, &two].map(|name| place.git(name, &["rev-parse", "HEAD"]));
            assert_eq!(tips[0], tips[1], "version {version} {init:?}");
            assert_eq!(tips[0], place.git("root/x/a.git", &["rev-parse", "main"]));
        }
        place.git("root/x/a.git", &["fsck", "--strict"]);
    }
}

#[test]
fn shallow_partial_and_dumb_clones_and_archives() {
    let place = place();
    place.git("root/a.git", &["config", "uploadpack.allowFilter", "true"]);
    place.git("root/a.git", &["config", "http.uploadarchive", "true"]);
    let server = serve(&place, &[]);
    let url = server.url("a.git");
    let head = clone_and_commit(&place, &url, "text\n");
    place.git("w", &["push", "-q", "origin", "HEAD"]);
    place.git("", &["clone", "-q", "--depth=1", &url, "shallow"]);
    assert_eq!(place.git("shallow", &["rev-list", "--count", "HEAD"]), "1");
    place.git("shallow", &["fetch", "-q", "--unshallow"]);
    assert_eq!(place.git("shallow", &["rev-list", "--count", "HEAD"]), "3");
    place.git("", &["clone", "-q", "--bare", "--filter=blob:none", &url, "partial"]);
    let missing = place.git("partial", &["rev-list", "--objects", "--missing=print", "HEAD"]);
    assert!(missing.lines().any(|line| line.starts_with('?')), "{missing}");
    let mut dumb = place.command("", &["clone", "-q", "--bare", &url, "dumb"]);
    let dumb = dumb.env("GIT_SMART_HTTP", "0").output().unwrap();
    assert!(dumb.status.success(), "{}", said(&dumb));
    assert_eq!(place.git("dumb", &["rev-parse", "HEAD"]), head);
    let remote = format!("--remote={url}");
    place.git("", &["archive", &remote, "--format=tar", "--output=a.tar", "main"]);
    let tar = std::fs::read(place.path("a.tar")).unwrap();
    assert!(
        [b"text\n", b"file\0"].iter().all(|it| tar.windows(5).any(|five| five == *it)),
        "the file is in the archive"
    );
}

#[test]
fn hooks_and_configuration_of_the_repository_count() {
    let place = place();
    let at = "root/a.git";
    for (key, value) in [
        ("receive.advertisePushOptions", "true"),
        ("receive.denyNonFastForwards", "true"),
        ("transfer.hideRefs", "refs/heads/secret"),
        ("core.hooksPath", "my-hooks"),
    ] {
        place.git(at, &["config", key, value]);
    }
    let hook = place.path(at).join("my-hooks/pre-receive");
    std::fs::create_dir(hook.parent().unwrap()).unwrap();
    std::fs::write(
        &hook,
        "#!/bin/sh\nread old new ref\necho \"hello $GIT_PUSH_OPTION_0\"\ncase $ref in */bad) echo not that >&2; exit 1;; esac\n",
    )
    .unwrap();
    make_runnable(&hook);
    let server = serve(&place, &[]);
    let url = server.url("a.git");
    let head = clone_and_commit(&place, &url, "text\n");
    let push = |args: &[&str]| place.command("w", &[&["push", "origin"], args].concat()).output().unwrap();
    let refused = push(&["HEAD:refs/heads/bad"]);
    assert!(!refused.status.success() && said(&refused).contains("remote: not that"), "{}", said(&refused));
    let taken = push(&["-o", "world", "HEAD:refs/heads/main"]);
    assert!(taken.status.success() && said(&taken).contains("remote: hello world"), "{}", said(&taken));
    assert_eq!(place.git(at, &["rev-parse", "main"]), head);
    let forced = push(&["--force", "HEAD~1:refs/heads/main"]);
    assert!(!forced.status.success() && said(&forced).contains("non-fast-forward"), "{}", said(&forced));
    let listed = place.git("", &["ls-remote", &url]);
    assert!(!listed.contains("secret") && listed.contains("refs/heads/topic/a"), "{listed}");
    let hidden = place.git(at, &["rev-parse", "secret"]);
    let fetch = || {
        place.command("w", &["-c", "protocol.version=0", "fetch", "-q", "origin", &hidden]).output().unwrap()
    };
    assert!(!fetch().status.success(), "what is hidden is not given");
    place.git(at, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let given = fetch();
    assert!(given.status.success(), "{}", said(&given));
}

#[test]
fn people_of_a_file_push_by_name_and_others_are_asked_or_refused() {
    let place = Place::new();
    place.repository("a.git", &[], &[("core.logAllRefUpdates", "true")]);
    place.repository("shut.git", &[], &[("http.receivepack", "false")]);
    let people = place.path("home/people");
    // alice: bcrypt of U*U, bob: Apache's MD5 and carol: SHA-1 of secret.
    let lines = "alice:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\nbob:$apr1$xy$94JxxwMvxqQwA3Iid6OL9.\n\
                 carol:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
    std::fs::write(&people, lines).unwrap();
    let server = serve(&place, &["--htpasswd", &people.display().to_string()]);
    clone_and_commit(&place, &server.url("a.git"), "text\n");
    let push = |user: &str, to: &str| {
        let url = format!("http://{user}@{}/{to}", server.http);
        place
            .command(
                "w",
                &["push", "-q", &url, &format!("HEAD:refs/heads/{}", user.replace(['*', ':'], "-"))],
            )
            .output()
            .unwrap()
    };
    for user in ["alice:U*U", "bob:secret", "carol:secret"] {
        let pushed = push(user, "a.git");
        assert!(pushed.status.success(), "{user}: {}", said(&pushed));
    }
    let log = std::fs::read_to_string(place.path("root/a.git/logs/refs/heads/bob-secret")).unwrap();
    assert!(log.contains(" bob <bob@http.127.0.0.1> "), "{log}");
    for (user, to, words) in [
        ("alice:wrong", "a.git", "Authentication failed"),
        ("mallory:secret", "a.git", "Authentication failed"),
        ("bob:secret", "shut.git", "403"),
    ] {
        let pushed = push(user, to);
        assert!(!pushed.status.success() && said(&pushed).contains(words), "{user}: {}", said(&pushed));
    }
    let request =
        b"GET /a.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let asked = server.send(request);
    let challenge = ("www-authenticate".to_owned(), "Basic realm=\"Hakata\"".to_owned());
    assert!(asked.status == 401 && asked.fields.contains(&challenge), "{asked:?}");
}

#[test]
fn what_is_kept_follows_every_change() {
    for init in [&[][..], &["--ref-format=reftable"]] {
        let place = Place::new();
        place.repository("a.git", init, &[]);
        let server = serve(&place, &[]);
        let (at, url) = ("root/a.git", server.url("a.git"));
        let local = place.path(at).display().to_string();
        let from_memory = || server.metric("hakata_bare_listings_total{from=\"memory\"}");
        let one = place.git(at, &["rev-parse", "main~1"]);
        let changes: [&[&str]; 11] = [
            &["update-ref", "refs/heads/main", &one],
            &["update-ref", "refs/heads/deep/er/new", &one],
            &["tag", "-a", "-m", "x", "v2", "main"],
            &["pack-refs", "--all", "--prune"],
            &["update-ref", "-d", "refs/heads/topic/a"],
            &["symbolic-ref", "HEAD", "refs/heads/deep/er/new"],
            &["config", "transfer.hideRefs", "refs/tags"],
            &["config", "--unset", "transfer.hideRefs"],
            &["update-ref", "--no-deref", "HEAD", &one],
            &["config", "uploadpack.hideRefs", "refs/remotes"],
            &["update-ref", "-d", "refs/tags/light"],
        ];
        for change in changes {
            // First an answer must have come from memory, so that there is one that could be stale.
            let before = from_memory();
            wait_until("an answer from memory", || {
                place.git("", &["ls-remote", &url]);
                from_memory() >= before + 2.0
            });
            place.git(at, change);
            for version in ["protocol.version=2", "protocol.version=0"] {
                let over_http = place.git("", &["-c", version, "ls-remote", "--symref", &url]);
                let from_disk = place.git("", &["-c", version, "ls-remote", "--symref", &local]);
                assert_eq!(over_http, from_disk, "after {change:?} {init:?}");
            }
        }
    }
}
