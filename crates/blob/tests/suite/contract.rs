//! What every store of blobs promises.

use std::fs;

use hakata_blob::{BlobError, BlobKey, Blobs, Checked, Deleted, Mismatch, PackPart};
use hakata_names::PackId;
use tokio::io::AsyncReadExt as _;

use crate::engine::{Engine, KEY, PART, directory};
use crate::sources::{Breaks, bytes};

/// Makes one test of each promise for each engine.
macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        mod in_a_directory {
            $(#[tokio::test]
            async fn $promise() {
                let dir = tempfile::tempdir().unwrap();
                super::$promise(&super::directory(dir.path()).await).await;
            })*
        }

        mod on_the_way_to_a_bucket {
            $(#[tokio::test]
            async fn $promise() {
                let (engine, dir) = (super::Engine::start().await, tempfile::tempdir().unwrap());
                let blobs = super::Blobs::moving(engine.open().await, super::directory(dir.path()).await);
                super::$promise(&blobs).await;
                engine.tasks.empty().await;
                assert_eq!(engine.n_upload_files(), 0, "no upload is left: {:?}", engine.log());
            })*
        }

        mod in_a_bucket {
            $(#[tokio::test]
            async fn $promise() {
                let engine = super::Engine::start().await;
                super::$promise(&engine.open().await).await;
                engine.tasks.empty().await;
                assert_eq!(engine.n_upload_files(), 0, "no upload is left: {:?}", engine.log());
            })*
        }
    };
}

promises![
    a_blob_is_read_back_whole_and_in_ranges,
    an_empty_blob_is_a_blob,
    a_large_blob_is_read_back,
    a_blob_of_whole_parts_is_read_back,
    a_deleted_blob_is_absent,
    a_blob_may_be_put_twice,
    files_become_blobs,
    a_source_that_fails_leaves_nothing,
    wrong_content_leaves_nothing,
    an_upload_goes_on_where_it_ended,
    an_upload_may_be_taken_back,
    an_unfinished_upload_is_not_completed,
];

async fn read(blobs: &Blobs, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    blobs.get(KEY, range).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

async fn a_blob_is_read_back_whole_and_in_ranges(blobs: &Blobs) {
    assert_eq!(blobs.put(KEY, &b"0123456789"[..]).await.unwrap().size_bytes, 10);
    assert_eq!(blobs.stat(KEY).await.unwrap().unwrap().size_bytes, 10);
    assert_eq!(read(blobs, None).await, b"0123456789");
    assert_eq!(read(blobs, Some(2..5)).await, b"234");
    assert_eq!(read(blobs, Some(0..1)).await, b"0");
    assert_eq!(read(blobs, Some(8..50)).await, b"89");
    assert_eq!(read(blobs, Some(10..60)).await, b"");
    assert_eq!(read(blobs, Some(50..60)).await, b"");
    assert_eq!(read(blobs, Some(3..3)).await, b"");
}

async fn an_empty_blob_is_a_blob(blobs: &Blobs) {
    assert_eq!(blobs.put(KEY, &b""[..]).await.unwrap().size_bytes, 0);
    assert_eq!(blobs.stat(KEY).await.unwrap().unwrap().size_bytes, 0);
    assert_eq!(read(blobs, None).await, b"");
    assert_eq!(read(blobs, Some(0..5)).await, b"");
}

async fn a_large_blob_is_read_back(blobs: &Blobs) {
    let content = bytes(3 * PART + 12_345);
    assert_eq!(blobs.put(KEY, &content[..]).await.unwrap().size_bytes, content.len() as u64);
    assert_eq!(blobs.stat(KEY).await.unwrap().unwrap().size_bytes, content.len() as u64);
    assert!(read(blobs, None).await == content, "the parts are in their order");
    let (from, to) = (PART - 10, 2 * PART + 10);
    assert!(read(blobs, Some(from as u64..to as u64)).await == content[from..to]);
}

async fn a_blob_of_whole_parts_is_read_back(blobs: &Blobs) {
    for n_parts in [1, 2] {
        let content = bytes(n_parts * PART);
        assert_eq!(blobs.put(KEY, &content[..]).await.unwrap().size_bytes, content.len() as u64);
        assert!(read(blobs, None).await == content);
    }
}

async fn a_deleted_blob_is_absent(blobs: &Blobs) {
    blobs.put(KEY, &b"x"[..]).await.unwrap();
    assert_eq!(blobs.delete(KEY).await.unwrap(), Deleted::Yes);
    assert_eq!(blobs.delete(KEY).await.unwrap(), Deleted::Absent);
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
    for range in [None, Some(0..5), Some(3..3)] {
        let got = blobs.get(KEY, range).await;
        assert!(matches!(got, Err(BlobError::Absent(key)) if key == KEY));
    }
}

async fn a_blob_may_be_put_twice(blobs: &Blobs) {
    blobs.put(KEY, &b"one"[..]).await.unwrap();
    blobs.put(KEY, &b"another"[..]).await.unwrap();
    assert_eq!(read(blobs, None).await, b"another");
}

async fn files_become_blobs(blobs: &Blobs) {
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (dir.path().join("small"), dir.path().join("large"));
    fs::write(&small, "PACK").unwrap();
    fs::write(&large, bytes(PART + 1)).unwrap();
    let other = BlobKey::pack(PackId::new(301), PackPart::Idx);
    let stats = blobs.put_files(vec![(KEY, small), (other, large)]).await.unwrap();
    assert_eq!([stats[0].size_bytes, stats[1].size_bytes], [4, PART as u64 + 1]);
    assert_eq!(read(blobs, None).await, b"PACK");
    assert!(blobs.put_files(vec![(KEY, dir.path().join("missing"))]).await.is_err());
    assert_eq!(blobs.put_files(Vec::new()).await.unwrap(), []);
}

async fn a_source_that_fails_leaves_nothing(blobs: &Blobs) {
    for n_bytes in [3, PART + 3, 2 * PART] {
        let put = blobs.put(KEY, Breaks(n_bytes)).await;
        assert!(matches!(put, Err(BlobError::Io { .. })), "{put:?}");
        assert_eq!(blobs.stat(KEY).await.unwrap(), None, "{n_bytes} bytes leave no blob");
    }
}

async fn wrong_content_leaves_nothing(blobs: &Blobs) {
    let content = bytes(PART + 100);
    let sha256 = |bytes: &[u8]| -> [u8; 32] {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
    };
    let size = content.len() as u64;
    for (size, sha256, wanted) in [
        (size, sha256(b"other"), Mismatch::Content),
        (size + 1, sha256(&content), Mismatch::Size { wanted: size + 1, came: size }),
    ] {
        let put = blobs.put(KEY, Checked::new(&content[..], size, sha256)).await;
        assert_eq!(Mismatch::find(&put.unwrap_err()), Some(&wanted));
        assert_eq!(blobs.stat(KEY).await.unwrap(), None, "never visible");
    }
    blobs.put(KEY, Checked::new(&content[..], size, sha256(&content))).await.unwrap();
    assert!(read(blobs, None).await == content);
}

async fn an_upload_goes_on_where_it_ended(blobs: &Blobs) {
    let whole = usize::try_from(blobs.part_bytes()).unwrap();
    let content = bytes(2 * whole + 77);
    let part = |n: usize| content[n * whole..content.len().min((n + 1) * whole)].to_vec();
    let id = blobs.begin_upload(KEY).await.unwrap();
    assert_eq!(blobs.list_parts(KEY, &id).await.unwrap().unwrap(), []);
    let mut parts = vec![
        blobs.put_part(KEY, &id, 2, part(1).into()).await.unwrap(),
        blobs.put_part(KEY, &id, 1, part(0).into()).await.unwrap(),
    ];
    assert_eq!(blobs.stat(KEY).await.unwrap(), None, "nothing is visible yet");

    // Another process knows the id from a row.
    let id = hakata_blob::UploadId::new(id.as_str());
    let listed = blobs.list_parts(KEY, &id).await.unwrap().unwrap();
    let lengths: Vec<_> = listed.iter().map(|part| (part.number, part.size_bytes)).collect();
    assert_eq!(lengths, [(1, whole as u64), (2, whole as u64)]);
    parts.push(blobs.put_part(KEY, &id, 3, vec![0; 5].into()).await.unwrap());
    parts.pop();
    parts.push(blobs.put_part(KEY, &id, 3, part(2).into()).await.unwrap());
    parts.sort_by_key(|part| part.number);
    let stat = blobs.complete_upload(KEY, &id, &parts).await.unwrap();
    assert_eq!(stat.size_bytes, content.len() as u64);
    assert!(read(blobs, None).await == content);
}

async fn an_upload_may_be_taken_back(blobs: &Blobs) {
    let id = blobs.begin_upload(KEY).await.unwrap();
    blobs.put_part(KEY, &id, 1, b"x"[..].into()).await.unwrap();
    blobs.abort_upload(KEY, &id).await.unwrap();
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
    assert!(blobs.put_part(KEY, &id, 1, b"x"[..].into()).await.is_err());
}

async fn an_unfinished_upload_is_not_completed(blobs: &Blobs) {
    let id = blobs.begin_upload(KEY).await.unwrap();
    assert!(blobs.complete_upload(KEY, &id, &[]).await.is_err(), "no parts");
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
    blobs.abort_upload(KEY, &id).await.unwrap();
}

/// What is not there yet is read where it was, and deleted in both.
#[tokio::test]
async fn two_stores_are_read_as_one_while_blobs_move() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (to, from) = (directory(dirs[0].path()).await, directory(dirs[1].path()).await);
    from.put(KEY, &b"old"[..]).await.unwrap();
    let both = Blobs::moving(to.clone(), from.clone());
    assert_eq!(read(&both, None).await, b"old");
    assert_eq!(read(&both, Some(1..2)).await, b"l");
    assert_eq!(both.stat(KEY).await.unwrap().unwrap().size_bytes, 3);
    assert_eq!(both.local_path(KEY), from.local_path(KEY));
    assert_eq!(to.stat(KEY).await.unwrap(), None, "reading copies nothing");
    both.put(KEY, &b"newer"[..]).await.unwrap();
    assert_eq!((read(&to, None).await, read(&from, None).await), (b"newer".to_vec(), b"old".to_vec()));
    assert_eq!(read(&both, None).await, b"newer");
    assert_eq!(both.local_path(KEY), to.local_path(KEY));
    assert_eq!(both.delete(KEY).await.unwrap(), Deleted::Yes);
    assert_eq!((to.stat(KEY).await.unwrap(), from.stat(KEY).await.unwrap()), (None, None));
    assert_eq!(both.delete(KEY).await.unwrap(), Deleted::Absent);
    from.put(KEY, &b"old"[..]).await.unwrap();
    assert_eq!(both.delete(KEY).await.unwrap(), Deleted::Yes, "where it was");
    assert!(matches!(both.get(KEY, None).await, Err(BlobError::Absent(_))));
    assert_eq!(both.local_path(KEY), None);
}
