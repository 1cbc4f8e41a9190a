//! Files that are too large for memory, however they are stored.

use hakata_names::{ObjectFormat, Oid};

use super::zoo::{Dice, Files, Made, Zoo};
use crate::GitDir;
use crate::objects::{Objects, ReadError};
use crate::read::{Allowance, BlobRange, whole};

/// Two files that cannot be compressed and are nearly the same.
fn contents() -> [Vec<u8>; 2] {
    let mut dice = Dice(7);
    let one: Vec<u8> = (0..2_500_000).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect();
    let mut other = one.clone();
    other.extend_from_slice(b"and a bit more");
    [one, other]
}

async fn zoo(format: ObjectFormat) -> (Zoo, [(Oid, Vec<u8>); 2]) {
    let [one, other] = contents();
    let files =
        [(b"one".to_vec(), (0o100_644, one.clone())), (b"other".to_vec(), (0o100_644, other.clone()))];
    let zoo = Zoo::make(format, &[Made { files: Files::from(files), ..Made::default() }]).await;
    let oids = zoo.oids(&["rev-parse", "0:one", "0:other"]);
    (zoo, [(oids[0], one), (oids[1], other)])
}

async fn read(objects: &Objects, oid: Oid, range: BlobRange) -> Result<Vec<u8>, ReadError> {
    let mut stream = objects.open_blob(oid, range, &Allowance::default()).await?;
    let mut read = Vec::new();
    while let Some(piece) = stream.next().await? {
        read.extend_from_slice(&piece);
    }
    Ok(read)
}

async fn check(objects: &Objects, files: &[(Oid, Vec<u8>)]) {
    for (oid, content) in files {
        for (offset, n) in [(0, content.len()), (1_048_575, 2), (1_048_576, 1_048_577), (2_499_999, 1)] {
            let range = BlobRange { offset: offset as u64, length: Some(n as u64) };
            let wanted = &content[offset..offset + n];
            assert!(read(objects, *oid, range).await.unwrap() == wanted, "{n} bytes from {offset}");
        }
    }
}

/// Counts the files that can be inflated without git.
async fn n_whole(objects: &Objects, files: &[(Oid, Vec<u8>); 2]) -> usize {
    let sizes = files.each_ref().map(|(oid, content)| (*oid, content.len() as u64));
    let found = move |view: &crate::objects::View| {
        Ok(sizes.iter().filter(|(oid, size)| whole::find(view, oid, *size).is_some()).count())
    };
    objects.read(found).await.unwrap()
}

#[tokio::test]
async fn a_file_is_read_whether_loose_packed_or_a_delta() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let (zoo, files) = zoo(format).await;
        let loose = zoo.objects().await;
        assert_eq!(n_whole(&loose, &files).await, 2);
        check(&loose, &files).await;
        zoo.git(&["repack", "-a", "-d", "-f", "-q"]);
        let packed = zoo.bench.git.objects(&zoo.dir, 1).await.unwrap();
        assert_eq!(n_whole(&packed, &files).await, 1, "git makes a delta of one of them");
        check(&packed, &files).await;
        let borrower = zoo.bench.repository(format);
        let alternates = format!("{}\n", zoo.dir.objects().display());
        std::fs::write(borrower.objects().join("info/alternates"), alternates).unwrap();
        let borrowed = zoo.bench.git.objects(&borrower, 0).await.unwrap();
        assert_eq!(n_whole(&borrowed, &files).await, 1);
        check(&borrowed, &files).await;
    }
}

/// Changes a byte in the middle of a file.
fn damage(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn loose(dir: &GitDir, oid: &Oid) -> std::path::PathBuf {
    let hex = oid.to_string();
    dir.objects().join(&hex[..2]).join(&hex[2..])
}

#[tokio::test]
async fn a_damaged_file_is_no_file() {
    let (zoo, [(oid, _), _]) = zoo(ObjectFormat::Sha1).await;
    damage(&loose(&zoo.dir, &oid));
    let read = read(&zoo.objects().await, oid, BlobRange::default()).await;
    assert!(matches!(read, Err(ReadError::Walk(_))), "zlib's sum is looked at");
}

#[tokio::test]
async fn a_file_that_ends_early_is_no_file() {
    let (zoo, [(oid, _), _]) = zoo(ObjectFormat::Sha1).await;
    let path = loose(&zoo.dir, &oid);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 100_000]).unwrap();
    let read = read(&zoo.objects().await, oid, BlobRange::default()).await;
    assert!(matches!(read, Err(ReadError::Walk(_))));
}
