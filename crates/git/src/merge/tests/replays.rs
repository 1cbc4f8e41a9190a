//! Commits that are replayed, against git's porcelain in a worktree.

use std::path::Path;
use std::process::Command;

use hakata_names::{ObjectFormat, Oid};

use crate::merge::{EmptyPicks, MergesOnTheWay, Replay, ReplayError};
use crate::quarantine::{Fsck, PackLimits, Quarantine};
use crate::read::Allowance;
use crate::read::zoo::{Files, Made, Zoo};
use crate::testing;
use crate::write::{Bounds, Signer};

const ALLOWANCE: Allowance = Allowance { time: None, entries: None, bytes: None };

const TEXT: u32 = 0o100_644;

/// Who commits, in our words; git's variables in [`porcelain`] say the same.
fn committer() -> Signer {
    Signer { name: b"C".to_vec(), email: b"c@example.org".to_vec(), time: 1_800_000_000, offset_minutes: -90 }
}

fn author() -> Signer {
    Signer { name: b"A".to_vec(), email: b"a@example.org".to_vec(), time: 1_800_000_001, offset_minutes: 60 }
}

/// Runs git in a worktree of its own.
fn porcelain(worktree: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(args)
        .current_dir(worktree)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("HOME", "/nonexistent")])
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
        .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@example.org")])
        .envs([("GIT_AUTHOR_DATE", "1800000001 +0100"), ("GIT_COMMITTER_DATE", "1800000000 -0130")])
        .env("GIT_EDITOR", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(said) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Does something in a worktree at a commit; returns where that leads.
fn by_git(zoo: &Zoo, at: Oid, args: &[&str]) -> Result<Oid, String> {
    let worktree = tempfile::tempdir().unwrap();
    let path = worktree.path().join("w");
    zoo.git(&["worktree", "add", "-q", "--detach", path.to_str().unwrap(), &at.to_string()]);
    let done = porcelain(&path, args);
    let head = porcelain(&path, &["rev-parse", "HEAD"]).unwrap();
    zoo.git(&["worktree", "remove", "--force", path.to_str().unwrap()]);
    done.map(|_| Oid::parse_hex(head.as_bytes()).unwrap())
}

async fn start(zoo: &Zoo, at: Oid) -> Replay {
    let objects = zoo.objects().await;
    Replay::start(&objects, at, committer(), Bounds::default(), &ALLOWANCE).await.unwrap()
}

/// Lets git judge what was made, as it judges a push; returns the newest commit.
async fn judged(zoo: &Zoo, replay: Replay) -> Oid {
    let (tip, made) = replay.into_objects();
    if made.is_empty() {
        return tip;
    }
    let parent = zoo.bench.root.path().join("quarantine");
    let quarantine = Quarantine::create(&parent, Some(&zoo.dir), made.format()).unwrap();
    let mut pack = made.into_pack().unwrap();
    let limits = PackLimits { fsck: Fsck::Strict, ..PackLimits::default() };
    quarantine.index_pack(&zoo.bench.git, &mut pack, &limits).await.unwrap();
    testing::git(quarantine.dir(), &["rev-list", "--objects", "--quiet", &tip.to_string()]);
    tip
}

/// Parents, files, message.
type Plan<'a> = (&'a [usize], &'a [(&'a str, &'a str)], &'a [u8]);

/// Makes commits.
async fn zoo(format: ObjectFormat, commits: &[Plan<'_>]) -> Zoo {
    let made = commits.iter().enumerate().map(|(n, (parents, files, message))| Made {
        parents: parents.to_vec(),
        files: files
            .iter()
            .map(|(path, content)| (path.as_bytes().to_vec(), (TEXT, content.as_bytes().to_vec())))
            .collect::<Files>(),
        message: message.to_vec(),
        time: 1_700_000_000 + n as u64,
        ..Made::default()
    });
    Zoo::make(format, &made.collect::<Vec<_>>()).await
}

/// 0 begins; 1, 2, 3 are the base; 4, 5, 6, 8 the head, with 7 merged in. 5 is the same change as 2, 6 changes nothing.
async fn fork(format: ObjectFormat) -> Zoo {
    zoo(
        format,
        &[
            (&[], &[("a", "1\n2\n3\n"), ("d/b", "b\n")], b"begin\n"),
            (&[0], &[("a", "1\n2\n3\n"), ("d/b", "b\n"), ("c", "c\n")], b"add c\n"),
            (&[1], &[("a", "1\n2\n3\n"), ("d/b", "bb\n"), ("c", "c\n")], b"b here\n"),
            (&[2], &[("a", "0\n2\n3\n"), ("d/b", "bb\n"), ("c", "c\n")], b"first line\n"),
            (&[0], &[("a", "1\n2\n4\n"), ("d/b", "b\n")], b"  \n\nlast line\n\nwith words  \n\n\nand more"),
            (&[4], &[("a", "1\n2\n4\n"), ("d/b", "bb\n")], b"b there\n"),
            (&[5], &[("a", "1\n2\n4\n"), ("d/b", "bb\n")], b"nothing\n"),
            (&[0], &[("a", "1\n2\n3\n"), ("d/b", "b\n"), ("side", "s\n")], b"side\n"),
            (&[6, 7], &[("a", "1\n2\n4\n"), ("d/b", "bb\n"), ("side", "s\n")], b"merge side\n"),
            (&[8], &[("a", "1\n2\n4\n"), ("d/b", "bb\n"), ("side", "s\n"), ("e", "e\n")], b"\xe4dd e\n"),
        ],
    )
    .await
}

#[tokio::test]
async fn a_rebase_makes_the_commits_of_git() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = fork(format).await;
        for (base, head) in [(3, 9), (3, 6), (0, 6), (1, 5), (7, 4), (9, 3)] {
            let (base, head) = (zoo.commits[base], zoo.commits[head]);
            let objects = zoo.objects().await;
            let series = objects.rebase_series(base, head, MergesOnTheWay::Flatten, 100, &ALLOWANCE);
            let mut replay = start(&zoo, base).await;
            for commit in series.await.unwrap() {
                replay.rebase(commit).await.unwrap();
            }
            let expected = by_git(&zoo, head, &["rebase", &base.to_string()]).unwrap();
            assert_eq!(judged(&zoo, replay).await, expected, "{format:?} {base} {head}");
        }
        let refused = zoo.objects().await;
        let refused =
            refused.rebase_series(zoo.commits[3], zoo.commits[9], MergesOnTheWay::Refuse, 100, &ALLOWANCE);
        assert!(refused.await.unwrap_err().to_string().contains(&zoo.commits[8].to_string()));
        let few = zoo.objects().await;
        let few = few.rebase_series(zoo.commits[3], zoo.commits[9], MergesOnTheWay::Flatten, 2, &ALLOWANCE);
        assert_eq!(few.await.unwrap().len(), 3, "one more says that there are more");
    }
}

#[tokio::test]
async fn picks_and_reverts_make_the_commits_of_git() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = fork(format).await;
        for (at, what, mainline) in
            [(3, 4, None), (9, 1, None), (3, 8, Some(1)), (3, 9, None), (9, 0, None), (4, 8, Some(2))]
        {
            let (at, what) = (zoo.commits[at], zoo.commits[what]);
            let mut replay = start(&zoo, at).await;
            let picked = replay.pick(what, mainline, EmptyPicks::Refuse).await;
            let number = mainline.unwrap_or(1).to_string();
            let (word, said) = (what.to_string(), ["cherry-pick", "-m", &number]);
            let args =
                if mainline.is_some() { [&said[..], &[&word]].concat() } else { vec!["cherry-pick", &word] };
            let expected = by_git(&zoo, at, &args);
            match picked {
                Ok(_) => assert_eq!(judged(&zoo, replay).await, expected.unwrap(), "{at} {what}"),
                Err(error) => assert!(expected.is_err(), "{at} {what}: {error}"),
            }
        }
        for (at, what, mainline) in
            [(3, 1, None), (9, 8, Some(1)), (9, 8, Some(2)), (3, 3, None), (9, 4, None)]
        {
            let (at, what) = (zoo.commits[at], zoo.commits[what]);
            let mut replay = start(&zoo, at).await;
            let reverted = replay.revert(what, mainline, author(), None).await;
            let number = mainline.unwrap_or(1).to_string();
            let word = what.to_string();
            let mut args = vec!["revert", "--no-edit", &word];
            if mainline.is_some() {
                args.extend(["-m", &number]);
            }
            let expected = by_git(&zoo, at, &args);
            match reverted {
                Ok(()) => {
                    let tip = judged(&zoo, replay).await;
                    assert_eq!(tip, expected.unwrap(), "{at} {what}");
                }
                Err(error) => assert!(expected.is_err(), "{at} {what}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_revert_of_a_revert_has_the_words_of_git() {
    let zoo = zoo(
        ObjectFormat::Sha1,
        &[
            (&[], &[("a", "1\n")], b"begin\n"),
            (&[0], &[("a", "2\n")], b"\n  \nmake it \"two\"\nand so on\n"),
            (&[1], &[("a", "1\n")], b"Revert \"make it two\"\n\nbody\n"),
            (&[2], &[("a", "2\n")], b"Revert \"Revert \"make it two\"\"\n"),
        ],
    )
    .await;
    for n in 1..4 {
        let (at, what) = (zoo.commits[n], zoo.commits[n]);
        let mut replay = start(&zoo, at).await;
        replay.revert(what, None, author(), None).await.unwrap();
        let expected = by_git(&zoo, at, &["revert", "--no-edit", &what.to_string()]).unwrap();
        assert_eq!(judged(&zoo, replay).await, expected, "commit {n}");
    }
}

#[tokio::test]
async fn what_cannot_be_replayed_is_named() {
    let zoo = fork(ObjectFormat::Sha1).await;
    let commits = &zoo.commits;
    let mut replay = start(&zoo, commits[3]).await;
    let merge = replay.pick(commits[8], None, EmptyPicks::Refuse).await.unwrap_err();
    assert!(matches!(merge, ReplayError::Invalid(_)), "{merge:?}");
    let mainline = replay.pick(commits[8], Some(3), EmptyPicks::Refuse).await.unwrap_err();
    assert!(matches!(mainline, ReplayError::Invalid(_)), "{mainline:?}");
    let plain = replay.pick(commits[4], Some(2), EmptyPicks::Refuse).await.unwrap_err();
    assert!(matches!(plain, ReplayError::Invalid(_)), "{plain:?}");
    let empty = replay.pick(commits[2], None, EmptyPicks::Refuse).await.unwrap_err();
    assert!(matches!(empty, ReplayError::Empty(oid) if oid == commits[2]), "{empty:?}");
    assert!(!replay.pick(commits[2], None, EmptyPicks::Drop).await.unwrap());
    assert!(replay.pick(commits[2], None, EmptyPicks::Keep).await.unwrap());
    let conflict = replay.revert(commits[1], None, author(), None).await;
    assert!(conflict.is_ok(), "c is as it was: {conflict:?}");
    let conflict = replay.pick(commits[1], None, EmptyPicks::Refuse).await;
    assert!(conflict.is_ok(), "and it comes back: {conflict:?}");
    judged(&zoo, replay).await;
}
