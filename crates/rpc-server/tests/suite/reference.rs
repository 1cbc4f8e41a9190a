//! Repositories asked in all three ways, and git beside them: whatever git can say too, it must say the same.
//!
//! The repositories are those of [`zoo`](crate::zoo), and any that `HAKATA_TEST_REPOSITORIES` names.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use hakata_names::ObjectFormat;
use hakata_rpc::{Code, Operations};
use serde_json::{Value, json};

use crate::ask::{Parts, ask};
use crate::fixture::World;
use crate::zoo::{self, Dice};

mod blobs;
mod commits;
mod diffs;
mod refs;
mod trees;

/// Paths of bare repositories, with a colon between.
const VARIABLE: &str = "HAKATA_TEST_REPOSITORIES";

/// One question, and how the same lines come of both answers.
struct Check {
    key: &'static str,
    /// Without the repository.
    request: Value,
    git: Vec<Vec<u8>>,
    said: Said,
    heard: Heard,
}

type Said = Box<dyn Fn(&[Value]) -> Vec<String> + Send>;
type Heard = Box<dyn Fn(&[u8]) -> Vec<String> + Send>;

impl Check {
    fn new(
        key: &'static str,
        request: Value,
        git: &[&[u8]],
        said: impl Fn(&[Value]) -> Vec<String> + Send + 'static,
        heard: impl Fn(&[u8]) -> Vec<String> + Send + 'static,
    ) -> Self {
        let git = git.iter().map(|word| word.to_vec()).collect();
        Self { key, request, git, said: Box::new(said), heard: Box::new(heard) }
    }
}

/// What of a repository is asked about.
struct Sample {
    dice: Dice,
    /// Commits, the newest of a branch first.
    commits: Vec<String>,
    branches: Vec<String>,
    paths: Vec<At>,
}

/// A path in a commit.
#[derive(Clone)]
struct At {
    commit: String,
    path: Vec<u8>,
    /// In git's words: `100` is a file, `040` a directory, `120` a link, `160` a submodule.
    kind: String,
}

impl At {
    fn is_file(&self) -> bool {
        self.kind == "100"
    }
}

impl Sample {
    fn take(dir: &Path, n: usize) -> Self {
        let mut dice = Dice(42);
        let lines = |args: &[&str]| -> Vec<String> {
            let said = git(dir, &args.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
            String::from_utf8(said.unwrap_or_default()).unwrap().lines().map(str::to_owned).collect()
        };
        let all = lines(&["rev-list", "--branches"]);
        let mut commits: Vec<String> = all.first().into_iter().chain(all.last()).cloned().collect();
        commits.extend((0..n).filter(|_| !all.is_empty()).map(|_| all[dice.roll(all.len())].clone()));
        let merges = lines(&["rev-list", "--branches", "--merges", "--max-count=200"]);
        commits.extend(
            (0..n / 2).filter(|_| !merges.is_empty()).map(|_| merges[dice.roll(merges.len())].clone()),
        );
        let branches = lines(&["for-each-ref", "--format=%(refname)", "refs/heads/"]);
        let mut paths = Vec::new();
        for commit in &commits {
            let listed = git(dir, &words(&["ls-tree", "-r", "-t", "-z", commit])).unwrap_or_default();
            let entries: Vec<&[u8]> =
                listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).collect();
            for _ in 0..3.min(entries.len()) {
                let entry = entries[dice.roll(entries.len())];
                let tab = entry.iter().position(|byte| *byte == b'\t').unwrap();
                let kind = String::from_utf8_lossy(&entry[..3]).into_owned();
                paths.push(At { commit: commit.clone(), path: entry[tab + 1..].to_vec(), kind });
            }
        }
        Self { dice, commits, branches, paths }
    }

    /// Pairs of commits that were taken.
    fn pairs(&mut self, n: usize) -> Vec<(String, String)> {
        let Self { dice, commits, .. } = self;
        if commits.is_empty() {
            return Vec::new();
        }
        let mut one = || commits[dice.roll(commits.len())].clone();
        (0..n).map(|_| (one(), one())).collect()
    }
}

/// Compares a repository that is made.
async fn made(format: ObjectFormat, script: &[u8]) {
    let world = World::new().await;
    world.import(format, script);
    world.create("tools", format).await;
    let n = compare(&world, world.client.path(), 5).await;
    assert!(n > 4, "{n} answers were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same_of_odd_files_and_merges() {
    made(ObjectFormat::Sha1, &zoo::wild(ObjectFormat::Sha1, 90, 7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same_of_sha_256() {
    made(ObjectFormat::Sha256, &zoo::wild(ObjectFormat::Sha256, 60, 8)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same_of_renames() {
    made(ObjectFormat::Sha1, &zoo::moving(40, 9)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same_of_criss_cross_merges() {
    made(ObjectFormat::Sha1, &zoo::criss_cross()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same_of_more_than_one_part_holds() {
    made(ObjectFormat::Sha1, &zoo::wide(1_200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same_of_nothing() {
    made(ObjectFormat::Sha1, b"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_says_the_same_of_given_repositories() {
    for path in std::env::var(VARIABLE).unwrap_or_default().split(':').filter(|path| !path.is_empty()) {
        let path = Path::new(path);
        let world = World::new().await;
        world.import_whole("tools", path).await;
        let n = compare(&world, path, 12).await;
        assert!(n > 100, "{}: {n} answers were compared", path.display());
        println!("{}: {n} answers compared", path.display());
    }
}

/// Asks everything; returns how many answers git confirmed.
async fn compare(world: &World, dir: &Path, n_samples: usize) -> usize {
    let mut sample = Sample::take(dir, n_samples);
    let mut checks = refs::checks(dir, &mut sample);
    checks.extend(commits::checks(dir, &mut sample));
    checks.extend(trees::checks(dir, &mut sample));
    checks.extend(blobs::checks(dir, &mut sample));
    checks.extend(diffs::checks(dir, &mut sample));
    let ways: [(&str, Arc<dyn Operations>); 2] =
        [("grpc", world.grpc().operations()), ("msgpack", world.msgpack().operations())];
    let (mut n, mut wrong) = (0, Vec::new());
    for check in &checks {
        let mut request = check.request.clone();
        request["repository"] = json!({ "path": "alice/tools" });
        let ours = ask(&*world.local, check.key, &request).await;
        for (way, to) in &ways {
            let other = ask(&**to, check.key, &request).await;
            assert!(ours == other, "{} {request} over {way}: {ours:.300?} and {other:.300?}", check.key);
        }
        resumed(&*world.local, check.key, request, &ours).await;
        let theirs = git(dir, &check.git);
        match differ(check, ours, theirs) {
            None => n += 1,
            Some(how) => {
                wrong.push(format!("{} {}\n{:?}\n{how}", check.key, check.request, shown(&check.git)))
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}: {} of {} differ\n{}",
        dir.display(),
        wrong.len(),
        checks.len(),
        wrong.join("\n\n")
    );
    n
}

/// Goes on behind the first part of an answer, as a caller does whose connection broke: the rest is the same.
async fn resumed(to: &dyn Operations, key: &str, mut request: Value, whole: &Parts) {
    let Some(Ok(first)) = whole.first() else { return };
    let Some(cursor) = first["cursor"].as_str().filter(|cursor| !cursor.is_empty()) else { return };
    request["cursor"] = json!(cursor);
    let rest = ask(to, key, &request).await;
    assert!(rest == whole[1..], "{key} {request}: {rest:.300?} and {:.300?}", &whole[1..]);
}

/// Says how the answers differ.
fn differ(check: &Check, ours: Parts, theirs: Result<Vec<u8>, String>) -> Option<String> {
    let ours: Result<Vec<Value>, _> = ours.into_iter().collect();
    match (ours, theirs) {
        (Ok(parts), Ok(said)) => {
            let (ours, theirs) = ((check.said)(&parts), (check.heard)(&said));
            let at = ours.iter().zip(&theirs).position(|(one, other)| one != other);
            let at = at.or_else(|| (ours.len() != theirs.len()).then_some(ours.len().min(theirs.len())))?;
            Some(format!("line {at}:\n  ours {:.300?}\n  git  {:.300?}", ours.get(at), theirs.get(at)))
        }
        (Err(status), Err(_)) if matches!(status.code, Code::NotFound | Code::InvalidArgument) => None,
        (Err(status), Ok(said)) if status.code == Code::NotFound && said.is_empty() => None,
        (Err(status), theirs) => {
            Some(format!("ours {status:?}\n  git  {:.200?}", theirs.map(|said| shown(&[said]))))
        }
        (Ok(parts), Err(_)) if (check.said)(&parts).is_empty() => None,
        (Ok(parts), Err(said)) => Some(format!("ours {parts:.300?}\n  git  {said}")),
    }
}

fn shown(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Runs git; the error is what it complained about.
fn git(dir: &Path, args: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    use std::os::unix::ffi::OsStrExt;
    let args = args.iter().map(|word| std::ffi::OsStr::from_bytes(word));
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "--literal-pathspecs", "--git-dir"])
        .arg(dir)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_NO_REPLACE_OBJECTS", "1"), ("HOME", "/nowhere")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Writes bytes as JSON shows them.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("base64:") => text.to_owned(),
        _ => format!("base64:{}", base64::engine::general_purpose::STANDARD.encode(bytes)),
    }
}

/// Reads bytes that JSON shows.
fn bytes(shown: &Value) -> Vec<u8> {
    let shown = shown.as_str().unwrap();
    match shown.strip_prefix("base64:") {
        Some(coded) => base64::engine::general_purpose::STANDARD.decode(coded).unwrap(),
        None => shown.as_bytes().to_vec(),
    }
}

/// Collects the rows of a list that comes in parts.
fn rows<'a>(parts: &'a [Value], list: &'a str) -> impl Iterator<Item = &'a Value> {
    parts.iter().flat_map(move |part| part[list].as_array().unwrap())
}

/// Lines of git's answer as JSON shows them.
fn lines(said: &[u8]) -> Vec<String> {
    said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(text).collect()
}

/// Records that end with a zero byte.
fn records(said: &[u8]) -> impl Iterator<Item = &[u8]> {
    said.split(|byte| *byte == 0).filter(|record| !record.is_empty())
}
