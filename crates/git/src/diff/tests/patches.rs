use hakata_names::{ObjectFormat, Oid, TreePath};

use super::files::moving;
use crate::diff::{PatchQuery, Whitespace};
use crate::objects::{Objects, ReadError};
use crate::read::Allowance;
use crate::read::zoo::{Files, Made, Zoo};
use crate::testing;

async fn patch(objects: &Objects, query: PatchQuery) -> Vec<u8> {
    let mut patch = objects.patch(query, &Allowance::default()).await.unwrap();
    let mut found = Vec::new();
    while let Some(piece) = patch.next().await.unwrap() {
        assert!(piece.len() <= 128 << 10, "pieces are small");
        found.extend_from_slice(&piece);
    }
    found
}

/// Makes a patch and has git make it.
async fn check(zoo: &Zoo, objects: &Objects, query: PatchQuery, flags: &[&str]) {
    let [old, new] = [query.old, query.new].map(|oid| oid.unwrap().to_string());
    let args = ["--literal-pathspecs", "diff-tree", "-r", "-p", "-M", "--full-index"];
    let paths: Vec<&str> =
        query.paths.iter().map(|path| std::str::from_utf8(path.as_bytes()).unwrap()).collect();
    let args = [&args[..], flags, &[&old, &new, "--"], &paths].concat();
    let expected = testing::pipe(&zoo.dir, &args, b"");
    let found = patch(objects, query.clone()).await;
    assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected), "{args:?}");
}

fn query(old: Oid, new: Oid) -> PatchQuery {
    PatchQuery { old: Some(old), new: Some(new), ..PatchQuery::default() }
}

#[tokio::test]
async fn patches_are_git_s() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::wild(format, 40, 303).await;
        let objects = zoo.objects().await;
        for n in 1..40 {
            let pair = query(zoo.commits[n / 2], zoo.commits[n]);
            check(&zoo, &objects, pair.clone(), &[]).await;
            match n % 8 {
                0 => check(&zoo, &objects, PatchQuery { binary: true, ..pair }, &["--binary"]).await,
                1 => check(&zoo, &objects, PatchQuery { context: Some(0), ..pair }, &["-U0"]).await,
                2 => {
                    let paths = ["dir", "with space"].map(|path| TreePath::parse(path.as_bytes()).unwrap());
                    check(&zoo, &objects, PatchQuery { paths: paths.to_vec(), ..pair }, &[]).await;
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn patches_of_renames_are_git_s() {
    let zoo = Zoo::make(ObjectFormat::Sha1, &moving(4)).await;
    let objects = zoo.objects().await;
    for n in 1..60 {
        check(&zoo, &objects, query(zoo.commits[n - 1], zoo.commits[n]), &[]).await;
        let pair = query(zoo.commits[n / 2], zoo.commits[n]);
        check(&zoo, &objects, pair.clone(), &[]).await;
        let spaces = PatchQuery { whitespace: Whitespace::IgnoreAll, ..pair };
        check(&zoo, &objects, spaces, &["--ignore-all-space"]).await;
    }
}

/// Modes, links, files without a last newline, binary and empty files; once with a file that is left to git.
#[tokio::test]
async fn odd_files_of_patches_are_git_s() {
    let large = "large\n".repeat(500_000);
    for extra in ["", &large] {
        let made = |files: &[(&str, u32, &str)], parents: Vec<usize>| {
            let file = |&(path, mode, text): &(&str, u32, &str)| {
                (path.as_bytes().to_vec(), (mode, text.as_bytes().to_vec()))
            };
            let mut files: Files = files.iter().map(file).collect();
            if parents.is_empty() {
                files.insert(b"zz large".to_vec(), (0o100_644, extra.as_bytes().to_vec()));
            }
            Made { files, parents, message: vec![b'm'], ..Made::default() }
        };
        let body = "one\ntwo\nthree\nfour\nfive\nsix\n";
        let old = [
            ("becomes link", 0o100_644, "text\n"),
            ("becomes\tdir", 0o100_644, body),
            ("binary", 0o100_644, "a\0b"),
            ("empty", 0o100_644, ""),
            ("end", 0o100_644, "one\ntwo"),
            ("gone binary", 0o100_644, "\0"),
            ("link", 0o120_000, "there"),
            ("mode", 0o100_644, "same\n"),
            ("moved", 0o100_644, body),
        ];
        let new = [
            ("becomes link", 0o120_000, "text"),
            ("becomes\tdir/file", 0o100_755, body),
            ("binary", 0o100_755, "a\0c"),
            ("end", 0o100_644, "one\ntwo\n"),
            ("link", 0o120_000, "elsewhere"),
            ("mode", 0o100_755, "same\n"),
            ("moved\nodd", 0o100_755, "one\ntwo\nthree\nfour\nfive\n6\n"),
            ("new empty", 0o100_644, ""),
            ("new binary", 0o100_644, "\0\0"),
        ];
        let zoo = Zoo::make(ObjectFormat::Sha1, &[made(&old, vec![]), made(&new, vec![0])]).await;
        let objects = zoo.objects().await;
        let (old, new) = (zoo.commits[0], zoo.commits[1]);
        check(&zoo, &objects, query(old, new), &[]).await;
        check(&zoo, &objects, query(new, old), &[]).await;
    }
}

#[tokio::test]
async fn long_patches_come_in_order() {
    let made = |word: &str, parents: Vec<usize>| {
        let file = |n: usize| {
            let text = format!("{n}\n{word}\n").repeat(1 + n % 400);
            (format!("{n:04}").into_bytes(), (0o100_644, text.into_bytes()))
        };
        Made { files: (0..900).map(file).collect(), parents, message: vec![b'm'], ..Made::default() }
    };
    let zoo = Zoo::make(ObjectFormat::Sha1, &[made("old", vec![]), made("new", vec![0])]).await;
    check(&zoo, &zoo.objects().await, query(zoo.commits[0], zoo.commits[1]), &[]).await;
}

#[tokio::test]
async fn a_patch_is_no_longer_than_allowed() {
    let zoo = Zoo::make(ObjectFormat::Sha1, &moving(4)).await;
    let objects = zoo.objects().await;
    let little = Allowance { bytes: Some(10), ..Allowance::default() };
    for whitespace in [Whitespace::Exact, Whitespace::IgnoreAll] {
        let asked = PatchQuery { whitespace, ..query(zoo.commits[0], zoo.commits[50]) };
        let mut patch = objects.patch(asked, &little).await.unwrap();
        assert!(matches!(patch.next().await, Err(ReadError::Exhausted(_))), "ten bytes are no patch");
    }
}
