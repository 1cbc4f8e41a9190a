use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use hakata_names::{LfsOid, ObjectFormat, Oid, TreePath};

use super::zoo::{Files, Made, PATHS, Zoo};
use crate::read::{Allowance, LastCommit, LastCommits, Match, PathSet};
use crate::testing;

fn git_log_one(zoo: &Zoo, tip: &Oid, path: &[u8]) -> Vec<u8> {
    let tip = tip.to_string();
    let args = [&b"--literal-pathspecs"[..], b"log", b"-1", b"--format=%H", tip.as_bytes(), b"--", path];
    testing::git_bytes(&zoo.dir, &args).trim_ascii().to_vec()
}

#[tokio::test]
async fn last_commits_are_git_s_for_every_path() {
    for (share, seed, format) in [
        (None, 61, ObjectFormat::Sha1),
        (Some(2), 62, ObjectFormat::Sha256),
        (Some(1), 63, ObjectFormat::Sha1),
    ] {
        let zoo = Zoo::wild(format, 60, seed).await;
        if let Some(share) = share {
            zoo.write_commit_graph(share);
        }
        for tip in [zoo.commits[59], zoo.commits[55], zoo.commits[40]] {
            for path in PATHS.into_iter().chain([&b"dir"[..], b"nothing", b"dir/deep/nothing"]) {
                let expected = git_log_one(&zoo, &tip, path);
                let asked = TreePath::parse(path).unwrap();
                let found = zoo.read(move |view| view.last_commit(&tip, &asked)).await.unwrap();
                let found = found.map(|oid| oid.to_string()).unwrap_or_default();
                assert_eq!(found.as_bytes(), expected, "{path:?} of {tip}, graph {share:?}");
            }
            for directory in [None, Some(&b"dir"[..]), Some(b"dir/deep")] {
                let asked = directory.map(|path| TreePath::parse(path).unwrap());
                let found = zoo.read(move |view| Ok(view.last_commits(&tip, asked.as_ref(), &|_| None).ok()));
                let found = found.await.unwrap().map(|found| found.entries);
                for LastCommit { name, commit } in found.unwrap_or_default() {
                    let path = directory.map_or(name.clone(), |above| [above, b"/", &name].concat());
                    let expected = git_log_one(&zoo, &tip, &path);
                    assert_eq!(commit.to_string().as_bytes(), expected, "{path:?} of {tip}, graph {share:?}");
                }
            }
        }
    }
}

async fn plain_at(zoo: &Zoo, tip: Oid) -> LastCommits {
    zoo.read(move |view| view.last_commits(&tip, None, &|_| None)).await.unwrap()
}

/// A commit whose directory is like its parent's has the parent's answers, remembered or not.
#[tokio::test]
async fn remembered_answers_change_nothing() {
    let zoo = Zoo::wild(ObjectFormat::Sha1, 50, 71).await;
    zoo.write_commit_graph(1);
    let remembered = Arc::new(Mutex::new(HashMap::<Oid, Arc<[LastCommit]>>::new()));
    let mut n_used = 0;
    for tip in zoo.commits.iter().copied() {
        let plain = plain_at(&zoo, tip).await;
        let known = remembered.clone();
        let used = zoo.read(move |view| {
            let n_used = std::cell::Cell::new(0);
            let found = view.last_commits(&tip, None, &|oid| {
                let answer = known.lock().unwrap().get(oid).cloned();
                n_used.set(n_used.get() + usize::from(answer.is_some()));
                answer
            })?;
            Ok((found, n_used.get()))
        });
        let (found, n) = used.await.unwrap();
        n_used += n;
        assert_eq!(found.entries, plain.entries, "{tip}");
        assert_eq!(plain_at(&zoo, found.same_since).await.entries, found.entries, "{tip}");
        remembered.lock().unwrap().insert(tip, found.entries.into());
    }
    assert!(n_used > 40, "answers were of use");
}

#[tokio::test]
async fn changed_reverted_and_doubled_files_have_their_own_last_commits() {
    let file = |text: &str| Files::from([(b"f".to_vec(), (0o100_644, text.as_bytes().to_vec()))]);
    let made = |n: u64, parents: Vec<usize>, text: &str| Made {
        parents,
        files: file(text),
        message: n.to_string().into_bytes(),
        time: 1_000 + n,
        ..Made::default()
    };
    let commits = [
        made(0, vec![], "one"),
        made(1, vec![0], "two"),
        // A revert is a change of its own.
        made(2, vec![1], "one"),
        // The same content on another branch.
        made(3, vec![0], "one"),
        made(4, vec![2, 3], "one"),
        made(5, vec![3, 2], "one"),
    ];
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let asked = zoo.commits.clone();
    let found = zoo.read(move |view| {
        asked
            .iter()
            .map(|tip| Ok(view.last_commits(tip, None, &|_| None)?.entries[0].commit))
            .collect::<Result<Vec<_>, _>>()
    });
    let expected = [0, 1, 2, 0, 2, 0].map(|n| zoo.commits[n]);
    assert_eq!(found.await.unwrap(), expected);
}

/// An answer that is kept for the commit which the directory has been the same since serves every branch from there.
#[tokio::test]
async fn branches_with_the_same_directory_share_what_was_found() {
    let files = |inside: &str, outside: &str| {
        let file = |text: &str| (0o100_644, text.as_bytes().to_vec());
        Files::from([(b"dir/f".to_vec(), file(inside)), (b"out".to_vec(), file(outside))])
    };
    let made = |n: usize, parents: Vec<usize>, inside: &str| Made {
        parents,
        files: files(inside, &n.to_string()),
        message: n.to_string().into_bytes(),
        time: 1_000 + n as u64,
        ..Made::default()
    };
    let mut commits = vec![made(0, vec![], "one"), made(1, vec![0], "two"), made(2, vec![1], "one")];
    // Two branches that never touch the directory, and a merge of both.
    commits.extend((3..10).map(|n| made(n, vec![n - 1], "one")));
    commits.push(made(10, vec![2], "one"));
    commits.extend((11..20).map(|n| made(n, vec![n - 1], "one")));
    commits.push(made(20, vec![9, 19], "one"));
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    zoo.write_commit_graph(1);
    let (asked, since) = (zoo.commits.clone(), zoo.commits[2]);
    zoo.read(move |view| {
        let directory = TreePath::parse(b"dir").unwrap();
        let first = view.last_commits(&asked[9], Some(&directory), &|_| None)?;
        assert_eq!(
            (first.entries[0].commit, first.same_since),
            (since, since),
            "the revert is the last change"
        );
        let kept: Arc<[LastCommit]> = first.entries.into();
        for tip in [19, 20] {
            let n_asked = std::cell::Cell::new(0);
            let found = view.last_commits(&asked[tip], Some(&directory), &|oid| {
                n_asked.set(n_asked.get() + 1);
                (*oid == since).then(|| kept.clone())
            })?;
            assert_eq!(found.entries[..], kept[..]);
            assert!(n_asked.get() <= 11, "the walk ends where the answer is kept");
        }
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn files_are_found_by_a_part_of_their_path() {
    let zoo = Zoo::wild(ObjectFormat::Sha1, 30, 81).await;
    for tip in [zoo.commits[29], zoo.commits[20]] {
        let all = testing::git_bytes(
            &zoo.dir,
            &[b"ls-tree", b"-r", b"-z", b"--name-only", tip.to_string().as_bytes()],
        );
        for text in [&b"E"[..], b"dir/", b"EE", b"\xff", b"nothing at all", b""] {
            let lower = text.to_ascii_lowercase();
            let contains = |path: &&[u8]| {
                lower.is_empty() || path.to_ascii_lowercase().windows(lower.len()).any(|w| w == lower)
            };
            let mut expected: Vec<Vec<u8>> = all
                .split(|byte| *byte == 0)
                .filter(|path| !path.is_empty())
                .filter(contains)
                .map(<[u8]>::to_vec)
                .collect();
            let found = zoo.read(move |view| view.find_files(&tip, text, Match::Part, 100)).await.unwrap();
            assert_eq!(found.n_matches, expected.len() as u64);
            let mut paths = found.paths;
            expected.sort();
            paths.sort();
            assert_eq!(paths, expected, "{text:?}");
        }
        let best = zoo.read(move |view| view.find_files(&tip, b"ddt", Match::Fuzzy, 1)).await.unwrap();
        if all.windows(14).any(|path| path == b"dir/deep/three") {
            assert_eq!(best.paths, [b"dir/deep/three"], "only one is wanted");
        }
    }
}

#[tokio::test]
async fn pointers_are_found_below_a_tree() {
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n", "ab".repeat(32));
    let file = |content: &str| (0o100_644, content.as_bytes().to_vec());
    let files = Files::from([
        (b"art/large.psd".to_vec(), file(&pointer)),
        (b"link".to_vec(), (0o120_000, pointer.clone().into_bytes())),
        (b"readme".to_vec(), file("version 1\n")),
    ]);
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made { files, ..Made::default() }]).await;
    let tip = zoo.commits[0];
    let found = zoo.read(move |view| {
        let mut found = Vec::new();
        view.lfs_pointers(&tip, &mut |pointer| found.push(pointer))?;
        Ok(found)
    });
    let found = found.await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0].path[..], found[0].size_bytes), (&b"art/large.psd"[..], 7));
    assert_eq!(found[0].object, "ab".repeat(32));
}

/// Every pointer of every commit is named, wherever it stands now; what is hidden is not.
#[tokio::test]
async fn lfs_oids_are_found_in_all_of_a_history() {
    let pointer = |digits: &str| {
        let text =
            format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n", digits.repeat(32));
        (0o100_644, text.into_bytes())
    };
    let long = (0o100_644, format!("{}\n{}", "ef".repeat(32), "x".repeat(1_024)).into_bytes());
    let files = |entries: &[(&str, &(u32, Vec<u8>))]| -> Files {
        entries.iter().map(|(path, file)| (path.as_bytes().to_vec(), (*file).clone())).collect()
    };
    let (one, two) = (pointer("ab"), pointer("cd"));
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::make(
            format,
            &[
                Made { files: files(&[("a", &one), ("long", &long)]), ..Made::default() },
                Made { files: files(&[("dir/b", &two)]), parents: vec![0], ..Made::default() },
            ],
        )
        .await;
        let objects = zoo.objects().await;
        let (first, second) = (zoo.commits[0], zoo.commits[1]);
        let find = async |tips: &[Oid], hide: &[Oid]| {
            let mut found = Vec::new();
            let mut sink = |oid: LfsOid| {
                found.push(oid.to_string());
                ControlFlow::Continue(())
            };
            let read = objects.lfs_oids_of_history(tips, hide, &Allowance::default(), &mut sink).await;
            read.map(|_| {
                found.sort();
                found
            })
        };
        assert_eq!(find(&[second], &[]).await.unwrap(), ["ab".repeat(32), "cd".repeat(32)]);
        assert_eq!(find(&[first, first], &[]).await.unwrap(), ["ab".repeat(32)]);
        assert_eq!(find(&[second], &[first]).await.unwrap(), ["cd".repeat(32)]);
        assert_eq!(find(&[], &[]).await.unwrap(), [""; 0]);
        let absent = Oid::from_bytes(&vec![7; format.oid_len()]).unwrap();
        assert!(find(&[second, absent], &[]).await.is_err(), "what cannot be read is no answer");
    }
}

/// All at once says what one at a time says.
#[tokio::test]
async fn paths_that_differ_are_found_in_one_walk() {
    let zoo = Zoo::wild(ObjectFormat::Sha1, 40, 71).await;
    let mut paths: Vec<TreePath> = PATHS.iter().map(|path| TreePath::parse(path).unwrap()).collect();
    for path in [&b"dir"[..], b"dir/deep", b"nothing/here", b"a/below", b"dir/deep/three/below"] {
        paths.push(TreePath::parse(path).unwrap());
    }
    let commits = zoo.commits.clone();
    let compare = move |view: &crate::objects::View| {
        let set = PathSet::new(&paths);
        let mut n_differing = 0;
        for (one, other) in commits.iter().zip(commits.iter().skip(7)) {
            let mut expected = Vec::new();
            for (number, path) in paths.iter().enumerate() {
                if view.find_entry(one, path)? != view.find_entry(other, path)? {
                    expected.push(number);
                }
            }
            n_differing += expected.len();
            assert_eq!(view.differing_paths(one, other, &set)?, expected, "{one} {other}");
            assert_eq!(view.differing_paths(one, one, &set)?, [0_usize; 0]);
        }
        Ok(n_differing)
    };
    assert!(zoo.read(compare).await.unwrap() > 100, "the histories differ");
}
