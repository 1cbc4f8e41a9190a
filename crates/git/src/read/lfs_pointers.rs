//! Files that are LFS pointers. Source: the LFS specification, docs/spec.md.

use hakata_names::Oid;

use super::tree::{Depth, EntryKind, TreeWalk};
use crate::objects::{ReadError, View, broken, object_id};

/// Largest file that can be a pointer, in bytes. Source: the LFS specification.
pub(super) const MAX_POINTER: u64 = 1_024;

/// A file that stands for an LFS object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LfsPointer {
    /// Path from the tree that was asked about.
    pub path: Vec<u8>,
    /// The file itself.
    pub blob: Oid,
    /// SHA-256 of the object, 64 hexadecimal digits.
    pub object: String,
    /// Size of the object.
    pub size_bytes: u64,
}

impl View {
    /// Finds the LFS pointers below a tree and gives them to a sink.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], and errors of reading.
    pub fn lfs_pointers(&self, root: &Oid, sink: &mut dyn FnMut(LfsPointer)) -> Result<(), ReadError> {
        let mut walk = TreeWalk::start(self, object_id(&self.tree_of(root)?), Depth::Files)?;
        while let Some(visit) = walk.next()? {
            if !matches!(EntryKind::of_mode(visit.mode), EntryKind::Blob | EntryKind::Executable) {
                continue;
            }
            let blob = Oid::from_bytes(visit.id.as_slice()).map_err(|error| broken(root, error))?;
            let header = self.header(&blob)?.ok_or(ReadError::Absent(blob))?;
            if header.size_bytes > MAX_POINTER {
                continue;
            }
            self.meter().take_bytes(header.size_bytes)?;
            if let Some((object, size_bytes)) = parse_lfs_pointer(&self.read_blob(&blob, MAX_POINTER)?) {
                sink(LfsPointer { path: walk.path().to_vec(), blob, object, size_bytes });
            }
        }
        Ok(())
    }
}

/// Reads digest and size of the object that a file stands for; `None` if it is an ordinary file.
pub fn parse_lfs_pointer(content: &[u8]) -> Option<(String, u64)> {
    let text = std::str::from_utf8(content).ok().filter(|text| text.len() as u64 <= MAX_POINTER)?;
    let mut lines = text.lines();
    let version = lines.next()?.strip_prefix("version ")?.trim();
    let is_lfs = [
        "https://git-lfs.github.com/spec/v1",
        "https://hawser.github.com/spec/v1",
        "http://git-media.io/v/2",
    ];
    if !is_lfs.contains(&version) {
        return None;
    }
    let (mut object, mut size_bytes) = (None, None);
    for line in lines {
        match line.split_once(' ')? {
            ("oid", oid) => object = Some(oid.strip_prefix("sha256:")?),
            ("size", size) => size_bytes = Some(size.parse().ok()?),
            (extension, _) if extension.starts_with("ext-") => {}
            _ => return None,
        }
    }
    let is_digest =
        |oid: &&str| oid.len() == 64 && oid.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    Some((object.filter(is_digest)?.to_owned(), size_bytes?))
}

#[cfg(test)]
mod tests {
    use super::parse_lfs_pointer;

    #[test]
    fn pointers_are_told_from_files() {
        let oid = "ab".repeat(32);
        let good = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 7\n");
        assert_eq!(parse_lfs_pointer(good.as_bytes()), Some((oid.clone(), 7)));
        let extended = good.replace("oid", "ext-0-x sha256:y\noid");
        assert!(parse_lfs_pointer(extended.as_bytes()).is_some());
        for bad in [
            String::new(),
            good.replace("v1", "v9"),
            good.replace("size 7", "size -7"),
            good.replace("size 7\n", ""),
            good.replace("sha256:ab", "sha256:AB"),
            good.replace("sha256:", "sha1:"),
            good.replace("oid ", "odd "),
            format!("{good}{}", " ".repeat(1_024)),
        ] {
            assert_eq!(parse_lfs_pointer(bad.as_bytes()), None, "{bad}");
        }
    }
}
