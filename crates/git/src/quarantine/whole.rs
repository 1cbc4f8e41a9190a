//! Whether the three files of a pack that came from elsewhere are whole and belong together.
//!
//! ```text
//! pack    ... | checksum of all before
//! idx     ... | checksum of the pack | checksum of all before
//! rev     ... | checksum of the pack | checksum of all before
//! ```
//! Source: gitformat-pack(5).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use hakata_names::{ObjectFormat, Oid};

use super::IndexedPack;

/// Bytes that are hashed at a time.
const PIECE: usize = 256 << 10;

impl IndexedPack {
    /// Tells whether pack, index and reverse index are as they were written, by the checksums that they end with. That
    /// finds what was damaged or cut on its way; objects are not looked at. Blocks, and reads every byte.
    ///
    /// # Errors
    /// The file system's; a file that is missing is no error, but not whole.
    pub fn is_whole(&self) -> io::Result<bool> {
        let format = self.checksum.format();
        let pack = tail(&self.pack, format)?;
        let is_pack = pack.is_some_and(|(_, own)| own == self.checksum.as_bytes());
        let belongs = |path: &Path| {
            let tail = tail(path, format)?;
            Ok::<_, io::Error>(tail.is_some_and(|(of_pack, _)| of_pack == self.checksum.as_bytes()))
        };
        Ok(is_pack && belongs(&self.idx)? && belongs(&self.rev)?)
    }
}

/// Reads the two hashes at the end of a file; `None` if the last is not that of all before it.
fn tail(path: &Path, format: ObjectFormat) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let n = format.oid_len();
    let Some(mut left) = usize_of(file.metadata()?.len()).and_then(|size| size.checked_sub(n)) else {
        return Ok(None);
    };
    let mut hasher = gix::hash::hasher(match format {
        ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
    });
    // The end of the last piece may hold less than a hash.
    let (mut piece, mut before) = (vec![0; PIECE], Vec::new());
    while left > 0 {
        let read = &mut piece[..left.min(PIECE)];
        file.read_exact(read)?;
        hasher.update(read);
        before.extend_from_slice(&read[read.len().saturating_sub(n)..]);
        before.drain(..before.len().saturating_sub(n));
        left -= read.len();
    }
    let mut own = vec![0; n];
    file.read_exact(&mut own)?;
    let hashed = hasher.try_finalize().map_err(io::Error::other)?;
    let is_right = Oid::from_bytes(hashed.as_slice()).is_ok_and(|oid| oid.as_bytes() == own);
    Ok(is_right.then_some((before, own)))
}

fn usize_of(bytes: u64) -> Option<usize> {
    usize::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use hakata_names::{ObjectFormat, Oid};

    use super::PIECE;
    use crate::quarantine::IndexedPack;

    /// Writes bytes with their checksum behind them, and returns that.
    fn write(path: &Path, bytes: &[u8], format: ObjectFormat) -> Vec<u8> {
        let mut hasher = gix::hash::hasher(match format {
            ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
            ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
        });
        hasher.update(bytes);
        let sum = hasher.try_finalize().unwrap().as_slice().to_vec();
        fs::write(path, [bytes, &sum].concat()).unwrap();
        sum
    }

    fn make(dir: &Path, n_bytes: usize, format: ObjectFormat) -> IndexedPack {
        let pack = dir.join("p.pack");
        let sum = write(&pack, &[b"PACK\0\0\0\x02\0\0\0\x01", &vec![7; n_bytes][..]].concat(), format);
        for extension in ["idx", "rev"] {
            write(&pack.with_extension(extension), &[&vec![3; n_bytes][..], &sum].concat(), format);
        }
        IndexedPack::open(&pack, format).unwrap()
    }

    #[test]
    fn what_was_damaged_cut_or_mixed_up_is_not_whole() {
        let dir = tempfile::tempdir().unwrap();
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            for n_bytes in [0, 5, PIECE - 12 - 10, PIECE, 3 * PIECE + 1] {
                let pack = make(dir.path(), n_bytes, format);
                assert!(pack.is_whole().unwrap(), "{format:?} {n_bytes}");
                for path in [&pack.pack, &pack.idx, &pack.rev] {
                    let right = fs::read(path).unwrap();
                    let mut wrong = right.clone();
                    let middle = wrong.len() / 2;
                    wrong[middle] ^= 1;
                    fs::write(path, wrong).unwrap();
                    assert!(!pack.is_whole().unwrap(), "{path:?} was damaged");
                    fs::write(path, &right[..right.len() - 1]).unwrap();
                    assert!(!pack.is_whole().unwrap(), "{path:?} was cut");
                    fs::remove_file(path).unwrap();
                    assert!(!pack.is_whole().unwrap(), "{path:?} is missing");
                    fs::write(path, right).unwrap();
                }
                write(&pack.idx, &vec![0; format.oid_len() + 9], format);
                assert!(!pack.is_whole().unwrap(), "the index is that of another pack");
                let other = Oid::from_bytes(&vec![1; format.oid_len()]).unwrap();
                assert!(!IndexedPack { checksum: other, ..pack }.is_whole().unwrap());
            }
        }
    }
}
