//! What tests of this crate share: a git, directories that go, and histories with fixed dates.

mod daemon;

use std::path::Path;
use std::process::{Command, Stdio};

use hakata_names::{ObjectFormat, Oid, RefName};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::tasks::Tasks;

pub(crate) use daemon::Daemon;

use crate::refs::{Head, Ref, RefSnapshot};
use crate::{Git, GitDir, Settings};

pub(crate) fn tasks() -> Tasks {
    Tasks::new()
}

pub(crate) fn blocking() -> Blocking {
    Blocking::new(4)
}

pub(crate) fn settings(scratch: &Path) -> Settings {
    Settings { binary: "git".into(), ..Settings::new(scratch) }
}

/// A git and a directory for one test.
pub(crate) struct Bench {
    pub(crate) git: Git,
    pub(crate) root: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut settings = settings(&root.path().join("scratch"));
        change(&mut settings);
        Self { git: Git::find(settings, &tasks(), blocking()).await.unwrap(), root }
    }

    /// Names a repository below the test's directory.
    pub(crate) fn path(&self, name: &str) -> GitDir {
        GitDir::new(self.root.path().join(name))
    }

    /// Makes an empty repository with `HEAD` at `main`.
    pub(crate) fn repository(&self, format: ObjectFormat) -> GitDir {
        let n = std::fs::read_dir(self.root.path()).unwrap().count();
        let dir = GitDir::new(self.root.path().join(format!("{n}.git")));
        crate::init::init_bare(&dir, format, &Head::Symbolic(main())).unwrap();
        dir
    }

    /// Makes a repository with three commits on `main`, a branch, tags and a tag of a tag.
    pub(crate) fn history(&self, format: ObjectFormat) -> (GitDir, [Oid; 3]) {
        let dir = self.repository(format);
        let one = commit(&dir, "one", &[]);
        let two = commit(&dir, "two", &[one]);
        let three = commit(&dir, "three", &[two]);
        git(&dir, &["update-ref", "refs/heads/main", &three.to_string()]);
        git(&dir, &["update-ref", "refs/heads/topic/a", &two.to_string()]);
        git(&dir, &["update-ref", "refs/notes/x", &one.to_string()]);
        git(&dir, &["tag", "light", &one.to_string()]);
        git(&dir, &["tag", "-a", "-m", "v1", "v1", &two.to_string()]);
        git(&dir, &["tag", "-a", "-m", "nested", "nested", "v1"]);
        (dir, [one, two, three])
    }
}

pub(crate) fn main() -> RefName {
    RefName::parse(b"refs/heads/main").unwrap()
}

/// Runs the git of this machine with fixed dates and names; the test fails if git does.
pub(crate) fn git(dir: &GitDir, args: &[&str]) -> String {
    let output = command(dir, args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn command(dir: &GitDir, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("HOME", "/nonexistent")
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
        .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@example.org")])
        .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")]);
    command
}

/// Runs git with an input; returns what it says.
pub(crate) fn pipe(dir: &GitDir, args: &[&str], input: &[u8]) -> Vec<u8> {
    feed(command(dir, args), input)
}

/// Runs a command with an input; returns what it says.
pub(crate) fn feed(mut command: Command, input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writing.join().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

/// Writes an object; returns its id.
pub(crate) fn object(dir: &GitDir, kind: &str, content: &[u8]) -> Oid {
    let hex = pipe(dir, &["hash-object", "-t", kind, "-w", "--stdin", "--literally"], content);
    Oid::parse_hex(hex.trim_ascii()).unwrap()
}

/// Makes a commit whose tree has one file `file` with the message in it.
pub(crate) fn commit(dir: &GitDir, message: &str, parents: &[Oid]) -> Oid {
    let blob = object(dir, "blob", format!("{message}\n").as_bytes());
    commit_tree(dir, &format!("100644 blob {blob}\tfile\n"), message, parents)
}

/// Makes a commit of a tree given as `mktree` takes it.
pub(crate) fn commit_tree(dir: &GitDir, tree: &str, message: &str, parents: &[Oid]) -> Oid {
    let tree = pipe(dir, &["mktree", "--missing"], tree.as_bytes());
    let tree = String::from_utf8(tree).unwrap();
    let mut args = vec!["commit-tree".to_owned(), "-m".into(), message.into(), tree.trim().into()];
    args.extend(parents.iter().flat_map(|parent| ["-p".to_owned(), parent.to_string()]));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Oid::parse_hex(git(dir, &args).trim().as_bytes()).unwrap()
}

/// Reads the refs of a repository as git sees them.
pub(crate) fn snapshot(dir: &GitDir, format: ObjectFormat) -> RefSnapshot {
    let listing = git(dir, &["for-each-ref", "--format=%(objectname) %(refname) %(*objectname)"]);
    let refs = listing.lines().map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let name = RefName::parse(fields[1].as_bytes()).unwrap();
        let oid = Oid::parse_hex(fields[0].as_bytes()).unwrap();
        let peeled =
            (!fields[2].is_empty()).then(|| git(dir, &["rev-parse", &format!("{}^{{}}", fields[1])]));
        Ref { name, oid, peeled: peeled.map(|hex| Oid::parse_hex(hex.trim().as_bytes()).unwrap()) }
    });
    let refs = refs.collect();
    let head = std::fs::read_to_string(dir.path().join("HEAD")).unwrap();
    let head = match head.trim().strip_prefix("ref: ") {
        Some(name) => Head::Symbolic(RefName::parse(name.as_bytes()).unwrap()),
        None => Head::Detached(Oid::parse_hex(head.trim().as_bytes()).unwrap()),
    };
    RefSnapshot::build(1, format, head, refs)
}

/// Runs git with arguments that need not be UTF-8; returns what it says.
pub(crate) fn git_bytes(dir: &GitDir, args: &[&[u8]]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut command = command(dir, &[]);
    command.args(args.iter().map(|arg| std::ffi::OsStr::from_bytes(arg)));
    feed(command, b"")
}
