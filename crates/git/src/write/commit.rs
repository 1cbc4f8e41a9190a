//! Commits and annotated tags. Source: gitformat-commit and git-mktag(1).

use hakata_names::{Oid, RefName};

use super::{NewObjects, Signer, WriteError};
use crate::objects::Kind;

/// A commit to be made. It says no encoding: its texts are UTF-8.
#[derive(Clone, Debug)]
pub struct NewCommit {
    /// What it shows.
    pub tree: Oid,
    /// What it comes after, in order.
    pub parents: Vec<Oid>,
    /// Who wrote it.
    pub author: Signer,
    /// Who committed it.
    pub committer: Signer,
    /// The message, taken as it is: see [`clean_message`](super::clean_message).
    pub message: Vec<u8>,
}

/// An annotated tag to be made.
#[derive(Clone, Debug)]
pub struct NewTag {
    /// What it names.
    pub target: Oid,
    /// What that is.
    pub kind: Kind,
    /// The ref that shall point to it, below `refs/tags/`.
    pub name: RefName,
    /// Who made it.
    pub tagger: Signer,
    /// The message, taken as it is.
    pub message: Vec<u8>,
}

impl NewObjects {
    /// Makes a commit.
    ///
    /// # Errors
    /// [`WriteError::Invalid`] if git could not read it; [`WriteError::TooLarge`], [`WriteError::TooMany`].
    pub fn commit(&mut self, commit: &NewCommit) -> Result<Oid, WriteError> {
        let mut content = format!("tree {}\n", commit.tree).into_bytes();
        for parent in &commit.parents {
            content.extend_from_slice(format!("parent {parent}\n").as_bytes());
        }
        commit.author.write("author", &mut content)?;
        commit.committer.write("committer", &mut content)?;
        append_message(&commit.message, &mut content)?;
        self.insert(Kind::Commit, content)
    }

    /// Makes an annotated tag.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), and [`WriteError::Invalid`] for a ref that is no tag.
    pub fn tag(&mut self, tag: &NewTag) -> Result<Oid, WriteError> {
        let kind = match tag.kind {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob => "blob",
            Kind::Tag => "tag",
        };
        let short = tag.name.tag().ok_or_else(|| WriteError::Invalid(format!("{} is no tag", tag.name)))?;
        let mut content = format!("object {}\ntype {kind}\ntag ", tag.target).into_bytes();
        content.extend_from_slice(short);
        content.push(b'\n');
        tag.tagger.write("tagger", &mut content)?;
        append_message(&tag.message, &mut content)?;
        self.insert(Kind::Tag, content)
    }
}

fn append_message(message: &[u8], content: &mut Vec<u8>) -> Result<(), WriteError> {
    if message.contains(&0) {
        return Err(WriteError::Invalid("a NUL byte is in the message".to_owned()));
    }
    content.push(b'\n');
    content.extend_from_slice(message);
    Ok(())
}
