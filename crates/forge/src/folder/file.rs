//! What clients of the old protocol read: files as they are, and lists that git makes.

use bytes::Bytes;

use super::Opened;
use super::errors::of_child;
use crate::Error;

/// Something that such a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumbFile<'a> {
    /// `HEAD`.
    Head,
    /// `info/refs` without a service.
    Refs,
    /// `objects/info/packs`.
    Packs,
    /// A file as it is, by its name below the repository, which the caller took from a table.
    AsItIs(&'a str),
}

/// An open file.
#[derive(Debug)]
pub struct Sent {
    /// Its bytes.
    pub file: tokio::fs::File,
    /// How many.
    pub size_bytes: u64,
    /// When it was changed, in seconds since 1970.
    pub modified_s: i64,
}

/// The answer.
#[derive(Debug)]
pub enum FileReply {
    /// There is no such file.
    Absent,
    /// A file.
    File(Sent),
    /// What git's own server said: status, header fields in order, body.
    Made(u16, Vec<(String, Vec<u8>)>, Bytes),
}

impl Opened {
    /// Reads what a client of the old protocol asks for; the caller has asked
    /// [`allows_files`](Self::allows_files).
    ///
    /// # Errors
    /// When git does not run, or there is no room.
    pub async fn file(&self, name: DumbFile<'_>) -> Result<FileReply, Error> {
        let made = match name {
            DumbFile::AsItIs(name) => {
                let opened = self.repository.open_file(name).await?;
                return Ok(opened.map_or(FileReply::Absent, |it| {
                    FileReply::File(Sent {
                        file: it.file,
                        size_bytes: it.size_bytes,
                        modified_s: it.modified_s,
                    })
                }));
            }
            DumbFile::Head => self.repository.dumb_head().await,
            DumbFile::Refs => self.repository.dumb_refs().await,
            DumbFile::Packs => self.repository.dumb_packs().await,
        };
        let made = made.map_err(of_child)?;
        if made.status >= 500 {
            tracing::warn!(repository.path = %self.repository.path().display(), git.said = made.stderr, "git failed");
        }
        Ok(FileReply::Made(made.status, made.fields, made.body))
    }
}
