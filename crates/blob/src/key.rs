//! Names of blobs.

use std::fmt;
use std::path::PathBuf;

use hakata_names::{LfsObjectId, PackId};

/// One file of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackPart {
    /// The objects.
    Pack,
    /// The index of the objects by name.
    Idx,
    /// The order of the objects in the pack.
    Rev,
}

impl PackPart {
    /// Every part, the index last: git takes a pack for present when its index is there.
    pub const ALL: [Self; 3] = [Self::Pack, Self::Rev, Self::Idx];

    /// Returns git's file name extension for the part.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Idx => "idx",
            Self::Rev => "rev",
        }
    }
}

/// What blobs are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Packs of repositories.
    Packs,
    /// LFS objects.
    Lfs,
}

impl Family {
    /// Returns the directory of these blobs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Packs => "packs",
            Self::Lfs => "lfs",
        }
    }
}

/// The name of a blob, made from a row id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey(Named);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Named {
    Pack(PackId, PackPart),
    Lfs(LfsObjectId),
}

impl BlobKey {
    /// Names a file of a pack.
    pub const fn pack(pack: PackId, part: PackPart) -> Self {
        Self(Named::Pack(pack, part))
    }

    /// Names the bytes of an LFS object.
    pub const fn lfs(object: LfsObjectId) -> Self {
        Self(Named::Lfs(object))
    }

    /// Returns what the blob is about.
    pub(crate) const fn family(self) -> Family {
        match self.0 {
            Named::Pack(..) => Family::Packs,
            Named::Lfs(_) => Family::Lfs,
        }
    }

    /// Returns where the blob lies below the root of its store: `packs/<last two digits>/<id>.<part>` or
    /// `lfs/<last two digits>/<id>`, the id as 14 hexadecimal digits. The last digits spread consecutive ids over 256
    /// directories.
    pub(crate) fn path(self) -> PathBuf {
        self.to_string().into()
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Named::Pack(pack, part) => {
                let id = pack.get();
                write!(f, "packs/{:02x}/{id:014x}.{}", id & 0xff, part.extension())
            }
            Named::Lfs(object) => {
                let id = object.get();
                write!(f, "lfs/{:02x}/{id:014x}", id & 0xff)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::{LfsObjectId, PackId};

    use super::{BlobKey, PackPart};

    #[test]
    fn keys_are_spread_by_their_last_digits() {
        let key = BlobKey::pack(PackId::new(0x1234), PackPart::Idx);
        assert_eq!(key.to_string(), "packs/34/00000000001234.idx");
        let largest = BlobKey::pack(PackId::new((1 << 53) - 1), PackPart::Pack);
        assert_eq!(largest.to_string(), "packs/ff/1fffffffffffff.pack");
        assert_eq!(BlobKey::lfs(LfsObjectId::new(0x1234)).to_string(), "lfs/34/00000000001234");
    }
}
