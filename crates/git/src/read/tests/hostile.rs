use hakata_names::{ObjectFormat, Oid};

use super::zoo::{Files, Made, Zoo};
use crate::objects::ReadError;
use crate::read::{Allowance, Depth, Exhausted, ListTree, LogQuery};
use crate::testing;

/// Refs below `refs/replace/` are pushed like any others; they must not change what is read.
#[tokio::test]
async fn replacements_are_not_read() {
    let zoo = Zoo::wild(ObjectFormat::Sha1, 3, 1).await;
    let [one, two, _] = zoo.commits[..] else { unreachable!("three commits were made") };
    zoo.git(&["replace", &one.to_string(), &two.to_string()]);
    let found = zoo.read(move |view| Ok((view.commit(&one)?.summary, view.read_commit(&one)?)));
    let (summary, commit) = found.await.unwrap();
    assert_eq!((summary, commit.subject()), (b"commit 0".to_vec(), b"commit 0".to_vec()));
}

#[tokio::test]
async fn deep_histories_overflow_no_stack() {
    let mut stream = Vec::new();
    for n in 0..100_000 {
        let commit = format!("commit refs/heads/main\ncommitter C <c> {n} +0000\ndata 1\nx\n");
        stream.extend_from_slice(commit.as_bytes());
    }
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made::default()]).await;
    testing::pipe(&zoo.dir, &["fast-import", "--quiet"], &stream);
    let tip = zoo.oids(&["rev-parse", "refs/heads/main"])[0];
    let old = zoo.oids(&["rev-parse", "refs/heads/main~99000"])[0];
    let other = zoo.commits[0];
    let objects = zoo.objects().await;
    let read = objects.read(move |view| {
        assert_eq!(view.merge_bases(&tip, &[other])?, []);
        let apart = view.ahead_behind(&[(tip, old), (tip, other)])?;
        assert_eq!((apart[0].ahead, apart[1].ahead, apart[1].behind), (99_000, 100_000, 1));
        assert_eq!(view.tips_containing(&old, &[tip, other])?, [true, false]);
        view.count_commits(&LogQuery { tips: vec![tip], ..LogQuery::default() })
    });
    assert_eq!(read.await.unwrap(), 100_000);
    let little = Allowance { entries: Some(500), ..Allowance::default() };
    let query = LogQuery { tips: vec![tip], ..LogQuery::default() };
    let counted = objects.read_within(&little, move |view| view.count_commits(&query)).await;
    assert!(matches!(counted, Err(ReadError::Exhausted(Exhausted::Entries))), "{counted:?}");
}

#[tokio::test]
async fn deep_directories_end_in_an_error() {
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made::default()]).await;
    let mut stream = Vec::new();
    // A tree cannot be nested by fast-import this deep without paths that are too long for git itself.
    let mut tree = testing::object(&zoo.dir, "tree", b"");
    for _ in 0..2_100 {
        stream.clear();
        stream.extend_from_slice(b"40000 d\0");
        stream.extend_from_slice(tree.as_bytes());
        tree = write_tree(&zoo, &stream);
    }
    let objects = zoo.objects().await;
    let query =
        ListTree { root: tree, path: None, depth: Depth::Files, sizes: false, after: None, limit: 10 };
    let listed = objects.read(move |view| view.list_tree(&query)).await;
    assert!(matches!(listed, Err(ReadError::Invalid(_))), "{listed:?}");
}

/// Writes a loose object without starting git, which would take seconds for thousands.
fn write_tree(zoo: &Zoo, content: &[u8]) -> Oid {
    use gix::objs::Write;
    let options = gix::open::Options::isolated().open_path_as_is(true).with(gix::sec::Trust::Full);
    let repository = options.open(zoo.dir.path()).unwrap().to_thread_local();
    let id = repository.objects.write_buf(gix::object::Kind::Tree, content).unwrap();
    Oid::from_bytes(id.as_slice()).unwrap()
}

#[tokio::test]
async fn broken_objects_are_errors() {
    let files = Files::from([(b"dir/a".to_vec(), (0o100_644, b"x".to_vec()))]);
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made { files, ..Made::default() }]).await;
    let absent = Oid::from_bytes(&[7; 20]).unwrap();
    let mut odd = Vec::new();
    for content in
        [&b"100644 a"[..], b"100644 a\0short", b"x a\0", b" a\0", b"100644 a/b\0aaaaaaaaaaaaaaaaaaaa"]
    {
        odd.push(write_tree(&zoo, content));
    }
    let headless = testing::object(&zoo.dir, "commit", b"nothing\n");
    let orphan = testing::object(
        &zoo.dir,
        "commit",
        format!("tree {absent}\nparent {absent}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nm")
            .as_bytes(),
    );
    let read = zoo.read(move |view| {
        let list =
            |root| ListTree { root, path: None, depth: Depth::Files, sizes: true, after: None, limit: 9 };
        for tree in odd {
            let listed = view.list_tree(&list(tree));
            assert!(matches!(listed, Err(ReadError::Object { .. })), "{listed:?}");
        }
        assert!(matches!(view.list_tree(&list(orphan)), Err(ReadError::Absent(_))));
        assert!(matches!(view.read_commit(&headless), Err(ReadError::Object { .. })));
        assert!(matches!(view.merge_bases(&headless, &[orphan]), Err(ReadError::Object { .. })));
        let counted = view.count_commits(&LogQuery { tips: vec![orphan], ..LogQuery::default() });
        assert!(matches!(counted, Err(ReadError::Absent(_))), "{counted:?}");
        Ok(())
    });
    read.await.unwrap();
}

#[tokio::test]
async fn a_broken_commit_graph_is_left_aside() {
    use std::os::unix::fs::PermissionsExt;
    let zoo = Zoo::wild(ObjectFormat::Sha1, 30, 9).await;
    zoo.git(&["commit-graph", "write", "--reachable", "--changed-paths"]);
    let path = zoo.dir.objects().join("info/commit-graph");
    let whole = std::fs::read(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let query = LogQuery { tips: vec![zoo.commits[29]], ..LogQuery::default() };
    let expected = zoo.oids(&["-c", "core.commitGraph=false", "rev-list", &zoo.commits[29].to_string()]);
    for length in [0, 4, 7, 100, 1_100, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let query = query.clone();
        let found = zoo.read(move |view| view.log_page(&query, None, 99)).await.unwrap();
        assert_eq!(found.commits, expected, "cut to {length} bytes");
    }
}
