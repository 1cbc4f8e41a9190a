use hakata_names::ObjectFormat;
use proptest::prelude::*;

use super::{bodies, render};
use crate::diff::{DiffQuery, FileOptions, LineKind, Whitespace};
use crate::read::Allowance;
use crate::read::zoo::{Dice, Files, Made, Zoo};
use crate::testing;

/// Versions of a program that people edit: functions come, go, move and are indented anew.
fn edited(seed: u64, n: usize) -> Vec<Made> {
    edited_from(seed, n, Vec::new(), 5)
}

/// The same, from these lines on, in so many places at once at most.
fn edited_from(seed: u64, n: usize, mut lines: Vec<String>, max_edits: usize) -> Vec<Made> {
    let mut dice = Dice(seed);
    let mut commits = Vec::new();
    for at in 0..n {
        for _ in 0..=dice.roll(max_edits) {
            let place = dice.roll(lines.len() + 1);
            match dice.roll(6) {
                0 | 1 => {
                    let name = dice.roll(9);
                    let body = [
                        format!("int f{name}(void)"),
                        "{".into(),
                        format!("\treturn {};", dice.roll(4)),
                        "}".into(),
                        String::new(),
                    ];
                    lines.splice(place..place, body);
                }
                2 => drop(lines.drain(place..(place + dice.roll(6)).min(lines.len()))),
                3 if place < lines.len() => lines[place].insert_str(0, "  "),
                4 if place < lines.len() => lines[place].push_str(" \t"),
                _ if place < lines.len() => lines[place] = format!("  x = {};", dice.roll(5)),
                _ => {}
            }
        }
        let end = if dice.roll(3) == 0 { "" } else { "\n" };
        let text = lines.join("\n") + end;
        let files = Files::from([(b"f.c".to_vec(), (0o100_644, text.into_bytes()))]);
        let parents = if at == 0 { vec![] } else { vec![at - 1] };
        commits.push(Made { parents, files, message: vec![b'm'], time: at as u64, ..Made::default() });
    }
    commits
}

#[tokio::test]
async fn hunks_are_git_s() {
    let modes = [
        (Whitespace::Exact, None),
        (Whitespace::IgnoreAtEnd, Some("--ignore-space-at-eol")),
        (Whitespace::IgnoreAmount, Some("-b")),
        (Whitespace::IgnoreAll, Some("-w")),
    ];
    hunks_equal_git_s(&edited(7, 60), &modes, &[0, 3, 10]).await;
}

/// Long files, of which mostly one place changes, many of their lines and functions alike.
#[tokio::test]
async fn hunks_of_long_files_are_git_s() {
    for (seed, n_functions, max_edits) in [(1, 900, 1), (2, 900, 1), (3, 200, 2), (4, 900, 3)] {
        let mut dice = Dice(seed);
        let function = |_| {
            let name = dice.roll(3);
            let body = (0..dice.roll(5)).map(|_| format!("\tx = {};", dice.roll(3))).collect::<Vec<_>>();
            let heading = if dice.roll(4) == 0 { format!("int f{name}(void)") } else { "  {".to_owned() };
            [vec![heading], body, vec!["}".to_owned(), String::new()]].concat()
        };
        let lines: Vec<String> = (0..n_functions).flat_map(function).collect();
        let versions = edited_from(seed, 40, lines, max_edits);
        hunks_equal_git_s(
            &versions,
            &[(Whitespace::Exact, None), (Whitespace::IgnoreAmount, Some("-b"))],
            &[3, 70],
        )
        .await;
    }
}

/// One line over and over: a change can stand anywhere.
#[tokio::test]
async fn hunks_of_files_that_repeat_are_git_s() {
    for period in [1, 2, 7] {
        let lines = (0..1_500).map(|n| format!("  {}", n % period)).collect();
        let versions = edited_from(period as u64, 25, lines, 1);
        hunks_equal_git_s(&versions, &[(Whitespace::Exact, None)], &[0, 3]).await;
    }
}

async fn hunks_equal_git_s(
    versions: &[Made],
    modes: &[(Whitespace, Option<&'static str>)],
    contexts: &[u32],
) {
    let zoo = Zoo::make(ObjectFormat::Sha1, versions).await;
    let objects = zoo.objects().await;
    for n in 1..versions.len() {
        let (old, new) = (zoo.commits[n - 1], zoo.commits[n]);
        for (whitespace, flag) in modes.iter().copied() {
            for context in contexts.iter().copied() {
                let file = FileOptions { context, whitespace, ..FileOptions::default() };
                let query = DiffQuery { old: Some(old), new: Some(new), file, ..DiffQuery::default() };
                let mut found = Vec::new();
                let mut diff = objects.diff(&query, &Allowance::default()).await.unwrap();
                while let Some(file) = diff.next().await.unwrap() {
                    found.extend(render(&file));
                }
                let unified = format!("-U{context}");
                let (old, new) = (old.to_string(), new.to_string());
                let args: Vec<&str> =
                    ["diff-tree", "-p", &unified].into_iter().chain(flag).chain([&*old, &*new]).collect();
                let expected = bodies(&testing::pipe(&zoo.dir, &args, b"")).concat();
                assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected), "{args:?}");
            }
        }
    }
}

/// Without lines around a change git leaves out what both versions end with, by blocks, and then moves changes no
/// further.
#[tokio::test]
async fn changes_stand_where_git_lets_them_end() {
    let lengths = (1_000..1_040).chain(2_030..2_060);
    let files = |middle: &str| -> Files {
        let text = |n: usize| format!("one\n\n{middle}{}\n", "x".repeat(n));
        lengths.clone().map(|n| (format!("f{n}").into_bytes(), (0o100_644, text(n).into_bytes()))).collect()
    };
    let commits = [
        Made { files: files(""), ..Made::default() },
        Made { files: files("two\n\n"), parents: vec![0], ..Made::default() },
    ];
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let objects = zoo.objects().await;
    let (old, new) = (zoo.commits[0], zoo.commits[1]);
    for context in [0, 1] {
        let file = FileOptions { context, ..FileOptions::default() };
        let query = DiffQuery { old: Some(old), new: Some(new), file, ..DiffQuery::default() };
        let mut found = Vec::new();
        let mut diff = objects.diff(&query, &Allowance::default()).await.unwrap();
        while let Some(file) = diff.next().await.unwrap() {
            found.extend(render(&file));
        }
        let args = ["diff-tree", "-p", &format!("-U{context}"), &old.to_string(), &new.to_string()];
        let expected = bodies(&testing::pipe(&zoo.dir, &args, b"")).concat();
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected), "{args:?}");
    }
}

/// A heading is cut by bytes, but never within a character; what is no text ends it.
#[tokio::test]
async fn headings_end_as_git_s_do() {
    for name in ["日本語".repeat(20).into_bytes(), [b"int ", &[0xff][..], b"rest"].concat(), b"  \t".to_vec()]
    {
        let text =
            |last: &str| [b"f", &name[..], b"\n", "x\n".repeat(9).as_bytes(), last.as_bytes()].concat();
        let file = |last| Files::from([(b"f".to_vec(), (0o100_644, text(last)))]);
        let commits = [
            Made { files: file("a\n"), ..Made::default() },
            Made { files: file("b\n"), parents: vec![0], ..Made::default() },
        ];
        let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
        let (old, new) = (zoo.commits[0], zoo.commits[1]);
        let query = DiffQuery { old: Some(old), new: Some(new), ..DiffQuery::default() };
        let mut diff = zoo.objects().await.diff(&query, &Allowance::default()).await.unwrap();
        let found = render(&diff.next().await.unwrap().unwrap());
        let args = ["diff-tree", "-p", &old.to_string(), &new.to_string()];
        assert_eq!(found, bodies(&testing::pipe(&zoo.dir, &args, b"")).concat(), "{name:?}");
    }
}

#[tokio::test]
async fn changed_words_are_marked() {
    let file = |text: &str| Files::from([(b"f".to_vec(), (0o100_644, text.as_bytes().to_vec()))]);
    let old = "let total = count(a, b);\nkeep\n日本語の文\n";
    let new = "let sum = count(a, c);\nkeep\n日本語の本\n";
    let commits = [
        Made { files: file(old), ..Made::default() },
        Made { files: file(new), parents: vec![0], ..Made::default() },
    ];
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let options = FileOptions { words: true, ..FileOptions::default() };
    let query = DiffQuery {
        old: Some(zoo.commits[0]),
        new: Some(zoo.commits[1]),
        file: options,
        ..DiffQuery::default()
    };
    let objects = zoo.objects().await;
    let mut diff = objects.diff(&query, &Allowance::default()).await.unwrap();
    let hunk = diff.next().await.unwrap().unwrap().hunks.unwrap().remove(0);
    let marked: Vec<(LineKind, Vec<String>)> = hunk
        .lines
        .iter()
        .map(|line| {
            let word = |range: &std::ops::Range<u32>| {
                let bytes = &line.content[range.start as usize..range.end as usize];
                std::str::from_utf8(bytes).expect("no character is cut").to_owned()
            };
            (line.kind, line.words.iter().map(word).collect())
        })
        .collect();
    assert_eq!(marked[0], (LineKind::Deleted, vec!["total".into(), "b".into()]));
    assert_eq!(marked[1], (LineKind::Added, vec!["sum".into(), "c".into()]));
    assert!(marked.iter().filter(|(kind, _)| *kind == LineKind::Context).all(|(_, words)| words.is_empty()));
}

proptest! {
    /// Whatever the versions are, the hunks lead from one to the other.
    #[test]
    fn hunks_make_the_new_version(
        old in prop::collection::vec(0_u8..6, 0..40),
        new in prop::collection::vec(0_u8..6, 0..40),
        context in 0_u32..4,
        old_end: bool,
        new_end: bool,
    ) {
        let text = |lines: &[u8], end: bool| {
            let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            if !end {
                text.pop();
            }
            bytes::Bytes::from(text)
        };
        let (old, new) = (text(&old, old_end), text(&new, new_end));
        let options = FileOptions { context, ..FileOptions::default() };
        let file = crate::diff::hunks::compare_contents(&old, &new, &options);
        let old_lines: Vec<&[u8]> = old.split_inclusive(|byte| *byte == b'\n').collect();
        let (mut made, mut at) = (Vec::new(), 0);
        for hunk in file.hunks.as_ref().unwrap() {
            let start = hunk.old_start as usize - usize::from(hunk.old_lines > 0);
            made.extend(old_lines[at..start].concat());
            at = start;
            for line in &hunk.lines {
                match line.kind {
                    LineKind::Added => made.extend_from_slice(&line.content),
                    LineKind::Context => {
                        prop_assert_eq!(&line.content[..], old_lines[at]);
                        made.extend_from_slice(&line.content);
                        at += 1;
                    }
                    LineKind::Deleted => {
                        prop_assert_eq!(&line.content[..], old_lines[at]);
                        at += 1;
                    }
                }
            }
        }
        made.extend(old_lines[at..].concat());
        prop_assert_eq!(made, new.to_vec());
        prop_assert_eq!(file.hunks.unwrap().is_empty(), old == new);
    }
}
