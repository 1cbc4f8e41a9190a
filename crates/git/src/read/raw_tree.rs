//! Trees as they are stored: `<octal mode> <name>\0<oid>` after one another.

use gix::ObjectId;
use hakata_names::Oid;

use crate::objects::{ReadError, View, broken};

/// One entry of a tree's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    pub(crate) mode: u32,
    pub(crate) name: &'a [u8],
    /// 20 or 32 bytes.
    pub(crate) id: &'a [u8],
}

impl RawEntry<'_> {
    /// Says whether it is a directory.
    pub(crate) fn is_tree(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Names the object for the library.
    pub(crate) fn object_id(&self) -> ObjectId {
        ObjectId::try_from(self.id).expect("an entry's id has the length of a hash")
    }
}

/// Takes the first entry off; `None` at the end.
pub(crate) fn split_entry<'a>(
    tree: &mut &'a [u8],
    oid_len: usize,
) -> Result<Option<RawEntry<'a>>, Malformed> {
    if tree.is_empty() {
        return Ok(None);
    }
    let space = tree.iter().position(|byte| *byte == b' ').ok_or(Malformed)?;
    let mut mode = 0_u32;
    for digit in &tree[..space] {
        if !(b'0'..=b'7').contains(digit) || mode >= 1 << 24 {
            return Err(Malformed);
        }
        mode = mode << 3 | u32::from(digit - b'0');
    }
    let rest = &tree[space + 1..];
    let end = rest.iter().position(|byte| *byte == 0).filter(|end| *end > 0).ok_or(Malformed)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (id, rest) = rest.split_at_checked(oid_len).ok_or(Malformed)?;
    if space == 0 || name.contains(&b'/') || id.iter().all(|byte| *byte == 0) {
        return Err(Malformed);
    }
    *tree = rest;
    Ok(Some(RawEntry { mode, name, id }))
}

/// A tree's bytes make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed tree")]
pub(crate) struct Malformed;

/// The bytes of one tree.
#[derive(Debug, Default)]
pub(crate) struct RawTree {
    content: Vec<u8>,
    id: Option<ObjectId>,
    oid_len: usize,
}

impl RawTree {
    /// Reads a tree.
    ///
    /// # Errors
    /// [`ReadError::Absent`], or [`ReadError::Object`] if it is broken or no tree.
    pub(crate) fn read(view: &View, id: ObjectId) -> Result<Self, ReadError> {
        let mut tree = Self::default();
        tree.reread(view, id)?;
        Ok(tree)
    }

    /// Reads another tree into the same memory.
    pub(crate) fn reread(&mut self, view: &View, id: ObjectId) -> Result<(), ReadError> {
        use gix::objs::Find;
        view.meter().step()?;
        (self.oid_len, self.id) = (id.as_slice().len(), Some(id));
        if id == ObjectId::empty_tree(id.kind()) {
            self.content.clear();
            return Ok(());
        }
        let oid = Oid::from_bytes(id.as_slice()).map_err(|error| ReadError::Walk(error.into()))?;
        let found = view.repository().objects.try_find(&id, &mut self.content);
        let kind = found.map_err(|e| broken(&oid, e))?.ok_or(ReadError::Absent(oid))?.kind;
        if kind == gix::object::Kind::Tree { Ok(()) } else { Err(broken(&oid, "it is no directory")) }
    }

    /// Iterates over the entries from an offset on.
    pub(crate) fn entries(&self) -> Entries<'_> {
        self.entries_from(0)
    }

    /// Iterates over the entries from an offset on, which [`Entries::offset`] told.
    pub(crate) fn entries_from(&self, offset: usize) -> Entries<'_> {
        Entries { tree: self, rest: self.content.get(offset..).unwrap_or_default() }
    }

    /// Finds an entry by its name.
    pub(crate) fn find(&self, name: &[u8]) -> Result<Option<RawEntry<'_>>, ReadError> {
        for entry in self.entries() {
            let entry = entry?;
            if entry.name == name {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// The entries of a tree; ends after an error.
pub(crate) struct Entries<'a> {
    tree: &'a RawTree,
    rest: &'a [u8],
}

impl Entries<'_> {
    /// Returns where the next entry begins.
    pub(crate) fn offset(&self) -> usize {
        self.tree.content.len() - self.rest.len()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<RawEntry<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match split_entry(&mut self.rest, self.tree.oid_len) {
            Ok(entry) => entry.map(Ok),
            Err(malformed) => {
                self.rest = &[];
                let oid = self.tree.id.and_then(|id| Oid::from_bytes(id.as_slice()).ok());
                Some(Err(match oid {
                    Some(oid) => broken(&oid, malformed),
                    None => ReadError::Walk(malformed.into()),
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, split_entry};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_are_split_as_they_were_joined(
            entries in prop::collection::vec((0_u32..0o777_777, "[^/\0]{1,9}", 1_u8..), 0..9),
        ) {
            let mut stored = Vec::new();
            for (mode, name, byte) in &entries {
                stored.extend_from_slice(format!("{mode:o} {name}\0").as_bytes());
                stored.extend_from_slice(&[*byte; 20]);
            }
            let mut rest = &stored[..];
            for (mode, name, byte) in &entries {
                let entry = split_entry(&mut rest, 20).unwrap().unwrap();
                prop_assert_eq!((entry.mode, entry.name, entry.id), (*mode, name.as_bytes(), &[*byte; 20][..]));
            }
            prop_assert_eq!(split_entry(&mut rest, 20), Ok(None));
        }

        #[test]
        fn any_bytes_end_in_an_entry_or_an_error(content in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut rest = &content[..];
            while let Ok(Some(_)) = split_entry(&mut rest, 20) {}
            prop_assert!(rest.is_empty() || split_entry(&mut rest, 20) == Err(Malformed));
        }
    }
}
