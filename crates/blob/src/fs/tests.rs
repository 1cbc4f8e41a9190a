use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hakata_names::PackId;
use hakata_runtime::blocking::Blocking;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::{BlobError, BlobKey, Blobs, PackPart};

const KEY: BlobKey = BlobKey::pack(PackId::new(300), PackPart::Pack);

async fn open(dir: &Path) -> Blobs {
    Blobs::open_fs(dir.join("blobs"), Blocking::new(2)).await.unwrap()
}

async fn read(blobs: &Blobs, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    blobs.get(KEY, range).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Counts the files that are being written.
fn n_temporaries(dir: &Path) -> usize {
    let folders = fs::read_dir(dir.join("blobs/tmp")).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|path| path.is_dir()).map(|folder| fs::read_dir(folder).unwrap().count()).sum()
}

#[tokio::test]
async fn files_are_linked_and_may_be_put_twice() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).await;
    let from = dir.path().join("from.pack");
    fs::write(&from, "PACK").unwrap();
    for _ in 0..2 {
        let stats = blobs.put_files(vec![(KEY, from.clone())]).await.unwrap();
        assert_eq!(stats[0].size_bytes, 4);
        assert_eq!(n_temporaries(dir.path()), 0, "renaming a file onto itself leaves no temporary");
    }
    let path = blobs.local_path(KEY).unwrap();
    assert_eq!(fs::metadata(&from).unwrap().ino(), fs::metadata(path).unwrap().ino());
    fs::remove_file(from).unwrap();
    assert_eq!(read(&blobs, None).await, b"PACK");
}

/// A source that gives some bytes and then fails.
struct Breaks(usize);

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(std::io::Error::other("cable cut")));
        }
        self.0 -= 1;
        buf.put_slice(b"bytes");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = open(dir.path()).await;
    assert!(matches!(blobs.put(KEY, Breaks(3)).await, Err(BlobError::Io { .. })));
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
    assert_eq!(n_temporaries(dir.path()), 0);
    let missing = dir.path().join("missing");
    assert!(blobs.put_files(vec![(KEY, missing)]).await.is_err());
}

/// A source that gives some bytes, and the rest when it is told to.
struct Pauses {
    n_given: usize,
    rest: tokio::sync::oneshot::Receiver<()>,
}

impl AsyncRead for Pauses {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.n_given {
            1 => std::task::ready!(Pin::new(&mut self.rest).poll(cx)).unwrap(),
            2.. => return Poll::Ready(Ok(())),
            0 => {}
        }
        self.n_given += 1;
        buf.put_slice(b"half");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn opening_a_shared_directory_leaves_the_uploads_of_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let one = open(dir.path()).await;
    let (tell, rest) = tokio::sync::oneshot::channel();
    let uploading = {
        let one = one.clone();
        tokio::spawn(async move { one.put(KEY, Pauses { n_given: 0, rest }).await })
    };
    while n_temporaries(dir.path()) == 0 {
        tokio::task::yield_now().await;
    }
    let two = open(dir.path()).await;
    assert_eq!(n_temporaries(dir.path()), 1, "the upload is still there");
    tell.send(()).unwrap();
    uploading.await.unwrap().unwrap();
    assert_eq!(read(&two, None).await, b"halfhalf", "what one puts the other reads");
    assert_eq!(n_temporaries(dir.path()), 0);
}
