//! What an annotated tag says.

use hakata_names::Oid;

use super::commit::Person;
use crate::objects::{Kind, ReadError, View, broken};

/// A tag object. Texts are bytes as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub oid: Oid,
    /// What it points to, which may be another tag object.
    pub target: Oid,
    /// Who made it; old ones do not say.
    pub tagger: Option<Person>,
    /// The message, with a signature at its end if it is signed by PGP.
    pub message: Vec<u8>,
}

impl View {
    /// Reads a tag object.
    ///
    /// # Errors
    /// [`ReadError::Absent`], or [`ReadError::Object`] if it is broken or no tag.
    pub fn read_tag(&self, oid: &Oid) -> Result<Tag, ReadError> {
        let data = self.read_counted(oid, Kind::Tag)?;
        let target = data.strip_prefix(b"object ").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
        let target = target
            .and_then(|hex| Oid::parse_hex(hex).ok())
            .ok_or_else(|| broken(oid, "it points nowhere"))?;
        let end = data.windows(2).position(|pair| pair == b"\n\n");
        let head = &data[..end.unwrap_or(data.len())];
        let tagger = head.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"tagger "));
        let message = end.map(|end| data[end + 2..].to_vec()).unwrap_or_default();
        Ok(Tag { oid: *oid, target, tagger: tagger.map(Person::parse), message })
    }
}
