//! What is handed to git, how its complaints are understood, and what it does with very many refs.

mod backend;

use std::ffi::OsStr;
use std::path::Path;

use backend::Backend;
use hakata_names::{ObjectFormat, Oid, RefName};

use super::{FetchError, Login, RefPush, Remote};
use crate::command::Subcommand;
use crate::foreign::{Alternates, Foreign};
use crate::quarantine::Quarantine;
use crate::testing::{self, Bench};
use crate::{GitDir, Settings};

/// More than anybody wants to wait for one by one.
const MANY: usize = 20_000;

/// What a push took three processes for; git compares each with each, so that more of them take long.
const SOME: usize = 500;

/// Makes a repository with two commits and very many branches, each at one of them.
fn with_many_branches(bench: &Bench, format: ObjectFormat, n_refs: usize) -> (GitDir, Vec<(RefName, Oid)>) {
    let dir = bench.repository(format);
    let one = testing::commit(&dir, "one", &[]);
    let two = testing::commit(&dir, "two", &[one]);
    let refs = (0..n_refs).map(|n| {
        let name = RefName::parse(format!("refs/heads/b/{n:05}").as_bytes()).unwrap();
        (name, if n % 2 == 0 { one } else { two })
    });
    let refs: Vec<(RefName, Oid)> = refs.collect();
    let lines: String = refs.iter().map(|(name, oid)| format!("{oid} {name}\n")).collect();
    std::fs::write(dir.path().join("packed-refs"), format!("# pack-refs with: sorted\n{lines}")).unwrap();
    (dir, refs)
}

/// Counts the files of a directory and of those in it.
fn n_files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| if entry.path().is_dir() { n_files(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn very_many_refs_are_fetched_by_one_process_into_few_files() {
    let bench = Bench::new().await;
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (there, refs) = with_many_branches(&bench, format, MANY);
        let backend = Backend::start(bench.root.path());
        let remote = Remote::new(backend.url(&there));
        let into = bench.root.path().join(format!("imports-{format}"));
        let import = Quarantine::create(&into, None, format).unwrap();
        remote.fetch(&bench.git, &import, |_| {}).await.unwrap();
        assert_eq!(n_files(&import.dir().path().join("refs")), 0, "no file for a ref");
        let foreign = Foreign::open(import.dir().path(), Alternates::Inside).unwrap();
        let came: Vec<(RefName, Oid)> = foreign.refs().iter().map(|at| (at.name.clone(), at.oid)).collect();
        assert_eq!(came, refs);
        let asked = backend.n_asked("POST", "git-upload-pack");
        assert_eq!(asked, 2, "one listing, and one process for one pack: {:?}", backend.asked());

        let here = bench.repository(format);
        let mirror = Quarantine::create(&into, Some(&here), format).unwrap();
        let wanted = refs.iter().map(|(_, oid)| *oid);
        remote.fetch_objects(&bench.git, &mirror, wanted, &[], |_| {}).await.unwrap();
        assert_eq!(n_files(&mirror.dir().path().join("refs")), 0, "no file for a ref");
        testing::git(mirror.dir(), &["cat-file", "-e", &refs[1].1.to_string()]);
        let absent = Oid::parse_hex("7".repeat(format.hex_len()).as_bytes()).unwrap();
        let refused = remote.fetch_objects(&bench.git, &mirror, [absent], &[], |_| {}).await;
        assert!(matches!(refused, Err(FetchError::Refused(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn many_refs_are_pushed_by_one_process() {
    let bench = Bench::new().await;
    let (here, refs) = with_many_branches(&bench, ObjectFormat::Sha1, SOME);
    let there = bench.repository(ObjectFormat::Sha1);
    testing::git(&there, &["config", "http.receivepack", "true"]);
    // Its disk is not what is looked at.
    testing::git(&there, &["config", "core.fsync", "none"]);
    let backend = Backend::start(bench.root.path());
    let remote = Remote::new(backend.url(&there));
    let push = |(name, oid): &(RefName, Oid), is_there: bool| RefPush {
        name: name.clone(),
        new: is_there.then_some(*oid),
        is_forced: true,
    };
    let all: Vec<RefPush> = refs.iter().map(|at| push(at, true)).collect();
    let results = remote.push(&bench.git, &here, &all).await.unwrap();
    assert!(results.len() == SOME && results.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(
        backend.n_asked("GET", "service=git-receive-pack"),
        1,
        "a process lists once: {:?}",
        backend.asked()
    );
    let listed = testing::git(&there, &["for-each-ref", "--format=%(refname) %(objectname)"]);
    let expected: String = refs.iter().map(|(name, oid)| format!("{name} {oid}\n")).collect();
    assert!(listed == expected, "all are there");
    let gone: Vec<RefPush> = refs[..100].iter().map(|at| push(at, false)).collect();
    let results = remote.push(&bench.git, &here, &gone).await.unwrap();
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(testing::git(&there, &["for-each-ref"]).lines().count(), SOME - 100);
}

#[test]
fn a_login_is_in_the_environment_and_nowhere_else() {
    let login = Login { user: "bot".to_owned(), password: "s3cret".to_owned().into() };
    let remote = Remote {
        resolved: Some((
            "git.example.org".to_owned(),
            443,
            vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        )),
        login: Some(login),
        ..Remote::new("https://git.example.org/x")
    };
    let command = remote.command(Subcommand::Fetch, &GitDir::new("/srv/x.git"));
    assert!(!format!("{remote:?} {command:?}").contains("s3cret"));
    let encoded = "Ym90OnMzY3JldA==";
    assert!(!format!("{command:?}").contains(encoded), "nor in what is logged of a command");
    let built = command.build_for(Path::new("git"), &Settings::new("/tmp/x"));
    let args: Vec<String> = built.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    assert!(args.iter().all(|arg| !arg.contains(encoded) && !arg.contains("s3cret")), "{args:?}");
    assert!(args.contains(&"http.curloptResolve=git.example.org:443:192.0.2.1,[2001:db8::1]".to_owned()));
    assert!(args.contains(&"http.followRedirects=false".to_owned()));
    let value = |name: &str| {
        built
            .get_envs()
            .find(|(it, _)| *it == OsStr::new(name))
            .and_then(|(_, value)| value)
            .map(OsStr::to_owned)
    };
    assert_eq!(value("GIT_CONFIG_KEY_0").unwrap(), "http.extraHeader");
    assert_eq!(
        value("GIT_CONFIG_VALUE_0").unwrap().to_string_lossy(),
        format!("Authorization: Basic {encoded}")
    );
}

#[test]
fn complaints_about_logins_and_formats_are_told_apart() {
    let refused = |text: &str| FetchError::refused(text.to_owned());
    let login = "fatal: could not read Username for 'http://x': terminal prompts disabled";
    assert!(matches!(refused(login), FetchError::Login));
    assert!(matches!(
        refused("fatal: mismatched algorithms: client sha1; server sha256"),
        FetchError::Format
    ));
    assert!(matches!(refused("fatal: repository not found"), FetchError::Refused(_)));
}
