//! The real git: every version of the protocol, both hashes.

use std::path::Path;
use std::process::{Command, Output};

use hakata_forge::Visibility;

use crate::fixture::Fixture;

/// Runs git in `dir` with nothing of this machine's configuration.
fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([("HOME", dir), ("GIT_CONFIG_GLOBAL", Path::new("/dev/null"))])
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")])
        .envs([
            ("GIT_AUTHOR_NAME", "A"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_AUTHOR_DATE", "1700000000 +0000"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "A"),
            ("GIT_COMMITTER_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_DATE", "1700000000 +0000"),
        ])
        .args(args)
        .output()
        .expect("git runs")
}

/// As [`run`], for what must succeed; returns what it printed.
fn git(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// As [`run`], for what must fail; returns its complaint.
fn complaint(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(!output.status.success(), "git {args:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn commit(work: &Path, name: &str, text: &str) -> String {
    std::fs::write(work.join(name), text).unwrap();
    git(work, &["add", name]);
    git(work, &["commit", "-q", "-m", name]);
    git(work, &["rev-parse", "HEAD"])
}

/// Makes a repository at `work`, ready to push to `url`.
fn init(work: &Path, url: &str, format: &str) {
    std::fs::create_dir(work).unwrap();
    git(work, &["init", "-q", "-b", "main", "--object-format", format]);
    git(work, &["remote", "add", "origin", url]);
}

/// Pushes a first commit to a repository of the fixture.
pub(crate) fn fill(fixture: &Fixture, path: &str) {
    let work = fixture.path(&path.replace('/', "-"));
    init(&work, &fixture.url(path), "sha1");
    commit(&work, "one", "one\n");
    git(&work, &["push", "-q", "origin", "main"]);
}

/// Pushes 16 MiB that do not compress to a repository of the fixture, and returns the new tip.
pub(crate) fn fill_large(fixture: &Fixture, path: &str) -> String {
    let work = fixture.path(&path.replace('/', "-"));
    std::fs::write(work.join("noise"), noise(16 << 20)).unwrap();
    git(&work, &["add", "noise"]);
    git(&work, &["commit", "-q", "-m", "noise"]);
    git(&work, &["push", "-q", "origin", "main"]);
    git(&work, &["rev-parse", "HEAD"])
}

/// Bytes that do not compress, the same in every run.
fn noise(n_bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(n_bytes / 8).flatten().collect()
}

fn version(n: u8) -> String {
    format!("protocol.version={n}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_and_hash_pushes_clones_and_fetches() {
    let fixture = Fixture::start().await;
    for format in ["sha1", "sha256"] {
        for n in 0..=2 {
            let (name, version) = (format!("alice/{format}-v{n}"), version(n));
            fixture.create(&name, Visibility::Public, format).await;
            let url = fixture.url(&name);
            let (work, clone) =
                (fixture.path(&format!("{format}-{n}")), fixture.path(&format!("{format}-{n}-clone")));
            init(&work, &url, format);
            let first = commit(&work, "one", "one\n");
            git(&work, &["tag", "-a", "-m", "first", "v1"]);
            git(&work, &["-c", &version, "push", "-q", "origin", "main", "v1"]);
            git(&fixture.path(""), &["-c", &version, "clone", "-q", &url, clone.to_str().unwrap()]);
            assert_eq!(git(&clone, &["rev-parse", "HEAD"]), first);
            let second = commit(&work, "two", "two\n");
            git(&work, &["-c", &version, "push", "-q", "origin", "main:main", "main:refs/heads/topic"]);
            git(&clone, &["-c", &version, "fetch", "-q"]);
            assert_eq!(
                git(&clone, &["rev-parse", "origin/main", "origin/topic"]),
                format!("{second}\n{second}")
            );
            git(&work, &["-c", &version, "push", "-q", "origin", ":topic"]);
            git(&work, &["-c", &version, "push", "-q", "--force", "origin", &format!("{first}:main")]);
            git(&clone, &["-c", &version, "fetch", "-q", "--prune"]);
            assert_eq!(
                git(
                    &clone,
                    &[
                        "for-each-ref",
                        "--format=%(objectname) %(refname)",
                        "refs/remotes/origin/main",
                        "refs/remotes/origin/topic"
                    ]
                ),
                format!("{first} refs/remotes/origin/main")
            );
            git(&clone, &["fsck", "--strict"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shallow_and_partial_clones() {
    let fixture = Fixture::start().await;
    let (url, work, top) = (fixture.url("alice/tools"), fixture.path("alice-tools"), fixture.path(""));
    for n in 0..5 {
        commit(&work, "file", &format!("{n}\n").repeat(1000));
    }
    git(&work, &["push", "-q", "origin", "main"]);
    for n in 0..=2 {
        let (version, shallow) = (version(n), fixture.path(&format!("shallow-{n}")));
        git(&top, &["-c", &version, "clone", "-q", "--depth", "2", &url, shallow.to_str().unwrap()]);
        assert_eq!(git(&shallow, &["rev-list", "--count", "HEAD"]), "2");
        git(&shallow, &["-c", &version, "fetch", "-q", "--deepen", "1"]);
        assert_eq!(git(&shallow, &["rev-list", "--count", "HEAD"]), "3");
        git(&shallow, &["-c", &version, "fetch", "-q", "--unshallow"]);
        assert_eq!(git(&shallow, &["rev-list", "--count", "HEAD"]), "6");
        commit(&shallow, "from-shallow", "x\n");
        git(&shallow, &["-c", &version, "push", "-q", "origin", &format!("HEAD:refs/heads/shallow-{n}")]);
    }
    let partial = fixture.path("partial");
    git(&top, &["clone", "-q", "--filter=blob:none", "--no-checkout", &url, partial.to_str().unwrap()]);
    let missing = git(&partial, &["rev-list", "--objects", "--missing=print", "HEAD"]);
    assert!(missing.contains("\n?"), "blobs stay behind: {missing}");
    git(&partial, &["checkout", "-q", "main"]);
    assert_eq!(
        std::fs::read_to_string(partial.join("one")).unwrap(),
        "one\n",
        "and come when they are needed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_requests_are_compressed() {
    let fixture = Fixture::start().await;
    let (url, work, top, clone) =
        (fixture.url("alice/tools"), fixture.path("alice-tools"), fixture.path(""), fixture.path("clone"));
    git(&top, &["clone", "-q", &url, clone.to_str().unwrap()]);
    let tree = git(&work, &["rev-parse", "HEAD^{tree}"]);
    for n in 0..=2 {
        let mut made = String::new();
        for topic in 0..60 {
            let commit = git(&work, &["commit-tree", "-m", &format!("{n} {topic}"), "-p", "HEAD", &tree]);
            git(&work, &["update-ref", &format!("refs/heads/topic/{n}/{topic:02}"), &commit]);
            made.push_str(&commit);
            made.push('\n');
        }
        git(&work, &["push", "-q", "origin", &format!("refs/heads/topic/{n}/*:refs/heads/topic/{n}/*")]);
        let traced = Command::new("git")
            .current_dir(&clone)
            .args(["-c", &version(n), "fetch"])
            .env("GIT_TRACE_CURL", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .unwrap();
        let trace = String::from_utf8_lossy(&traced.stderr).into_owned();
        assert!(traced.status.success(), "{trace}");
        assert!(trace.contains("Content-Encoding: gzip"), "the case is the one it says: {trace}");
        let fetched = git(
            &clone,
            &["for-each-ref", "--format=%(objectname)", &format!("refs/remotes/origin/topic/{n}")],
        );
        assert_eq!(fetched, made.trim_end());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_pushes_come_in_chunks() {
    let fixture = Fixture::start().await;
    let work = fixture.path("alice-tools");
    std::fs::write(work.join("noise"), noise(8 << 20)).unwrap();
    let head = commit(&work, "two", "two\n");
    git(&work, &["add", "noise"]);
    git(&work, &["commit", "-q", "-m", "noise"]);
    git(&work, &["-c", "http.postBuffer=65536", "push", "-q", "origin", "main"]);
    let clone = fixture.path("clone");
    git(&fixture.path(""), &["clone", "-q", &fixture.url("alice/tools"), clone.to_str().unwrap()]);
    assert_eq!(git(&clone, &["rev-parse", "HEAD^"]), head);
    git(&clone, &["fsck", "--strict"]);
}

/// No more than these: git's own client compares every ref of a push over HTTP with every other.
const N_REFS: usize = 2_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_refs_in_one_push() {
    let fixture = Fixture::start().await;
    let work = fixture.path("alice-tools");
    let head = git(&work, &["rev-parse", "HEAD"]);
    let packed: String = (0..N_REFS).map(|n| format!("{head} refs/heads/many/{n:05}\n")).collect();
    std::fs::write(
        work.join(".git/packed-refs"),
        format!("# pack-refs with: peeled fully-peeled sorted \n{packed}"),
    )
    .unwrap();
    git(&work, &["push", "-q", "origin", "refs/heads/many/*:refs/heads/many/*"]);
    let listed = git(&work, &["ls-remote", "origin", "refs/heads/many/*"]);
    assert_eq!(listed.lines().count(), N_REFS);
    for n in 0..=1 {
        let listed = git(&work, &["-c", &version(n), "ls-remote", "origin", "refs/heads/many/*"]);
        assert_eq!(listed.lines().count(), N_REFS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_what_is_wrong() {
    let fixture = Fixture::start().await;
    let (top, work) = (fixture.path(""), fixture.path("alice-tools"));
    let url = |user: &str, name: &str| format!("http://{user}{}/alice/{name}.git", fixture.address);
    git(&top, &["ls-remote", &url("", "tools")]);
    let words = complaint(&top, &["ls-remote", &url("", "private")]);
    assert!(words.contains("could not read Username"), "git asks for credentials: {words}");
    assert_eq!(words.replace("private", "absent"), complaint(&top, &["ls-remote", &url("", "absent")]));
    let words = complaint(&top, &["ls-remote", &url("alice:wrong@", "private")]);
    assert!(words.contains("Authentication failed"), "{words}");
    let words = complaint(&top, &["ls-remote", &url("alice:secret-word@", "absent")]);
    assert!(words.contains("remote: repository not found"), "{words}");
    commit(&work, "two", "two\n");
    let words = complaint(&work, &["push", &url("", "tools"), "main"]);
    assert!(words.contains("could not read Username"), "{words}");
    git(&work, &["push", "-q", &url("alice:secret-word@", "tools"), "main"]);
    let words = complaint(
        &top,
        &["-c", "http.extraHeader=Authorization: Bearer nonsense", "ls-remote", &url("", "tools")],
    );
    assert!(words.contains("Authentication failed") || words.contains("could not read Username"), "{words}");
    git(&top, &["ls-remote", &url("alice:secret-word@", "private")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_are_those_of_git() {
    let fixture = Fixture::start().await;
    let work = fixture.path("alice-tools");
    git(&work, &["tag", "v1"]);
    git(&work, &["branch", "topic/one"]);
    git(&work, &["push", "-q", "origin", "v1", "topic/one"]);
    for revision in ["main", "v1", "topic/one"] {
        for (suffix, media_type) in [("tar.gz", "application/gzip"), ("zip", "application/zip")] {
            let target = format!("/alice/tools/archive/{revision}.{suffix}");
            let reply = crate::raw::get(fixture.address, &target, "").await;
            assert_eq!(
                (reply.status, reply.field("content-type")),
                (200, Some(media_type)),
                "{}",
                reply.text()
            );
            let ours = fixture.path("ours");
            std::fs::write(&ours, &reply.body).unwrap();
            let expected = fixture.path(&format!("expected.{suffix}"));
            git(&work, &["archive", "--prefix=tools/", "-o", expected.to_str().unwrap(), revision]);
            assert!(reply.body == std::fs::read(expected).unwrap(), "{target} is what git makes of it");
        }
    }
    for (name, status) in [
        ("tools/archive/absent", 404),
        ("tools/archive/main~1", 404),
        ("private/archive/main", 401),
        ("absent/archive/main", 401),
    ] {
        let reply = crate::raw::get(fixture.address, &format!("/alice/{name}.zip"), "").await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
    }
}
