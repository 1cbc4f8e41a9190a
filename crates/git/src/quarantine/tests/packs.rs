use hakata_names::{ObjectFormat, Oid};

use crate::GitDir;
use crate::objects::Kind;
use crate::quarantine::{Disconnected, Fsck, IndexPackError, IndexedPack, PackLimits, Quarantine, Why};
use crate::testing::{self, Bench};

const BOTH: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

/// Packs what leads to `tips` and not to `without`.
fn pack(dir: &GitDir, tips: &[Oid], without: &[Oid], args: &[&str]) -> Vec<u8> {
    let mut lines: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
    lines.extend(without.iter().map(|tip| format!("^{tip}\n")));
    let args = [&["pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset"], args].concat();
    testing::pipe(dir, &args, lines.as_bytes())
}

fn quarantine(bench: &Bench, base: Option<&GitDir>, format: ObjectFormat) -> Quarantine {
    Quarantine::create(&bench.root.path().join("quarantine"), base, format).unwrap()
}

async fn index(
    bench: &Bench,
    quarantine: &Quarantine,
    pack: &[u8],
    limits: &PackLimits,
) -> Result<IndexedPack, IndexPackError> {
    quarantine.index_pack(&bench.git, &mut &pack[..], limits).await
}

#[tokio::test]
async fn a_thin_pack_is_completed_and_connected() {
    let bench = Bench::new().await;
    for format in BOTH {
        let dir = bench.repository(format);
        let text = "the same long line of text\n".repeat(200);
        let blob = testing::object(&dir, "blob", text.as_bytes());
        let one = testing::commit_tree(&dir, &format!("100644 blob {blob}\tf\n"), "one", &[]);
        testing::git(&dir, &["update-ref", "refs/heads/main", &one.to_string()]);
        let work = bench.path(&format!("work-{format}.git"));
        testing::git(
            &GitDir::new(bench.root.path()),
            &["clone", "-q", "--bare", &dir.path().display().to_string(), &work.path().display().to_string()],
        );
        let blob = testing::object(&work, "blob", format!("{text}more\n").as_bytes());
        let two = testing::commit_tree(&work, &format!("100644 blob {blob}\tf\n"), "two", &[one]);
        let thin = pack(&work, &[two], &[one], &["--thin"]);

        let quarantine = quarantine(&bench, Some(&dir), format);
        let indexed = index(&bench, &quarantine, &thin, &PackLimits::default()).await.unwrap();
        assert!(indexed.n_objects == 4, "three new objects and the base: {}", indexed.n_objects);
        assert!(indexed.idx.is_file() && indexed.rev.is_file(), "git 2.41 writes all three");
        assert_eq!(indexed.size_bytes, std::fs::metadata(&indexed.pack).unwrap().len());
        assert_eq!(quarantine.check_connected(&bench.git, &[two, one], &[]).await.unwrap(), []);
        let objects = quarantine.objects(&bench.git).await.unwrap();
        let seen = objects
            .read(move |view| Ok((view.exists(&one), view.header(&blob)?, view.is_ancestor(&one, &two)?)));
        let (base, header, ancestor) = seen.await.unwrap();
        assert!(base && ancestor && header.unwrap().kind == Kind::Blob, "both sides are readable as one");

        let path = quarantine.dir().path().to_owned();
        drop(quarantine);
        assert!(!path.exists(), "a quarantine goes with all it holds");
    }
}

#[tokio::test]
async fn packs_that_are_not_accepted() {
    let bench = Bench::new().await;
    let (dir, [_, _, three]) = bench.history(ObjectFormat::Sha1);
    let good = pack(&dir, &[three], &[], &[]);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    let noise: Vec<u8> = (0..60_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let large = testing::object(&dir, "blob", &noise);
    let with_large = testing::commit_tree(&dir, &format!("100644 blob {large}\tf\n"), "large", &[]);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "the pack ends too early"),
        ("cut", good[..good.len() - 30].to_vec(), "the pack ends too early"),
        ("no pack", b"GIF89a..............................".to_vec(), "pack signature mismatch"),
        ("flipped", flipped, "index-pack failed"),
        ("old version", [&b"PACK\0\0\0\x01"[..], &good[8..]].concat(), "pack version 1 unsupported"),
        (
            "too many objects",
            [&b"PACK\0\0\0\x02\xff\xff\xff\xff"[..], &good[12..]].concat(),
            "index-pack failed",
        ),
        (
            "too large",
            pack(&dir, &[with_large], &[], &[]),
            "pack exceeds maximum allowed size (100000 bytes)",
        ),
    ];
    for (what, bytes, message) in cases {
        let limits = PackLimits { max_bytes: Some(100_000), ..PackLimits::default() };
        let refused =
            index(&bench, &quarantine(&bench, Some(&dir), ObjectFormat::Sha1), &bytes, &limits).await;
        let line = refused.expect_err(what).unpack_line();
        assert!(line.contains(message), "{what}: {line}");
        assert!(!line.contains(bench.root.path().to_str().unwrap()), "no path of ours is told: {line}");
    }
    assert_eq!(
        std::fs::read_dir(bench.root.path().join("quarantine")).unwrap().count(),
        0,
        "nothing stays behind"
    );
}

#[tokio::test]
async fn malicious_trees_and_modules_are_refused() {
    let bench = Bench::new().await;
    let dir = bench.repository(ObjectFormat::Sha1);
    let blob = testing::object(&dir, "blob", b"x");
    let modules = |text: &str| testing::object(&dir, "blob", text.as_bytes());
    let entry = |mode: &str, name: &str, oid: &Oid| {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", oid.as_bytes()].concat()
    };
    let inner = testing::object(&dir, "tree", &entry("100644", "config", &blob));
    let option = modules("[submodule \"a\"]\n\tpath = a\n\turl = -u./payload\n");
    let escape = modules("[submodule \"../../x\"]\n\tpath = a\n\turl = https://example.org\n");
    let alarm = modules("[submodule \"a\"]\n\tpath = a\n\turl = \"-No space left on device\"\n");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (".git as a directory", entry("40000", ".git", &inner), "hasDotgit"),
        (".GIT", entry("40000", ".GIT", &inner), "hasDotgit"),
        ("git~1", entry("40000", "git~1", &inner), "hasDotgit"),
        (".git with an ignored character", entry("40000", ".g\u{200c}it", &inner), "hasDotgit"),
        ("..", entry("40000", "..", &inner), "hasDotdot"),
        (".", entry("40000", ".", &inner), "hasDot"),
        ("a slash", entry("100644", "a/b", &blob), "fullPathname"),
        ("an empty name", entry("100644", "", &blob), "empty filename in tree entry"),
        ("twice", [entry("100644", "a", &blob), entry("100644", "a", &blob)].concat(), "duplicateEntries"),
        (
            "out of order",
            [entry("100644", "b", &blob), entry("100644", "a", &blob)].concat(),
            "treeNotSorted",
        ),
        (".gitmodules as a link", entry("120000", ".gitmodules", &blob), "gitmodulesSymlink"),
        (".gitmodules with an option", entry("100644", ".gitmodules", &option), "gitmodulesUrl"),
        (".gitmodules that escapes", entry("100644", ".gitmodules", &escape), "gitmodulesName"),
        (".gitmodules that raises an alarm", entry("100644", ".gitmodules", &alarm), "gitmodulesUrl"),
    ];
    for (what, tree, message) in cases {
        let tree = testing::object(&dir, "tree", &tree);
        let commit = testing::git(&dir, &["commit-tree", "-m", "x", &tree.to_string()]);
        let commit = Oid::parse_hex(commit.trim().as_bytes()).unwrap();
        let lines: String =
            [commit, tree, inner, blob, option, escape, alarm].iter().map(|oid| format!("{oid}\n")).collect();
        let bytes = testing::pipe(&dir, &["pack-objects", "--stdout", "-q"], lines.as_bytes());
        let refused =
            index(&bench, &quarantine(&bench, None, ObjectFormat::Sha1), &bytes, &PackLimits::default())
                .await;
        let line = refused.expect_err(what).unpack_line();
        assert!(line.contains(message), "{what}: {line}");
        let hashes = PackLimits { fsck: Fsck::Hashes, ..PackLimits::default() };
        let imported = index(&bench, &quarantine(&bench, None, ObjectFormat::Sha1), &bytes, &hashes).await;
        assert!(imported.is_ok(), "an import may keep old sins: {what} {imported:?}");
    }
}

#[tokio::test]
async fn missing_objects_are_found_for_each_tip() {
    let bench = Bench::new().await;
    let (dir, [one, two, three]) = bench.history(ObjectFormat::Sha1);
    let base = bench.repository(ObjectFormat::Sha1);
    let quarantine = quarantine(&bench, Some(&base), ObjectFormat::Sha1);
    let loose = PackLimits { fsck: Fsck::Hashes, ..PackLimits::default() };
    index(&bench, &quarantine, &pack(&dir, &[three], &[two], &[]), &loose).await.unwrap();
    let other = testing::commit(&dir, "other", &[]);
    index(&bench, &quarantine, &pack(&dir, &[other], &[], &[]), &loose).await.unwrap();
    let absent = Oid::parse_hex("ab".repeat(20).as_bytes()).unwrap();

    let found = quarantine.check_connected(&bench.git, &[other, three, absent], &[]).await.unwrap();
    let missing = |tip| Disconnected { tip, why: Why::Missing };
    assert_eq!(found, [missing(three), missing(absent)], "the tip that is whole is not to blame");
    let found = quarantine.check_connected(&bench.git, &[other, three], &[three]).await.unwrap();
    assert_eq!(found, [Disconnected { tip: three, why: Why::Shallow }]);
    assert_eq!(quarantine.check_connected(&bench.git, &[], &[]).await.unwrap(), []);
    let _ = one;
}

#[tokio::test]
async fn large_objects_are_named_with_their_paths() {
    let bench = Bench::new().await;
    for format in BOTH {
        let dir = bench.repository(format);
        let big = "line\n".repeat(10_000);
        let [a, b] = [&big, &format!("{big}x")].map(|text| testing::object(&dir, "blob", text.as_bytes()));
        let tree = testing::pipe(
            &dir,
            &["mktree"],
            format!("100644 blob {a}\ta b\n100644 blob {b}\tb\n").as_bytes(),
        );
        let tree = String::from_utf8(tree).unwrap();
        let commit = testing::commit_tree(&dir, &format!("040000 tree {}\tdir\n", tree.trim()), "big", &[]);
        let quarantine = quarantine(&bench, None, format);
        let indexed = index(&bench, &quarantine, &pack(&dir, &[commit], &[], &[]), &PackLimits::default())
            .await
            .unwrap();
        let large = quarantine.objects_over(&bench.git, &indexed, 10_000, 10).await.unwrap();
        let sizes: Vec<(Oid, u64)> = large.iter().map(|object| (object.oid, object.size_bytes)).collect();
        assert_eq!(sizes, [(b, 50_001), (a, 50_000)], "deltas count by what they make");
        assert_eq!(quarantine.objects_over(&bench.git, &indexed, 50_001, 10).await.unwrap(), []);
        let path = quarantine.path_of(&bench.git, &a, &[commit]).await.unwrap().unwrap();
        assert_eq!(path.as_bytes(), b"dir/a b");
    }
}

/// An input that has said all it will, and does not end.
struct Silent(std::sync::Arc<tokio::sync::Notify>);

impl tokio::io::AsyncRead for Silent {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        self.0.notify_one();
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_git_that_is_killed_has_spent_what_it_has() {
    use tokio::io::AsyncReadExt;
    let bench = Bench::new().await;
    let dir = bench.repository(ObjectFormat::Sha1);
    // Its pack is twice as long as a pipe, so git has inflated much of it when the last byte is handed over.
    let blob = testing::object(&dir, "blob", &vec![0; 128 << 20]);
    let pack = testing::pipe(&dir, &["pack-objects", "--stdout", "-q"], format!("{blob}\n").as_bytes());
    assert!(pack.len() > 120_000);
    let asked = std::sync::Arc::new(tokio::sync::Notify::new());
    let mut input = (&pack[..pack.len() - 20]).chain(Silent(asked.clone()));
    let limits = PackLimits::default();
    let quarantine = quarantine(&bench, None, ObjectFormat::Sha1);
    tokio::select! {
        indexed = quarantine.index_pack(&bench.git, &mut input, &limits) => panic!("{indexed:?}"),
        () = asked.notified() => {}
    }
    assert!(limits.spent.total() >= std::time::Duration::from_millis(10), "{:?}", limits.spent);
}
