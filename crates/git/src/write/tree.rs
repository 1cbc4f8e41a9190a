//! Directories.

use std::cmp::Ordering;

use hakata_names::Oid;

use super::{NewObjects, WriteError};
use crate::objects::Kind;

/// What an entry of a directory is, as git writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryMode(u32);

impl EntryMode {
    /// A file.
    pub const FILE: Self = Self(0o100_644);
    /// A file that can be run.
    pub const EXECUTABLE: Self = Self(0o100_755);
    /// A symbolic link, whose content is where it leads.
    pub const LINK: Self = Self(0o120_000);
    /// A commit of another repository.
    pub const SUBMODULE: Self = Self(0o160_000);
    /// A directory.
    pub const TREE: Self = Self(0o040_000);

    /// Takes what stands in a tree, old forms such as 100664 included, so that what nobody touches stays as it is.
    pub const fn of(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the number, which is written in octal.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Says whether it is a directory.
    pub const fn is_tree(self) -> bool {
        self.0 & 0o170_000 == Self::TREE.0
    }

    /// Says whether it is a file, executable or not.
    pub const fn is_file(self) -> bool {
        self.0 & 0o170_000 == 0o100_000
    }

    /// Says whether it is a symbolic link.
    pub const fn is_link(self) -> bool {
        self.0 & 0o170_000 == Self::LINK.0
    }

    /// Says whether it is a commit of another repository.
    pub const fn is_submodule(self) -> bool {
        self.0 & 0o170_000 == Self::SUBMODULE.0
    }
}

/// An entry of a directory to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// Its name within the directory.
    pub name: Vec<u8>,
    /// What it is.
    pub mode: EntryMode,
    /// Its object.
    pub oid: Oid,
}

impl NewObjects {
    /// Makes a directory of entries in any order.
    ///
    /// # Errors
    /// [`WriteError::Invalid`] for a name that is empty, twice there, or holds `/` or NUL; [`WriteError::TooLarge`],
    /// [`WriteError::TooMany`]. Whether a name hurts a checkout is not asked here.
    pub fn tree(&mut self, mut entries: Vec<NewEntry>) -> Result<Oid, WriteError> {
        entries.sort_by(in_order);
        let mut names: Vec<&[u8]> = entries.iter().map(|entry| &entry.name[..]).collect();
        names.sort_unstable();
        let is_twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        let is_bad = |name: &&[u8]| name.is_empty() || name.contains(&b'/') || name.contains(&0);
        if is_twice || names.iter().any(is_bad) {
            return Err(WriteError::Invalid(
                "a directory has an empty, malformed or repeated name".to_owned(),
            ));
        }
        let mut content = Vec::with_capacity(entries.len() * 40);
        for entry in &entries {
            content.extend_from_slice(format!("{:o} ", entry.mode.raw()).as_bytes());
            content.extend_from_slice(&entry.name);
            content.push(0);
            content.extend_from_slice(entry.oid.as_bytes());
        }
        self.insert(Kind::Tree, content)
    }
}

/// Orders entries as trees do: a directory as if its name ended with a slash.
fn in_order(one: &NewEntry, other: &NewEntry) -> Ordering {
    let n = one.name.len().min(other.name.len());
    let next = |entry: &NewEntry| match entry.name.get(n) {
        Some(byte) => *byte,
        None if entry.mode.is_tree() => b'/',
        None => 0,
    };
    one.name[..n].cmp(&other.name[..n]).then_with(|| next(one).cmp(&next(other)))
}
