//! What comes of merging, against `git merge-tree` itself.

use std::collections::BTreeSet;

use hakata_names::{ObjectFormat, Oid};

use crate::merge::{MergeQuery, Merged, answer, trees};
use crate::objects::Kind;
use crate::objects::Objects;
use crate::read::Allowance;
use crate::read::zoo::{Dice, Files, Made, Zoo};
use crate::testing;

/// Asks git for one merge, by a process of its own in the repository itself.
async fn by_git(zoo: &Zoo, query: &MergeQuery) -> Merged {
    let MergeQuery { base, ours, theirs } = query;
    let mut args = vec!["merge-tree".to_owned(), "--write-tree".into(), "-z".into()];
    match base {
        Some(base) => args.push(format!("--merge-base={base}")),
        None => args.push("--allow-unrelated-histories".into()),
    }
    args.extend([ours.to_string(), theirs.to_string()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = testing::command(&zoo.dir, &args).output().unwrap();
    let status = output.status.code().unwrap();
    assert!(status <= 1, "{}", String::from_utf8_lossy(&output.stderr));
    let said = [if status == 0 { b"1\0" } else { b"0\0" }, &output.stdout[..], b"\0"].concat();
    answer::read(&mut &said[..]).await.unwrap().0
}

/// Merges by the trees alone, over the only merge base.
async fn by_trees(objects: &Objects, ours: Oid, theirs: Oid) -> Option<Merged> {
    let merge = move |view: &crate::objects::View| {
        let bases = view.merge_bases(&ours, &[theirs])?;
        let base = bases.first().copied().filter(|_| bases.len() == 1);
        trees::merge(view, &MergeQuery { base, ours, theirs })
    };
    objects.read(merge).await.unwrap()
}

#[tokio::test]
async fn merges_by_trees_alone_are_those_of_git() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        for seed in [1, 2, 3] {
            let zoo = Zoo::wild(format, 30, seed).await;
            let objects = zoo.objects().await;
            let mut n_merged = 0;
            for ours in &zoo.commits {
                for theirs in &zoo.commits {
                    let Some(merged) = by_trees(&objects, *ours, *theirs).await else { continue };
                    let query = MergeQuery { base: None, ours: *ours, theirs: *theirs };
                    assert_eq!(merged, by_git(&zoo, &query).await, "{ours} {theirs}");
                    n_merged += usize::from(ours != theirs);
                }
            }
            assert!(n_merged > 100, "some are merged: {n_merged}");
        }
    }
}

/// Small trees in which files come, go, change and move between few directories, so that everything meets everything.
#[tokio::test]
async fn merges_by_trees_alone_are_those_of_git_where_all_meets() {
    let content = |n: usize| format!("{n}\n1\n2\n3\n4\n5\n6\n7\n8\n9\n").into_bytes();
    let mut dice = Dice(5);
    let mut made = Vec::new();
    for n in 0..120 {
        // Each third commit is a base, and the two behind it are its children.
        let parent = (n % 3 != 0).then_some(n - n % 3);
        let mut files: Files = parent.map_or_else(Files::new, |at: usize| {
            let parent: &Made = &made[at];
            parent.files.clone()
        });
        for _ in 0..if parent.is_some() { 1 + dice.roll(3) } else { 8 } {
            let path =
                [&b"a"[..], b"b", b"d/a", b"d/b", b"d/e/a", b"d/e/b", b"f/a", b"f"][dice.roll(8)].to_vec();
            let within =
                |one: &[u8], other: &[u8]| one.strip_prefix(other).is_some_and(|rest| rest.starts_with(b"/"));
            if files.keys().any(|other| within(other, &path) || within(&path, other)) {
                continue;
            }
            let moved = files.keys().nth(dice.roll(files.len().max(1))).cloned();
            match (dice.roll(4), moved) {
                (0, Some(from)) => {
                    let file = files.remove(&from).unwrap();
                    files.insert(path, file);
                }
                (1, Some(at)) => drop(files.remove(&at)),
                (2, Some(at)) => drop(files.insert(at, (TEXT, content(dice.roll(3) + 20)))),
                _ => drop(files.insert(path, (TEXT, content(dice.roll(12))))),
            }
        }
        files.entry(b"z".to_vec()).or_insert((TEXT, b"z\n".to_vec()));
        made.push(Made {
            files,
            parents: parent.into_iter().collect(),
            message: n.to_string().into(),
            ..Made::default()
        });
    }
    let zoo = Zoo::make(ObjectFormat::Sha1, &made).await;
    let objects = zoo.objects().await;
    let mut n_merged = 0;
    for three in zoo.commits.chunks(3) {
        for (ours, theirs) in [(three[1], three[2]), (three[2], three[1])] {
            let Some(merged) = by_trees(&objects, ours, theirs).await else { continue };
            assert_eq!(
                merged,
                by_git(&zoo, &MergeQuery { base: None, ours, theirs }).await,
                "{ours} {theirs}"
            );
            n_merged += 1;
        }
    }
    assert!((10..70).contains(&n_merged), "some are merged and some are not: {n_merged}");
}

#[tokio::test]
async fn merges_of_a_wild_history_are_those_of_git() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::wild(format, 40, 11).await;
        zoo.write_commit_graph(2);
        let objects = zoo.objects().await;
        let mut merging = objects.start_merging(&Allowance::default()).await.unwrap();
        let (mut n_clean, mut n_conflicts) = (0, 0);
        for (n, ours) in zoo.commits.iter().enumerate() {
            for theirs in zoo.commits.iter().skip(n % 3).step_by(3) {
                let query = MergeQuery { base: None, ours: *ours, theirs: *theirs };
                let merged = merging.merge(&query).await.unwrap();
                assert_eq!(merged, by_git(&zoo, &query).await, "{ours} {theirs}");
                *if merged.is_clean { &mut n_clean } else { &mut n_conflicts } += 1;
            }
        }
        assert!(n_clean > 50 && n_conflicts > 50, "both happen: {n_clean} clean, {n_conflicts} not");
    }
}

type File = (&'static [u8], u32, &'static [u8]);

fn files(list: &[File]) -> Files {
    list.iter().map(|(path, mode, content)| (path.to_vec(), (*mode, content.to_vec()))).collect()
}

const TEXT: u32 = 0o100_644;
const SCRIPT: u32 = 0o100_755;
const LINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;
const LINES: &[u8] = b"1\n2\n3\n4\n5\n6\n7\n8\n9\n";

/// What both come from, what each side has, and what git calls it; nothing if it merges.
type Case = (&'static [File], &'static [File], &'static [File], &'static [&'static str]);

const CASES: &[Case] = &[
    (&[(b"a", TEXT, LINES)], &[(b"a", TEXT, b"0\n")], &[(b"a", TEXT, b"9\n")], &["contents"]),
    (&[(b"a", TEXT, LINES)], &[(b"a", TEXT, b"0\n")], &[], &["modify/delete"]),
    (&[], &[(b"a", TEXT, b"one\n")], &[(b"a", TEXT, b"two\n")], &["contents"]),
    (&[(b"a", TEXT, LINES)], &[(b"b", TEXT, LINES)], &[(b"c", TEXT, LINES)], &["rename/rename"]),
    (&[(b"a", TEXT, LINES)], &[(b"b", TEXT, LINES)], &[], &["rename/delete"]),
    (
        &[(b"a", TEXT, LINES)],
        &[(b"b", TEXT, LINES)],
        &[(b"a", TEXT, b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")],
        &[],
    ),
    (&[(b"a", TEXT, LINES)], &[(b"a", SCRIPT, LINES)], &[(b"a", TEXT, b"0\n")], &[]),
    (&[], &[(b"a", SCRIPT, LINES)], &[(b"a", TEXT, LINES)], &["contents"]),
    (
        &[(b"a", TEXT, b"\0one")],
        &[(b"a", TEXT, b"\0two")],
        &[(b"a", TEXT, b"\0three")],
        &["binary", "contents"],
    ),
    (&[(b"a", TEXT, LINES)], &[(b"a", LINK, b"b")], &[(b"a", TEXT, b"0\n")], &["distinct modes"]),
    (&[], &[(b"d", TEXT, LINES)], &[(b"d/f", TEXT, b"0\n")], &["file/directory"]),
    (&[(b"l", LINK, b"a")], &[(b"l", LINK, b"b")], &[(b"l", LINK, b"c")], &["contents"]),
    (
        &[(b"d/f", TEXT, LINES)],
        &[(b"e/f", TEXT, LINES)],
        &[(b"d/f", TEXT, LINES), (b"d/g", TEXT, b"g\n")],
        &["directory rename suggested"],
    ),
    (
        &[(b"new\nline \"\xff", TEXT, LINES)],
        &[(b"new\nline \"\xff", TEXT, b"0\n")],
        &[(b"new\nline \"\xff", TEXT, b"9\n")],
        &["contents"],
    ),
    (&[(b"a", TEXT, LINES)], &[(b"a", TEXT, LINES), (b"s", SUBMODULE, b"")], &[(b"a", TEXT, b"0\n")], &[]),
    (&[(b"s", TEXT, LINES)], &[(b"s", SUBMODULE, b"")], &[(b"s", TEXT, b"0\n")], &["distinct modes"]),
];

#[tokio::test]
async fn every_kind_of_conflict_is_what_git_says() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        for (n, (base, ours, theirs, kinds)) in CASES.iter().enumerate() {
            let side = |list: &[File], parents: &[usize]| Made {
                files: files(list),
                parents: parents.to_vec(),
                time: 1_700_000_000,
                ..Made::default()
            };
            let zoo = Zoo::make(format, &[side(base, &[]), side(ours, &[0]), side(theirs, &[0])]).await;
            let query = MergeQuery { base: None, ours: zoo.commits[1], theirs: zoo.commits[2] };
            let objects = zoo.objects().await;
            let mut merging = objects.start_merging(&Allowance::default()).await.unwrap();
            let merged = merging.merge(&query).await.unwrap();
            assert_eq!(merged, by_git(&zoo, &query).await, "case {n}");
            let found: BTreeSet<&str> =
                merged.conflicts.iter().flat_map(|at| &at.kinds).map(String::as_str).collect();
            assert_eq!(found, kinds.iter().copied().collect(), "case {n}: {merged:?}");
            let given = MergeQuery { base: Some(zoo.commits[0]), ..query };
            let by_base = merging.merge(&given).await.unwrap();
            assert_eq!((by_base.tree, by_base.is_clean), (merged.tree, merged.is_clean), "case {n}");
            if let Some(by_trees) = by_trees(&objects, query.ours, query.theirs).await {
                assert_eq!(by_trees, merged, "case {n}");
            }
        }
    }
}

#[tokio::test]
async fn submodules_that_moved_on_both_sides_conflict() {
    let made = |digit: &str, parents: &[usize]| Made {
        files: Files::from([(b"s".to_vec(), (SUBMODULE, digit.repeat(40).into_bytes()))]),
        parents: parents.to_vec(),
        ..Made::default()
    };
    let zoo = Zoo::make(ObjectFormat::Sha1, &[made("a", &[]), made("b", &[0]), made("c", &[0])]).await;
    let query = MergeQuery { base: None, ours: zoo.commits[1], theirs: zoo.commits[2] };
    let mut merging = zoo.objects().await.start_merging(&Allowance::default()).await.unwrap();
    let merged = merging.merge(&query).await.unwrap();
    assert_eq!(merged, by_git(&zoo, &query).await);
    let [conflict] = &merged.conflicts[..] else { panic!("{merged:?}") };
    assert!(conflict.kinds.iter().any(|kind| kind.starts_with("submodule")), "{conflict:?}");
    assert_eq!(conflict.theirs.map(|side| side.oid.to_string()), Some("c".repeat(40)));
}

#[tokio::test]
async fn a_criss_cross_is_merged_over_a_merge_of_its_bases() {
    let at = |n: &str| Files::from([(b"f".to_vec(), (TEXT, format!("1\n2\n{n}\n4\n5\n").into_bytes()))]);
    let made =
        |n: &str, parents: &[usize]| Made { files: at(n), parents: parents.to_vec(), ..Made::default() };
    let zoo = Zoo::make(
        ObjectFormat::Sha1,
        &[made("3", &[]), made("a", &[0]), made("b", &[0]), made("a", &[1, 2]), made("b", &[2, 1])],
    )
    .await;
    let query = MergeQuery { base: None, ours: zoo.commits[3], theirs: zoo.commits[4] };
    let mut merging = zoo.objects().await.start_merging(&Allowance::default()).await.unwrap();
    let merged = merging.merge(&query).await.unwrap();
    assert_eq!(merged, by_git(&zoo, &query).await);
    assert!(!merged.is_clean && merged.conflicts[0].base.is_some());
    // The tree with the markers can be read as long as the process is ours.
    let (tree, blob) = (merged.tree, merging.objects().await.unwrap());
    let content = blob
        .read(move |view| {
            let found = view.resolve(format!("{tree}:f").as_bytes(), &|_| None)?;
            view.read_blob(&found, 1 << 20)
        })
        .await
        .unwrap();
    assert!(content.windows(7).any(|line| line == b"<<<<<<<"), "{content:?}");
}

#[tokio::test]
async fn a_commit_that_was_put_can_be_merged() {
    let zoo = Zoo::wild(ObjectFormat::Sha256, 6, 3).await;
    let mut merging = zoo.objects().await.start_merging(&Allowance::default()).await.unwrap();
    let tip = zoo.commits[5];
    let tree = zoo.git(&["rev-parse", &format!("{tip}^{{tree}}")]);
    let content = format!("tree {tree}parent {tip}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nput\n");
    let put = merging.put(Kind::Commit, content.into_bytes()).await.unwrap();
    let merged = merging.merge(&MergeQuery { base: None, ours: tip, theirs: put }).await.unwrap();
    assert!(merged.is_clean);
    assert_eq!(merged.tree, Oid::parse_hex(tree.trim().as_bytes()).unwrap());
    let has = testing::command(&zoo.dir, &["cat-file", "-e", &put.to_string()]).output().unwrap();
    assert!(!has.status.success(), "nothing is written to the repository");
}

#[tokio::test]
async fn no_driver_of_a_repository_runs_and_no_attribute_counts() {
    let made = |content: &[u8], parents: &[usize]| Made {
        files: Files::from([
            (b".gitattributes".to_vec(), (TEXT, b"* merge=evil text eol=crlf filter=evil\n".to_vec())),
            (b"f".to_vec(), (TEXT, content.to_vec())),
        ]),
        parents: parents.to_vec(),
        ..Made::default()
    };
    let zoo =
        Zoo::make(ObjectFormat::Sha1, &[made(b"1\n", &[]), made(b"2\n", &[0]), made(b"3\n", &[0])]).await;
    let ran = zoo.bench.root.path().join("ran");
    let driver = format!("touch '{}' && true", ran.display());
    let main = zoo.commits[1].to_string();
    zoo.git(&["update-ref", "refs/heads/main", &main]);
    std::fs::create_dir_all(zoo.dir.path().join("info")).unwrap();
    std::fs::write(zoo.dir.path().join("info/attributes"), "* merge=evil\n").unwrap();
    for key in ["merge.evil.driver", "filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv"] {
        zoo.git(&["config", key, &driver]);
    }
    let mut merging = zoo.objects().await.start_merging(&Allowance::default()).await.unwrap();
    let query = MergeQuery { base: None, ours: zoo.commits[1], theirs: zoo.commits[2] };
    let merged = merging.merge(&query).await.unwrap();
    assert!(!merged.is_clean, "the driver would have called it merged");
    assert!(!ran.exists(), "a program of the repository ran");
    assert!(by_git(&zoo, &query).await.is_clean && ran.exists(), "the trap works");
}
