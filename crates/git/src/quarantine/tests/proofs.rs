//! The short way to connectivity proves nothing that git's own check denies.

use hakata_names::{ObjectFormat, Oid};

use crate::GitDir;
use crate::quarantine::{Disconnected, Fsck, PackLimits, Quarantine, Why};
use crate::testing::{self, Bench};

/// A pack of exactly these objects.
fn pack(dir: &GitDir, oids: &str) -> Vec<u8> {
    testing::pipe(dir, &["pack-objects", "--stdout", "-q"], oids.as_bytes())
}

/// Names what is new behind a tip, one object a line.
fn new_objects(dir: &GitDir, tip: &Oid, known: &[Oid]) -> String {
    let known: Vec<String> = known.iter().map(|oid| format!("^{oid}")).collect();
    let mut args =
        vec!["rev-list".to_owned(), "--objects".into(), "--no-object-names".into(), tip.to_string()];
    args.extend(known);
    testing::git(dir, &args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Pushes objects at a base; returns whether the proof holds, and what the whole check finds.
async fn push(
    bench: &Bench,
    base: &GitDir,
    work: &GitDir,
    objects: &str,
    tip: Oid,
) -> (bool, Vec<Disconnected>) {
    let format = tip.format();
    let parent = bench.root.path().join("quarantine");
    let quarantine = Quarantine::create(&parent, Some(base), format).unwrap();
    let limits = PackLimits { fsck: Fsck::Hashes, ..PackLimits::default() };
    let bytes = pack(work, objects);
    let indexed = quarantine.index_pack(&bench.git, &mut &bytes[..], &limits).await.unwrap();
    let snapshot = testing::snapshot(base, format);
    let proved = quarantine.prove(&bench.git, &snapshot, Some(&indexed), &[tip]).await.unwrap();
    let found = quarantine.check_push(&bench.git, &snapshot, Some(&indexed), &[tip], &[]).await.unwrap();
    assert_eq!(found, quarantine.check_connected(&bench.git, &[tip], &[]).await.unwrap(), "both ways agree");
    (proved, found)
}

/// Makes a base with the history, and a working copy of it with more.
fn base_and_work(bench: &Bench, format: ObjectFormat) -> (GitDir, GitDir, [Oid; 3]) {
    let (work, oids) = bench.history(format);
    let base = bench.repository(format);
    testing::git(&work, &["push", "-q", &base.path().display().to_string(), "main", "refs/tags/v1"]);
    (base, work, oids)
}

#[tokio::test]
async fn ordinary_pushes_are_proved() {
    let bench = Bench::new().await;
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (base, work, [one, _, three]) = base_and_work(&bench, format);
        let known = [three];
        let blob = testing::object(&work, "blob", b"deep\n");
        let inner = testing::pipe(&work, &["mktree"], format!("100644 blob {blob}\tf\n").as_bytes());
        let tree = format!(
            "040000 tree {}\tdir\n100644 blob {blob}\tfile\n",
            String::from_utf8(inner).unwrap().trim()
        );
        let four = testing::commit_tree(&work, &tree, "four", &[three]);
        let side = testing::commit(&work, "side", &[one]);
        let merge = testing::commit_tree(&work, &tree, "merge", &[four, side]);
        let root = testing::commit(&work, "root", &[]);
        let submodule = format!("{tree}160000 commit {root}\tmodule\n");
        let submodule = testing::commit_tree(&work, &submodule, "submodule", &[three]);
        testing::git(&work, &["tag", "-a", "-m", "t", "new", &four.to_string()]);
        let tag = Oid::parse_hex(testing::git(&work, &["rev-parse", "new"]).trim().as_bytes()).unwrap();
        for (what, tip) in [
            ("a commit", four),
            ("a merge with an old commit", merge),
            ("a root", root),
            ("a tag", tag),
            ("a submodule", submodule),
            ("a known commit", one),
        ] {
            let objects = new_objects(&work, &tip, &known);
            assert_eq!(push(&bench, &base, &work, &objects, tip).await, (true, vec![]), "{what}");
        }
        let empty = bench.repository(format);
        let objects = new_objects(&work, &merge, &[]);
        assert_eq!(push(&bench, &empty, &work, &objects, merge).await, (true, vec![]), "a first push");
    }
}

#[tokio::test]
async fn what_is_not_simple_is_left_to_git() {
    let bench = Bench::new().await;
    let (base, work, [_, _, three]) = base_and_work(&bench, ObjectFormat::Sha1);
    let old = testing::git(&work, &["rev-parse", "main~2:file"]);
    let back = testing::commit_tree(&work, &format!("100644 blob {}\tfile\n", old.trim()), "back", &[three]);
    let objects = new_objects(&work, &back, &[three]);
    let objects: String =
        objects.lines().filter(|oid| *oid != old.trim()).map(|oid| format!("{oid}\n")).collect();
    assert_eq!(push(&bench, &base, &work, &objects, back).await, (false, vec![]), "an old file comes back");

    let lost = testing::commit(&base, "lost", &[three]);
    testing::git(&work, &["fetch", "-q", &base.path().display().to_string(), "+main:refs/x"]);
    let copied = testing::commit(&work, "lost", &[three]);
    assert_eq!(lost, copied, "fixed dates make equal commits");
    let after = testing::commit(&work, "after", &[lost]);
    let objects = new_objects(&work, &after, &[lost]);
    assert_eq!(
        push(&bench, &base, &work, &objects, after).await,
        (false, vec![]),
        "whole, but not from refs"
    );
}

#[tokio::test]
async fn every_missing_object_is_missed() {
    let bench = Bench::new().await;
    let (base, work, [_, _, three]) = base_and_work(&bench, ObjectFormat::Sha1);
    let (a, b) = (testing::object(&work, "blob", b"a\n"), testing::object(&work, "blob", b"b\n"));
    let inner = testing::pipe(&work, &["mktree"], format!("100644 blob {b}\tf\n").as_bytes());
    let tree =
        format!("040000 tree {}\tdir\n100644 blob {a}\tfile\n", String::from_utf8(inner).unwrap().trim());
    let four = testing::commit_tree(&work, &tree, "four", &[three]);
    let five = testing::commit(&work, "five", &[four]);
    let objects = new_objects(&work, &five, &[three]);
    let all: Vec<&str> = objects.lines().collect();
    assert!(all.len() >= 7, "commits, trees and files: {all:?}");
    assert_eq!(push(&bench, &base, &work, &objects, five).await.1, []);
    for left_out in &all {
        let rest: String = all.iter().filter(|oid| oid != &left_out).map(|oid| format!("{oid}\n")).collect();
        let (proved, found) = push(&bench, &base, &work, &rest, five).await;
        assert!(!proved, "without {left_out}");
        assert_eq!(found, [Disconnected { tip: five, why: Why::Missing }], "without {left_out}");
    }
}
