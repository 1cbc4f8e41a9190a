//! Files: ranges of them in process, large ones as a stream; git helps out where a large one is a delta.

use bytes::{Buf, Bytes, BytesMut};
use hakata_names::Oid;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;

use super::ahead::Ahead;
use super::allowance::{Allowance, Exhausted};
use super::whole;
use crate::command::{Command, Subcommand};
use crate::objects::{Header, Kind, Objects, ReadError, View, broken};
use crate::process::Child;

/// Longest piece of a stream, in bytes.
pub(crate) const MAX_CHUNK: usize = 128 << 10;

/// A part of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobRange {
    /// First byte.
    pub offset: u64,
    /// Most bytes; up to the end without it.
    pub length: Option<u64>,
}

/// A part of a file in pieces of at most 128 KiB.
pub struct BlobStream {
    oid: Oid,
    size_bytes: u64,
    left: u64,
    allowance: Deadline,
    from: From,
}

enum From {
    Memory(Bytes),
    Ahead(Ahead),
    Git { child: Option<Box<Child>>, stdout: Box<ChildStdout>, skip: u64, is_whole: bool },
}

/// What a file is read from.
enum Found {
    Content(Bytes),
    Whole(Box<whole::Whole>),
    Delta,
}

/// When a stream ends at the latest.
pub(crate) type Deadline = Option<tokio::time::Instant>;

/// Computes when an allowance that starts now is over.
pub(crate) fn deadline(allowance: &Allowance) -> Deadline {
    allowance.time.map(|time| tokio::time::Instant::now() + time)
}

/// Returns what is left of an allowance with this deadline.
pub(crate) fn left_until(deadline: Deadline, allowance: &Allowance) -> Result<Allowance, ReadError> {
    let Some(deadline) = deadline else { return Ok(*allowance) };
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    if left.is_zero() {
        return Err(Exhausted::Time.error());
    }
    Ok(Allowance { time: Some(left), ..*allowance })
}

/// Waits for something, until the deadline.
pub(crate) async fn until<T>(deadline: Deadline, work: impl Future<Output = T>) -> Result<T, ReadError> {
    match deadline {
        Some(at) => tokio::time::timeout_at(at, work).await.map_err(|_| Exhausted::Time.error()),
        None => Ok(work.await),
    }
}

/// What was found where a file was looked for.
pub enum FoundBlob {
    /// A file.
    File(BlobStream),
    /// Something else, such as a directory.
    Other,
    /// Nothing.
    Absent,
}

/// What a visit to the objects finds of a file.
enum Looked {
    File { oid: Oid, size_bytes: u64, left: u64, content: Found },
    Other,
    Absent,
}

/// A file that is read whole, as one of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShortBlob {
    /// Its content.
    Content(Bytes),
    /// It is longer than wanted.
    Long,
    /// There is no such file.
    Absent,
}

impl View {
    /// Reads files one after another, until they have as many bytes as wanted: fewer answers than oids, but one at least.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], and errors of reading.
    pub fn short_blobs(
        &self,
        oids: &[Oid],
        longest: u64,
        max_bytes: u64,
    ) -> Result<Vec<ShortBlob>, ReadError> {
        let (mut found, mut n_bytes) = (Vec::new(), 0);
        for oid in oids {
            if n_bytes >= max_bytes {
                break;
            }
            self.meter().step()?;
            found.push(match self.header(oid)? {
                Some(Header { kind: Kind::Blob, size_bytes }) if size_bytes <= longest => {
                    n_bytes += size_bytes;
                    self.meter().take_bytes(size_bytes)?;
                    ShortBlob::Content(self.read_object(oid, Kind::Blob)?)
                }
                Some(Header { kind: Kind::Blob, .. }) => ShortBlob::Long,
                _ => ShortBlob::Absent,
            });
        }
        Ok(found)
    }
}

impl Objects {
    /// Opens a file for reading. A range that begins behind the end is empty.
    ///
    /// # Errors
    /// [`ReadError::Absent`], [`ReadError::Object`] if it is no file, [`ReadError::Exhausted`] if the range is
    /// longer than allowed, [`ReadError::Child`].
    pub async fn open_blob(
        &self,
        oid: Oid,
        range: BlobRange,
        allowance: &Allowance,
    ) -> Result<BlobStream, ReadError> {
        match self.find_blob(move |_| Ok(Some(oid)), range, allowance).await? {
            FoundBlob::File(stream) => Ok(stream),
            FoundBlob::Other => Err(broken(&oid, "it is no file")),
            FoundBlob::Absent => Err(ReadError::Absent(oid)),
        }
    }

    /// Opens the file that a closure finds, as [`open_blob`](Self::open_blob) does, in one visit to the objects.
    ///
    /// # Errors
    /// The closure's, [`ReadError::Exhausted`], [`ReadError::Child`], and errors of reading.
    pub async fn find_blob<F>(
        &self,
        find: F,
        range: BlobRange,
        allowance: &Allowance,
    ) -> Result<FoundBlob, ReadError>
    where
        F: FnOnce(&View) -> Result<Option<Oid>, ReadError> + Send + 'static,
    {
        let max_bytes = self.git().settings().in_process_file_bytes;
        let read = move |view: &View| {
            let Some(oid) = find(view)? else { return Ok(Looked::Absent) };
            let Some(header) = view.header(&oid)? else { return Ok(Looked::Absent) };
            if header.kind != Kind::Blob {
                return Ok(Looked::Other);
            }
            let left = header.size_bytes.saturating_sub(range.offset).min(range.length.unwrap_or(u64::MAX));
            view.meter().take_bytes(left)?;
            let content = if header.size_bytes <= max_bytes {
                Found::Content(view.read_object(&oid, Kind::Blob)?)
            } else if left == 0 {
                Found::Content(Bytes::new())
            } else {
                let whole = whole::find(view, &oid, header.size_bytes);
                whole.map_or(Found::Delta, |whole| Found::Whole(Box::new(whole)))
            };
            Ok(Looked::File { oid, size_bytes: header.size_bytes, left, content })
        };
        let (oid, size_bytes, left, content) = match self.read_within(allowance, read).await? {
            Looked::File { oid, size_bytes, left, content } => (oid, size_bytes, left, content),
            Looked::Other => return Ok(FoundBlob::Other),
            Looked::Absent => return Ok(FoundBlob::Absent),
        };
        let end = range.offset.saturating_add(left);
        let from = match content {
            Found::Content(mut content) => {
                content.advance(usize::try_from(range.offset).unwrap_or(usize::MAX).min(content.len()));
                From::Memory(content)
            }
            Found::Whole(whole) => {
                From::Ahead(Ahead::new(self.git().blocking().clone(), *whole, (range.offset, end)))
            }
            Found::Delta => self.pipe_blob(oid, range.offset, end == size_bytes).await?,
        };
        Ok(FoundBlob::File(BlobStream { oid, size_bytes, left, allowance: deadline(allowance), from }))
    }

    async fn pipe_blob(&self, oid: Oid, skip: u64, is_whole: bool) -> Result<From, ReadError> {
        let command = Command::new(Subcommand::CatFile).dir(self.dir()).flag("blob").operand(oid.to_string());
        let mut child = Child::spawn(self.git(), &command).await?;
        drop(child.stdin());
        let stdout = child.stdout().ok_or_else(|| child.io_error(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(From::Git { child: Some(Box::new(child)), stdout: Box::new(stdout), skip, is_whole })
    }
}

impl BlobStream {
    /// Returns the name of the file's object.
    pub fn oid(&self) -> Oid {
        self.oid
    }

    /// Returns the size of the whole file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns how much of the range is still to come.
    pub fn left_bytes(&self) -> u64 {
        self.left
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`] when the time is over, or [`ReadError::Child`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if self.left == 0 {
            self.end().await?;
            return Ok(None);
        }
        let deadline = self.allowance;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(MAX_CHUNK);
        let piece = match &mut self.from {
            From::Memory(content) => content.split_to(most.min(content.len())),
            From::Ahead(ahead) => until(deadline, ahead.next(most)).await??,
            From::Git { stdout, skip, .. } => until(deadline, read_piece(stdout, skip, most)).await??,
        };
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }

    /// Waits for git, if it was read to its end.
    async fn end(&mut self) -> Result<(), ReadError> {
        match &mut self.from {
            From::Git { child, is_whole: true, .. } => match child.take() {
                Some(child) => Ok(until(self.allowance, child.finish()).await??.success().map(drop)?),
                None => Ok(()),
            },
            From::Git { child, .. } => {
                drop(child.take());
                Ok(())
            }
            From::Memory(_) | From::Ahead(_) => Ok(()),
        }
    }
}

/// Fills a piece, after what is skipped.
async fn read_piece(stdout: &mut ChildStdout, skip: &mut u64, most: usize) -> Result<Bytes, ReadError> {
    let broken = |error: std::io::Error| ReadError::Walk(error.into());
    let ended = || ReadError::Walk("git ended before the end of a file".into());
    let mut piece = BytesMut::with_capacity(MAX_CHUNK);
    while *skip > 0 {
        piece.clear();
        let n = (*skip).min(MAX_CHUNK as u64);
        match (&mut *stdout).take(n).read_buf(&mut piece).await.map_err(broken)? {
            0 => return Err(ended()),
            n => *skip -= n as u64,
        }
    }
    piece.clear();
    while piece.len() < most {
        let room = (most - piece.len()) as u64;
        if (&mut *stdout).take(room).read_buf(&mut piece).await.map_err(broken)? == 0 {
            return Err(ended());
        }
    }
    Ok(piece.freeze())
}
