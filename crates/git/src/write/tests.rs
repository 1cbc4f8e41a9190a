use hakata_names::{ObjectFormat, Oid, RefName};

use super::{
    Bounds, EntryMode, LongBlobs, NewCommit, NewEntry, NewObjects, NewTag, Signer, WriteError, clean_message,
};
use crate::GitDir;
use crate::objects::Kind;
use crate::quarantine::{PackLimits, Quarantine};
use crate::testing::{self, Bench, feed};

const BOTH: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

fn made(format: ObjectFormat) -> NewObjects {
    NewObjects::new(format, Bounds::default())
}

fn signer(name: &str) -> Signer {
    Signer { name: name.into(), email: "a@example.org".into(), time: 1_700_000_000, offset_minutes: -570 }
}

fn entry(name: &str, mode: EntryMode, oid: Oid) -> NewEntry {
    NewEntry { name: name.into(), mode, oid }
}

fn oid(hex: &[u8]) -> Oid {
    Oid::parse_hex(hex.trim_ascii()).unwrap()
}

/// Has git take a pack in as a pushed one.
async fn take_in(bench: &Bench, base: &GitDir, objects: NewObjects) -> Quarantine {
    let format = objects.format();
    let quarantine = Quarantine::create(&bench.root.path().join("q"), Some(base), format).unwrap();
    let mut pack = objects.into_pack().unwrap();
    quarantine.index_pack(&bench.git, &mut pack, &PackLimits::default()).await.unwrap();
    quarantine
}

#[tokio::test]
async fn long_contents_are_named_and_packed_as_they_come() {
    let bench = Bench::new().await;
    for format in BOTH {
        let dir = bench.repository(format);
        let mut long = LongBlobs::new(format, tempfile::tempfile().unwrap());
        let noise: Vec<u8> =
            (0..300_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let contents = [b"".to_vec(), b"short".to_vec(), noise, b"short".to_vec(), vec![b'x'; 70_000]];
        let mut oids = Vec::new();
        for content in &contents {
            long.begin(content.len() as u64).unwrap();
            for piece in content.chunks(7_001) {
                assert!(long.write(piece).unwrap().is_empty());
            }
            oids.push(long.end().unwrap());
        }
        long.begin(3).unwrap();
        assert_eq!((long.write(b"ab").unwrap(), long.left_bytes()), (&b""[..], 1));
        assert_eq!(long.write(b"cde").unwrap(), b"de", "what follows belongs to the next");
        oids.push(long.end().unwrap());
        let mut objects = made(format).with_long(long);
        assert_eq!((objects.blob(b"short".to_vec()).unwrap(), objects.len()), (oids[1], 5), "each once");
        oids.push(objects.blob(b"in memory".to_vec()).unwrap());
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let entries = names.iter().zip(&oids).map(|(name, oid)| entry(name, EntryMode::FILE, *oid));
        let tree = objects.tree(entries.collect()).unwrap();
        let quarantine = take_in(&bench, &dir, objects).await;
        let contents = contents.into_iter().chain([b"abc".to_vec(), b"in memory".to_vec()]);
        for (oid, content) in oids.iter().zip(contents) {
            let read = testing::pipe(quarantine.dir(), &["cat-file", "blob", &oid.to_string()], b"");
            assert!(read == content, "{oid}");
        }
        testing::git(quarantine.dir(), &["rev-list", "--objects", "--quiet", &tree.to_string()]);
    }
    let mut long = LongBlobs::new(ObjectFormat::Sha1, tempfile::tempfile().unwrap());
    long.begin(2).unwrap();
    long.write(b"a").unwrap();
    assert!(matches!(long.end(), Err(WriteError::Invalid(_))), "a byte is missing");
}

#[tokio::test]
async fn objects_are_named_and_packed_as_git_would() {
    let bench = Bench::new().await;
    for format in BOTH {
        let dir = bench.repository(format);
        let mut objects = made(format);
        // Around the sizes at which the header of an entry grows.
        let sizes = [0, 1, 15, 16, 17, 2_047, 2_048, 300_000];
        let blobs: Vec<Oid> = sizes.map(|n| objects.blob(vec![b'x'; n]).unwrap()).to_vec();
        let names = ["a", "a.b", "a-b", "ab", "a0", "b", "c", "d"];
        let mut entries: Vec<NewEntry> =
            names.iter().zip(&blobs).map(|(name, oid)| entry(name, EntryMode::FILE, *oid)).collect();
        let below = objects.tree(entries.clone()).unwrap();
        entries[0].mode = EntryMode::TREE;
        entries[0].oid = below;
        entries[1].mode = EntryMode::EXECUTABLE;
        entries[2].mode = EntryMode::LINK;
        let tree = objects.tree(entries.clone()).unwrap();
        let n_objects = objects.len();
        let quarantine = take_in(&bench, &dir, objects).await;

        let said = testing::git(quarantine.dir(), &["ls-tree", &tree.to_string()]);
        let made_by_git = testing::pipe(quarantine.dir(), &["mktree"], said.as_bytes());
        assert_eq!(oid(&made_by_git), tree);
        for (blob, size) in blobs.iter().zip(sizes) {
            let said = testing::git(quarantine.dir(), &["cat-file", "-s", &blob.to_string()]);
            assert_eq!(said.trim(), size.to_string());
        }
        let all = testing::git(
            quarantine.dir(),
            &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"],
        );
        assert_eq!(all.lines().count(), n_objects);
        testing::git(quarantine.dir(), &["fsck", "--strict", "--no-dangling"]);
    }
}

#[tokio::test]
async fn commits_and_tags_are_what_git_makes_of_the_same_people_and_dates() {
    let bench = Bench::new().await;
    for format in BOTH {
        let (dir, [one, two, _]) = bench.history(format);
        for name in ["A U Thor", " .J. R.,", "\"quoted\" <x>", "Zoë\u{2003}", "tab\tin"] {
            let mut objects = made(format);
            let tree = oid(testing::git(&dir, &["rev-parse", &format!("{two}^{{tree}}")]).as_bytes());
            let commit = NewCommit {
                tree,
                parents: vec![two, one],
                author: signer(name),
                committer: Signer { time: 0, offset_minutes: 545, ..signer("C") },
                message: "subject\n\nbody ü\n".into(),
            };
            let ours = objects.commit(&commit).unwrap();
            let mut command = testing::command(&dir, &["commit-tree", &tree.to_string()]);
            command.args(["-p", &two.to_string(), "-p", &one.to_string()]);
            command
                .env("GIT_AUTHOR_NAME", name)
                .env("GIT_AUTHOR_EMAIL", "a@example.org")
                .env("GIT_AUTHOR_DATE", "1700000000 -0930")
                .env("GIT_COMMITTER_NAME", "C")
                .env("GIT_COMMITTER_EMAIL", "a@example.org")
                .env("GIT_COMMITTER_DATE", "@0 +0905");
            assert_eq!(oid(&feed(command, &commit.message)), ours, "{name:?}");
        }

        let nested = oid(testing::git(&dir, &["rev-parse", "nested"]).as_bytes());
        let name = RefName::parse(b"refs/tags/release/1").unwrap();
        for (target, kind, word) in [(one, Kind::Commit, "commit"), (nested, Kind::Tag, "tag")] {
            let tag =
                NewTag { target, kind, name: name.clone(), tagger: signer("T"), message: b"m\n".to_vec() };
            let ours = made(format).tag(&tag).unwrap();
            let text = format!(
                "object {target}\ntype {word}\ntag release/1\ntagger T <a@example.org> 1700000000 -0930\n\nm\n"
            );
            assert_eq!(oid(&testing::pipe(&dir, &["mktag"], text.as_bytes())), ours);
        }
    }
}

#[test]
fn what_git_could_not_read_is_refused() {
    let mut objects = made(ObjectFormat::Sha1);
    let blob = objects.blob(Vec::new()).unwrap();
    let invalid = |made: Result<Oid, WriteError>| matches!(made, Err(WriteError::Invalid(_)));
    for names in [&["a", "a"][..], &[""], &["a/b"], &["a\0b"]] {
        let entries = names.iter().map(|name| entry(name, EntryMode::FILE, blob)).collect();
        assert!(invalid(objects.tree(entries)), "{names:?}");
    }
    // A file and a directory of one name do not lie side by side.
    let entries = [("a", EntryMode::FILE), ("a.b", EntryMode::FILE), ("a", EntryMode::TREE)];
    let entries = entries.map(|(name, mode)| entry(name, mode, blob)).to_vec();
    assert!(invalid(objects.tree(entries)));

    let commit = NewCommit {
        tree: blob,
        parents: Vec::new(),
        author: signer("A"),
        committer: signer("A"),
        message: b"m\n".to_vec(),
    };
    let with = |author: Signer| NewCommit { author, ..commit.clone() };
    for bad in [
        with(signer(" ,;")),
        with(signer("a\0b")),
        with(Signer { time: -1, ..signer("A") }),
        with(Signer { time: i64::MAX, ..signer("A") }),
        with(Signer { offset_minutes: 1_441, ..signer("A") }),
        NewCommit { message: b"a\0b".to_vec(), ..commit.clone() },
    ] {
        assert!(invalid(objects.commit(&bad)), "{bad:?}");
    }
    assert!(objects.commit(&commit).is_ok());
}

#[test]
fn what_is_made_is_bounded() {
    let mut objects = NewObjects::new(ObjectFormat::Sha1, Bounds { max_bytes: 10, max_objects: 2 });
    objects.blob(vec![1; 6]).unwrap();
    objects.blob(vec![1; 6]).unwrap();
    assert_eq!(objects.len(), 1, "the same content is one object");
    assert!(matches!(objects.blob(vec![2; 5]), Err(WriteError::TooLarge { limit_bytes: 10 })));
    objects.blob(vec![2; 4]).unwrap();
    assert!(matches!(objects.blob(Vec::new()), Err(WriteError::TooMany { limit: 2 })));
}

#[tokio::test]
async fn messages_are_cleaned_as_git_does() {
    let bench = Bench::new().await;
    let dir = bench.repository(ObjectFormat::Sha1);
    for message in
        ["", "\n \n", "a", "a\n", " a \t\r\n\n\n\nb\n\n", "\n\na\n", "# kept\n", "a\x0b \n", "a\n \nb"]
    {
        let said = testing::pipe(&dir, &["stripspace"], message.as_bytes());
        assert_eq!(clean_message(message.as_bytes()), said, "{message:?}");
    }
}

#[tokio::test]
async fn what_a_merge_leaves_in_a_scratch_is_collected_without_what_is_there() {
    let bench = Bench::new().await;
    for format in BOTH {
        let dir = bench.repository(format);
        let at = |name: &str| testing::object(&dir, "blob", name.as_bytes());
        let below = format!("100644 blob {}\tkept\n", at("kept"));
        let below = testing::pipe(&dir, &["mktree"], below.as_bytes());
        let below = String::from_utf8(below).unwrap();
        let commit = |left: &str, right: &str, parents: &[Oid]| {
            let (left, right, below) = (at(left), at(right), below.trim());
            let tree =
                format!("100644 blob {left}\tleft\n100644 blob {right}\tright\n040000 tree {below}\tbelow\n");
            testing::commit_tree(&dir, &tree, "m", parents)
        };
        let lines = "1\n2\n3\n4\n5\n6\n";
        let base = commit(lines, "r", &[]);
        let ours = commit("0\n2\n3\n4\n5\n6\n", "r", &[base]);
        let theirs = commit("1\n2\n3\n4\n5\n7\n", "s", &[base]);

        let scratch = Quarantine::create(&bench.root.path().join("q"), Some(&dir), format).unwrap();
        let merge = ["merge-tree", "--write-tree", &ours.to_string(), &theirs.to_string()];
        let tree = oid(testing::git(scratch.dir(), &merge).as_bytes());
        let (new, known) =
            (scratch.objects(&bench.git).await.unwrap(), bench.git.objects(&dir, 0).await.unwrap());
        let collected = made(format).collected(&new, &known, tree).await.unwrap();
        assert_eq!(collected.len(), 2, "the tree and the merged file");
        assert!(collected.find(&tree).is_some());
        let quarantine = take_in(&bench, &dir, collected).await;
        testing::git(quarantine.dir(), &["fsck", "--strict", "--no-dangling"]);
        testing::git(quarantine.dir(), &["rev-list", "--objects", &tree.to_string()]);

        let absent = oid("ab".repeat(format.oid_len()).as_bytes());
        let collected = made(format).collected(&new, &known, absent).await;
        assert!(matches!(collected, Err(WriteError::Read(_))));
    }
}
