//! What an annotated tag says.

use hakata_names::Oid;

use super::commit::Person;
use crate::objects::{Kind, ReadError, View, broken, object_id};

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
        let header = self.header(oid)?.ok_or(ReadError::Absent(*oid))?;
        if header.kind != Kind::Tag {
            return Err(broken(oid, "it is no tag"));
        }
        self.meter().take_bytes(header.size_bytes)?;
        let object = self.repository().find_object(object_id(oid)).map_err(|e| broken(oid, e))?.detach();
        let target =
            object.data.strip_prefix(b"object ").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
        let target = target
            .and_then(|hex| Oid::parse_hex(hex).ok())
            .ok_or_else(|| broken(oid, "it points nowhere"))?;
        let end = object.data.windows(2).position(|pair| pair == b"\n\n");
        let head = &object.data[..end.unwrap_or(object.data.len())];
        let tagger = head.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"tagger "));
        let message = end.map(|end| object.data[end + 2..].to_vec()).unwrap_or_default();
        Ok(Tag { oid: *oid, target, tagger: tagger.map(Person::parse), message })
    }
}
