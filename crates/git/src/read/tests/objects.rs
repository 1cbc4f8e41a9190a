use hakata_names::{ObjectFormat, Oid, TreePath};

use super::zoo::{Files, Made, PATHS, Zoo};
use crate::objects::ReadError;
use crate::read::{Allowance, BlobRange, Depth, Exhausted, ListTree, ShortBlob, TreeEntry};
use crate::testing;

const DEPTHS: [(Depth, &[&str]); 3] =
    [(Depth::One, &[]), (Depth::Files, &["-r"]), (Depth::All, &["-r", "-t"])];

fn query(root: Oid, depth: Depth) -> ListTree {
    ListTree { root, path: None, depth, sizes: true, after: None, limit: usize::MAX }
}

/// Renders entries as `ls-tree -z -l` does.
fn render(entries: &[TreeEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let kind = match entry.mode & 0o170_000 {
            0o040_000 => "tree",
            0o160_000 => "commit",
            _ => "blob",
        };
        let size = entry.size_bytes.map_or("-".to_owned(), |size| size.to_string());
        out.extend_from_slice(format!("{:06o} {kind} {} {size:>7}\t", entry.mode, entry.oid).as_bytes());
        out.extend_from_slice(&entry.path);
        out.push(0);
    }
    out
}

#[tokio::test]
async fn listings_are_ls_tree_s_whole_and_in_pages() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::wild(format, 30, 3).await;
        let objects = zoo.objects().await;
        for commit in &zoo.commits {
            let commit = *commit;
            for (depth, flags) in DEPTHS {
                let hex = commit.to_string();
                let args = [&["ls-tree", "-z", "-l"], flags, &[&*hex]].concat();
                let expected = testing::pipe(&zoo.dir, &args, b"");
                let read = objects.read(move |view| {
                    let whole = view.list_tree(&query(commit, depth))?;
                    let (mut paged, mut after) = (Vec::new(), None);
                    loop {
                        let page = view.list_tree(&ListTree { after, limit: 2, ..query(commit, depth) })?;
                        after = page.entries.last().map(|entry| entry.path.clone());
                        paged.extend(page.entries);
                        if !page.has_more {
                            break Ok((whole.entries, paged));
                        }
                    }
                });
                let (whole, paged) = read.await.unwrap();
                assert_eq!(render(&whole), expected, "{commit} {flags:?}");
                assert_eq!(paged, whole, "pages make up the whole");
            }
        }
    }
}

#[tokio::test]
async fn entries_are_found_by_literal_paths() {
    let zoo = Zoo::wild(ObjectFormat::Sha1, 12, 5).await;
    let objects = zoo.objects().await;
    for commit in &zoo.commits {
        let commit = *commit;
        for path in PATHS.into_iter().chain([&b"dir"[..], b"dir/deep", b"nothing", b"a/b", b"dir/*"]) {
            let listed = testing::git_bytes(
                &zoo.dir,
                &[b"--literal-pathspecs", b"ls-tree", b"-z", commit.to_string().as_bytes(), b"--", path],
            );
            let path = TreePath::parse(path).unwrap();
            let entry = objects.read(move |view| view.find_entry(&commit, &path)).await.unwrap();
            let shown = entry.map(|entry| format!("{:06o}", entry.mode).into_bytes());
            assert_eq!(shown, listed.get(..6).map(<[u8]>::to_vec), "{listed:?}");
        }
    }
}

#[tokio::test]
async fn a_flat_directory_of_thousands_is_paged() {
    let files: Files =
        (0..5_000).map(|n| (format!("file-{n}").into_bytes(), (0o100_644, vec![b'x']))).collect();
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made { files, ..Made::default() }]).await;
    let commit = zoo.commits[0];
    let read = zoo.read(move |view| {
        let whole = view.list_tree(&query(commit, Depth::One))?.entries;
        let after = Some(whole[4_900].path.clone());
        let last = view.list_tree(&ListTree { after, limit: 500, ..query(commit, Depth::One) })?;
        let foreign = view.list_tree(&ListTree { after: Some(b"no".to_vec()), ..query(commit, Depth::One) });
        Ok((whole, last, foreign))
    });
    let (whole, last, foreign) = read.await.unwrap();
    assert_eq!((whole.len(), &last.entries[..], last.has_more), (5_000, &whole[4_901..], false));
    assert!(matches!(foreign, Err(ReadError::Invalid(_))), "{foreign:?}");
}

#[tokio::test]
async fn files_come_in_ranges_and_pieces() {
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.to_le_bytes()).take(5_000_001).collect();
    let files = Files::from([
        (b"large".to_vec(), (0o100_644, content.clone())),
        (b"small".to_vec(), (0o100_644, content[..1_000].to_vec())),
        (b"empty".to_vec(), (0o100_644, Vec::new())),
    ]);
    let zoo = Zoo::make(ObjectFormat::Sha256, &[Made { files, ..Made::default() }]).await;
    let objects = zoo.objects().await;
    for (name, content) in [("large", &content[..]), ("small", &content[..1_000]), ("empty", &[])] {
        let oid = zoo.oids(&["rev-parse", &format!("0:{name}")])[0];
        for (offset, length) in
            [(0, None), (1, None), (0, Some(10)), (300_000, Some(400_000)), (999, Some(5)), (9_999_999, None)]
        {
            let mut stream =
                objects.open_blob(oid, BlobRange { offset, length }, &Allowance::default()).await.unwrap();
            assert_eq!(stream.size_bytes(), content.len() as u64);
            let mut read = Vec::new();
            while let Some(piece) = stream.next().await.unwrap() {
                assert!((1..=128 << 10).contains(&piece.len()));
                read.extend_from_slice(&piece);
            }
            let from = usize::try_from(offset).unwrap().min(content.len());
            let to =
                length.map_or(content.len(), |n| (from + usize::try_from(n).unwrap()).min(content.len()));
            assert!(read == content[from..to], "{name} from {offset}, {length:?}");
        }
        let little = Allowance { bytes: Some(900), ..Allowance::default() };
        let opened = objects.open_blob(oid, BlobRange::default(), &little).await.map(|_| ());
        let is_refused = matches!(opened, Err(ReadError::Exhausted(Exhausted::Bytes)));
        assert_eq!(is_refused, content.len() > 900);
    }
    let tree = zoo.oids(&["rev-parse", "0^{tree}"])[0];
    let opened = objects.open_blob(tree, BlobRange::default(), &Allowance::default()).await;
    assert!(matches!(opened.map(|_| ()), Err(ReadError::Object { .. })), "a directory is no file");
}

#[tokio::test]
async fn short_files_are_read_until_they_have_enough_bytes() {
    let zoo = Zoo::wild(ObjectFormat::Sha1, 2, 3).await;
    let blob = |content: &str| testing::object(&zoo.dir, "blob", content.as_bytes());
    let (short, long, absent) = (blob("12345"), blob("1234567"), Oid::from_bytes(&[7; 20]).unwrap());
    let asked = [absent, short, long, zoo.commits[0], short, short];
    let read = zoo.read(move |view| {
        let some = |max_bytes| view.short_blobs(&asked, 6, max_bytes);
        let content = || ShortBlob::Content("12345".into());
        let all = [ShortBlob::Absent, content(), ShortBlob::Long, ShortBlob::Absent, content(), content()];
        assert_eq!(some(100)?, all);
        assert_eq!(some(5)?, all[..2], "what has enough bytes is the end");
        assert_eq!(some(6)?, all[..5]);
        Ok(())
    });
    read.await.unwrap();
}
