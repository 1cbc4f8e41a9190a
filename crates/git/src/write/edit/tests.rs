use hakata_names::{ObjectFormat, Oid, TreePath};

use super::{Act, EditError, Existing, FileChange, Obstacle};
use crate::GitDir;
use crate::objects::ReadError;
use crate::quarantine::{PackLimits, Quarantine};
use crate::testing::{self, Bench};
use crate::write::{Bounds, EntryMode, NewObjects, WriteError};

/// What stands in the tree that the tests change: an old mode, which `ls-tree` hides, and a submodule too.
const BEFORE: &[(&str, &str, &str)] = &[
    ("100644", "a", "a"),
    ("100755", "bin/run", "run"),
    ("100664", "bin/old", "old"),
    ("120000", "link", "bin"),
    ("160000", "sub", ""),
    ("100644", "src/deep/er/file", "deep"),
    ("100644", "src/lib", "lib"),
];

struct Made {
    bench: Bench,
    dir: GitDir,
    tree: Oid,
}

impl Made {
    async fn new(format: ObjectFormat) -> Self {
        let bench = Bench::new().await;
        let dir = bench.repository(format);
        let mut below = std::collections::BTreeMap::<&str, String>::new();
        for (mode, path, content) in BEFORE {
            let (at, name) = path.rsplit_once('/').unwrap_or(("", path));
            let (kind, oid) = match *mode {
                "160000" => ("commit", "1".repeat(format.oid_len() * 2)),
                _ => ("blob", testing::object(&dir, "blob", content.as_bytes()).to_string()),
            };
            below.entry(at).or_default().push_str(&format!("{mode} {kind} {oid}\t{name}\n"));
        }
        let mktree = |lines: &str| tree_of(&dir, lines);
        let er = mktree(&below["src/deep/er"]);
        let deep = mktree(&format!("040000 tree {er}\ter\n"));
        let src = mktree(&format!("{}040000 tree {deep}\tdeep\n", below["src"]));
        let bin = mktree(&below["bin"]);
        let tree = mktree(&format!("{}040000 tree {src}\tsrc\n040000 tree {bin}\tbin\n", below[""]));
        Self { dir, tree, bench }
    }

    /// Applies changes; what comes of it as `ls-tree -r` lists it, oids replaced by contents.
    async fn edit(&self, changes: Vec<FileChange>) -> Result<Vec<String>, EditError> {
        let (format, tree) = (self.tree.format(), self.tree);
        let objects = self.bench.git.objects(&self.dir, 0).await.unwrap();
        let edited = objects.read(move |view| {
            let mut made = NewObjects::new(format, Bounds::default());
            for content in ["new", "other"] {
                made.blob(content.into()).map_err(|error| ReadError::Invalid(error.to_string()))?;
            }
            Ok(made.edited(view, Some(&tree), &changes).map(|root| (made, root)))
        });
        let (made, root) = edited.await.unwrap()?;
        let quarantine =
            Quarantine::create(&self.bench.root.path().join("q"), Some(&self.dir), format).unwrap();
        let mut pack = made.into_pack().unwrap();
        quarantine.index_pack(&self.bench.git, &mut pack, &PackLimits::default()).await.unwrap();
        let dir = quarantine.dir();
        let listed = testing::git(dir, &["ls-tree", "-r", &root.to_string()]);
        let line = |line: &str| {
            let (head, path) = line.split_once('\t').unwrap();
            let mut words = head.split(' ');
            let (mode, kind, oid) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let content =
                if kind == "blob" { testing::git(dir, &["cat-file", "blob", oid]) } else { String::new() };
            format!("{mode} {path} {content}")
        };
        Ok(listed.lines().map(line).collect())
    }

    fn blob(&self, content: &str) -> Oid {
        NewObjects::new(self.tree.format(), Bounds::default()).blob(content.into()).unwrap()
    }

    fn write(&self, at: &str, content: &str, existing: Existing) -> FileChange {
        change(at, Act::Write { blob: self.blob(content), mode: None, existing })
    }
}

fn tree_of(dir: &GitDir, lines: &str) -> Oid {
    let hex = testing::pipe(dir, &["mktree", "--missing"], lines.as_bytes());
    Oid::parse_hex(hex.trim_ascii()).unwrap()
}

fn path(path: &str) -> TreePath {
    TreePath::parse(path.as_bytes()).unwrap()
}

fn change(at: &str, act: Act) -> FileChange {
    FileChange { path: path(at), act, expected: None }
}

fn moved(from: &str, to: &str) -> FileChange {
    change(to, Act::Move { from: path(from), blob: None, mode: None })
}

/// Lists what was there before, without some paths and with others.
fn before(without: &[&str], with: &[&str]) -> Vec<String> {
    let kept = BEFORE.iter().filter(|(_, path, _)| !without.iter().any(|gone| path.starts_with(gone)));
    let line =
        |mode: &str, path: &str, content: &str| format!("{} {path} {content}", mode.replace("664", "644"));
    let mut lines: Vec<String> = kept.map(|(mode, path, content)| line(mode, path, content)).collect();
    lines.extend(with.iter().map(|line| (*line).to_owned()));
    lines.sort_by(|a, b| a[7..].cmp(&b[7..]));
    lines
}

#[tokio::test]
async fn files_come_change_move_and_go() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let made = Made::new(format).await;
        let put = |at: &str| made.write(at, "new", Existing::May);
        let with_mode = |at: &str, mode| {
            change(at, Act::Write { blob: made.blob("new"), mode: Some(mode), existing: Existing::May })
        };
        let rewritten = change(
            "z",
            Act::Move { from: path("a"), blob: Some(made.blob("new")), mode: Some(EntryMode::EXECUTABLE) },
        );
        for (changes, wanted) in [
            (vec![], before(&[], &[])),
            (vec![made.write("b", "new", Existing::MustNot)], before(&[], &["100644 b new"])),
            (
                vec![made.write("bin/run", "new", Existing::Must)],
                before(&["bin/run"], &["100755 bin/run new"]),
            ),
            (vec![put("link")], before(&["link"], &["120000 link new"])),
            (vec![put("x/y/z")], before(&[], &["100644 x/y/z new"])),
            (vec![with_mode("l", EntryMode::LINK)], before(&[], &["120000 l new"])),
            (vec![with_mode("link", EntryMode::FILE)], before(&["link"], &["100644 link new"])),
            (vec![change("src", Act::Delete)], before(&["src"], &[])),
            (vec![change("src/deep/er/file", Act::Delete)], before(&["src/deep"], &[])),
            (vec![change("sub", Act::Delete)], before(&["sub"], &[])),
            (vec![moved("a", "src/a")], before(&["a"], &["100644 src/a a"])),
            (vec![moved("bin/old", "o")], before(&["bin/old"], &["100644 o old"])),
            (vec![rewritten], before(&["a"], &["100755 z new"])),
            (
                vec![moved("src", "a/src"), change("a", Act::Delete)],
                before(&["src", "a"], &["100644 a/src/deep/er/file deep", "100644 a/src/lib lib"]),
            ),
            (
                vec![moved("a", "src/lib"), moved("src/lib", "a")],
                before(&["a", "src/lib"], &["100644 a lib", "100644 src/lib a"]),
            ),
            (vec![moved("src/deep/er/file", "src/deep")], before(&["src/deep"], &["100644 src/deep deep"])),
            (vec![moved("sub", "modules/sub")], before(&["sub"], &["160000 modules/sub "])),
            (vec![change("src", Act::Delete), put("src")], vec![]),
            (vec![change("a", Act::SetMode(EntryMode::EXECUTABLE))], before(&["a"], &["100755 a a"])),
        ] {
            let edited = made.edit(changes.clone()).await;
            if wanted.is_empty() {
                let twice = matches!(edited, Err(EditError::Write(WriteError::Invalid(_))));
                assert!(twice, "{changes:?}: {edited:?}");
                continue;
            }
            assert_eq!(edited.unwrap(), wanted, "{changes:?}");
        }
        let all = BEFORE.iter().map(|(_, at, _)| change(at, Act::Delete)).collect();
        assert_eq!(made.edit(all).await.unwrap(), Vec::<String>::new(), "an empty tree is a tree");
    }
}

#[tokio::test]
async fn what_nobody_touches_stays_to_the_last_bit() {
    let made = Made::new(ObjectFormat::Sha1).await;
    let objects = made.bench.git.objects(&made.dir, 0).await.unwrap();
    let (tree, change) = (made.tree, made.write("bin/run", "new", Existing::Must));
    let edited = objects.read(move |view| {
        let mut objects = NewObjects::new(ObjectFormat::Sha1, Bounds::default());
        let same = objects.edited(view, Some(&tree), &[]).ok();
        assert_eq!((same, objects.len()), (Some(tree), 0), "no change makes no object");
        let root = objects.edited(view, Some(&tree), &[change]).ok().unwrap();
        assert_eq!(objects.len(), 2, "only what lies above a change is made");
        let (_, root) = objects.find(&root).unwrap();
        let at = root.windows(4).position(|bytes| bytes == b"bin\0").unwrap() + 4;
        let bin = Oid::from_bytes(&root[at..at + 20]).unwrap();
        Ok(objects.find(&bin).unwrap().1.to_vec())
    });
    let bin = edited.await.unwrap();
    assert!(bin.starts_with(b"100664 old\0"), "an old mode survives");
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let made = Made::new(ObjectFormat::Sha1).await;
    let (must, must_not, may) = (Existing::Must, Existing::MustNot, Existing::May);
    let expecting = |at: &str, expected: &str| FileChange {
        expected: Some(made.blob(expected)),
        ..made.write(at, "new", may)
    };
    for (change, what) in [
        (made.write("none", "new", must), Obstacle::Missing),
        (made.write("a", "new", must_not), Obstacle::Exists),
        (made.write("src", "new", must_not), Obstacle::Exists),
        (made.write("src", "new", may), Obstacle::NoFile),
        (made.write("sub", "new", must), Obstacle::NoFile),
        (made.write("a/b", "new", may), Obstacle::BelowFile),
        (made.write("link/b", "new", may), Obstacle::BelowLink),
        (made.write("sub/b", "new", may), Obstacle::BelowSubmodule),
        (expecting("a", "b"), Obstacle::Differs),
        (expecting("none", "b"), Obstacle::Missing),
        (FileChange { expected: Some(made.blob("b")), ..change("a", Act::Delete) }, Obstacle::Differs),
        (FileChange { expected: Some(made.blob("b")), ..moved("a", "z") }, Obstacle::Differs),
        (change("none", Act::Delete), Obstacle::Missing),
        (moved("a/b", "z"), Obstacle::Missing),
        (moved("a", "bin"), Obstacle::Exists),
        (moved("a", "bin/run"), Obstacle::Exists),
        (change("link", Act::SetMode(EntryMode::FILE)), Obstacle::NoFile),
        (change("none", Act::SetMode(EntryMode::FILE)), Obstacle::Missing),
        (
            change("z", Act::Move { from: path("src"), blob: Some(made.blob("new")), mode: None }),
            Obstacle::NoFile,
        ),
    ] {
        match made.edit(vec![change.clone()]).await {
            Err(EditError::Conflict(conflicts)) => {
                let found: Vec<Obstacle> = conflicts.iter().map(|conflict| conflict.what).collect();
                assert_eq!(found, [what], "{change:?}");
            }
            edited => panic!("{change:?}: {edited:?}"),
        }
    }
    let two = vec![change("none", Act::Delete), made.write("a", "new", must_not)];
    let Err(EditError::Conflict(conflicts)) = made.edit(two).await else { panic!("both are in the way") };
    assert_eq!(conflicts.len(), 2, "all conflicts are told at once");
    assert!(made.edit(vec![expecting("a", "a")]).await.is_ok());
}

#[tokio::test]
async fn what_makes_no_sense_or_hurts_is_refused() {
    let made = Made::new(ObjectFormat::Sha1).await;
    let put = |at: &str| made.write(at, "new", Existing::May);
    let modules = |from: Act| change(".gitmodules", from);
    let link = Some(EntryMode::LINK);
    for changes in [
        vec![put("a"), put("a")],
        vec![change("a", Act::Delete), change("a", Act::Delete)],
        vec![change("a", Act::Delete), put("a")],
        vec![moved("a", "b"), moved("a", "c")],
        vec![moved("a", "b"), put("b")],
        vec![change("a", Act::SetMode(EntryMode::LINK))],
        vec![change("a", Act::SetMode(EntryMode::TREE))],
        vec![put("x/.GIT/config")],
        vec![put("git~1")],
        vec![moved("a", "aux.h")],
        vec![moved("src", ".git ")],
        vec![modules(Act::Write { blob: made.blob("new"), mode: link, existing: Existing::May })],
        vec![modules(Act::Move { from: path("link"), blob: None, mode: None })],
    ] {
        let edited = made.edit(changes.clone()).await;
        assert!(matches!(edited, Err(EditError::Write(WriteError::Invalid(_)))), "{changes:?}: {edited:?}");
    }
}
