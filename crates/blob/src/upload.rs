//! Uploads that go over several requests, and perhaps over several processes.

use std::fmt;

/// The engine's name for an upload; whoever begins one keeps it in a row, since not every engine can list uploads.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadId(String);

/// A part that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedPart {
    /// From 1.
    pub number: u16,
    /// Its length.
    pub size_bytes: u64,
    /// The engine's tag for its content; empty if it has none.
    pub tag: String,
    /// Its SHA-256 in base64, where that is known: a list of parts does not always tell it.
    pub sha256: Option<String>,
}

impl UploadId {
    /// Takes an id out of a row.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the id for a row: up to some hundred bytes of ASCII.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
