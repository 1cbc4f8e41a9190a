//! Long answers over a protocol without streams: written to a file as they come, read from it page by page.
//!
//! A file belongs to whoever showed the token under which it began, on whatever connection; it is bounded with all others
//! in bytes, and goes when nobody asks for a page of it for a while. So a slow or broken connection holds no git process,
//! and a page whose answer was lost can be asked for again.
//!
//! ```text
//! length (4 bytes, big-endian), encoded part, length, encoded part, …
//! ```
//! Files have no name: a process that dies leaves none.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use hakata_rpc::{Code, Operation, Status};
use hakata_runtime::blocking::{Blocking, BlockingError};
use hakata_runtime::secret::random_bytes;
use hakata_runtime::tasks::Tasks;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use crate::metrics::SPOOLED;
use crate::tokens::Owner;

/// Encoded parts of an answer.
pub(crate) type EncodedParts = BoxStream<'static, Result<Vec<u8>, Status>>;

/// Time that a page waits to be full.
const PATIENCE: Duration = Duration::from_secs(5);

/// After its last page an answer waits no longer than this for the page to be asked for again.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// Bytes of the length before each part.
const LENGTH: usize = 4;

/// Where files lie, and their bounds.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The directory; it is made when it is needed.
    pub dir: PathBuf,
    /// The bytes of all files together.
    pub max_bytes: u64,
    /// The files.
    pub max_files: usize,
    /// How long a file waits for the next question.
    pub life: Duration,
}

/// All files of one server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    tasks: Tasks,
    blocking: Blocking,
    n_bytes: AtomicU64,
    files: Mutex<HashMap<String, Arc<Spooled>>>,
}

/// One answer.
#[derive(Debug)]
struct Spooled {
    operation: Operation,
    owner: Owner,
    file: Arc<File>,
    written: watch::Receiver<Written>,
    /// Until when somebody is expected to ask.
    until: watch::Sender<Instant>,
    _room: Arc<Room>,
    /// Ends the writer when the answer is forgotten.
    _stop: DropGuard,
}

/// How far the writer is.
#[derive(Clone, Debug, Default)]
struct Written {
    n_bytes: u64,
    /// The bytes of the longest part.
    longest: usize,
    end: Option<Result<(), Status>>,
}

/// A page: encoded parts, and under which handle it goes on.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) handle: Option<String>,
}

impl Spool {
    /// Keeps files within bounds; `tasks` owns their writers.
    pub fn new(bounds: Bounds, tasks: Tasks, blocking: Blocking) -> Self {
        let (n_bytes, files) = (AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Inner { bounds, tasks, blocking, n_bytes, files }))
    }

    /// Begins to write an answer and names it.
    pub(crate) async fn begin(
        &self,
        owner: Owner,
        operation: Operation,
        parts: EncodedParts,
    ) -> Result<String, Status> {
        let inner = self.0.clone();
        let made = self.0.blocking.run(move || inner.create()).await.map_err(|error| busy(&error))?;
        let file = Arc::new(made.map_err(|error| broken("making", &error))?);
        let (sender, written) = watch::channel(Written::default());
        let room = Arc::new(Room { spool: self.0.clone(), n_bytes: AtomicU64::new(0) });
        let stop = self.0.tasks.cancel_token().child_token();
        let spooled = Spooled {
            operation,
            owner,
            file: file.clone(),
            written,
            until: watch::Sender::new(Instant::now() + self.0.bounds.life),
            _room: room.clone(),
            _stop: stop.clone().drop_guard(),
        };
        let name = self.0.keep(spooled)?;
        let (inner, writes) = (self.0.clone(), name.clone());
        drop(self.0.tasks.spawn("rpc.spool", async move {
            let end = {
                let writing = write(&room, file, parts, &sender);
                tokio::pin!(writing);
                tokio::select! {
                    end = stop.run_until_cancelled(&mut writing) => end,
                    () = inner.until_unwanted(&writes) => None,
                }
            };
            drop(room);
            sender.send_modify(|state| state.end = Some(end.unwrap_or_else(|| Err(given_up()))));
            if stop.run_until_cancelled(inner.until_unwanted(&writes)).await.is_some() {
                inner.files().remove(&writes);
            }
        }));
        Ok(format!("{name}.0"))
    }

    /// Says whether a handle is one of ours.
    pub(crate) fn is_handle(handle: &str) -> bool {
        handle.contains('.')
    }

    /// Reads a page of up to `max_bytes` bytes and at least one part: less if no more came for a while, and nothing if none.
    pub(crate) async fn page(
        &self,
        owner: &Owner,
        operation: Operation,
        handle: &str,
        max_bytes: usize,
    ) -> Result<Page, Status> {
        let absent = || Status::not_found("no answer waits under this handle; it may have waited too long");
        let (name, offset) = handle.split_once('.').ok_or_else(absent)?;
        let offset: u64 = offset.parse().map_err(|_| absent())?;
        let spooled = self.0.files().get(name).cloned().ok_or_else(absent)?;
        if spooled.owner != *owner || spooled.operation != operation {
            return Err(absent());
        }
        spooled.wanted_for(self.0.bounds.life);
        let mut written = spooled.written.clone();
        let wanted = offset.saturating_add(max_bytes as u64);
        let full = written.wait_for(|state| state.n_bytes > wanted || state.end.is_some());
        // After a while what there is makes a page, even if it is nothing.
        let _ = tokio::time::timeout(PATIENCE, full).await;
        let state = written.borrow().clone();
        if offset == state.n_bytes && state.end.is_none() {
            return Ok(Page { parts: Vec::new(), handle: Some(handle.to_owned()) });
        }
        if offset > state.n_bytes {
            return Err(absent());
        }
        let reading = spooled.clone();
        let (end, longest) = (state.n_bytes, state.longest);
        let read = move || read_parts(&reading.file, offset..end, longest, max_bytes);
        let read = self.0.blocking.run(read).await.map_err(|error| busy(&error))?;
        let (parts, next) = read.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => absent(),
            _ => broken("reading", &error),
        })?;
        let is_last = next == state.n_bytes;
        match state.end {
            Some(Err(status)) if parts.is_empty() => {
                self.forget(owner, name);
                Err(status)
            }
            Some(Ok(())) if is_last => {
                spooled.wanted_for(AFTERWARDS.min(self.0.bounds.life));
                Ok(Page { parts, handle: None })
            }
            _ => Ok(Page { parts, handle: Some(format!("{name}.{next}")) }),
        }
    }

    /// Forgets an answer that its owner wants no more of; what makes it ends.
    pub(crate) fn forget(&self, owner: &Owner, handle: &str) {
        let name = handle.split('.').next().unwrap_or_default();
        let mut files = self.0.files();
        if files.get(name).is_some_and(|spooled| spooled.owner == *owner) {
            files.remove(name);
        }
    }
}

impl Inner {
    fn files(&self) -> MutexGuard<'_, HashMap<String, Arc<Spooled>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a file without a name.
    fn create(&self) -> io::Result<File> {
        let dir = &self.bounds.dir;
        std::fs::create_dir_all(dir)?;
        let name: String = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    fn measure(&self) {
        SPOOLED.set(i64::try_from(self.n_bytes.load(Ordering::Acquire)).unwrap_or(i64::MAX));
    }

    /// Remembers an answer under a new name.
    fn keep(&self, spooled: Spooled) -> Result<String, Status> {
        let name: String = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut files = self.files();
        if files.len() >= self.bounds.max_files {
            let message = "too many long answers wait for their next page";
            return Err(Status::new(Code::ResourceExhausted, message).retry_after(self.bounds.life));
        }
        files.insert(name.clone(), Arc::new(spooled));
        Ok(name)
    }

    /// Waits until nobody wants an answer any more.
    async fn until_unwanted(&self, name: &str) {
        let Some(mut until) = self.files().get(name).map(|spooled| spooled.until.subscribe()) else { return };
        loop {
            let at = *until.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(at) => return,
                changed = until.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Spooled {
    fn wanted_for(&self, life: Duration) {
        self.until.send_replace(Instant::now() + life);
    }
}

/// Bytes of one answer, given back when neither writer nor reader is left.
#[derive(Debug)]
struct Room {
    spool: Arc<Inner>,
    n_bytes: AtomicU64,
}

impl Room {
    fn take(&self, n: u64) -> Result<(), Status> {
        let max = self.spool.bounds.max_bytes;
        let more = |used: u64| used.checked_add(n).filter(|used| *used <= max);
        if self.spool.n_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_err() {
            let message = "long answers of all callers together take more room than there is";
            return Err(Status::new(Code::ResourceExhausted, message).retry_after(self.spool.bounds.life));
        }
        self.n_bytes.fetch_add(n, Ordering::AcqRel);
        self.spool.measure();
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.spool.n_bytes.fetch_sub(self.n_bytes.load(Ordering::Acquire), Ordering::AcqRel);
        self.spool.measure();
    }
}

/// Writes parts as they come.
async fn write(
    room: &Room,
    file: Arc<File>,
    mut parts: EncodedParts,
    written: &watch::Sender<Written>,
) -> Result<(), Status> {
    let mut at = 0;
    while let Some(part) = parts.next().await {
        let part = part?;
        let length =
            u32::try_from(part.len()).map_err(|_| Status::new(Code::Internal, "a part is too long"))?;
        let whole = [&length.to_be_bytes()[..], &part].concat();
        let n = whole.len() as u64;
        room.take(n)?;
        let file = file.clone();
        let done = room.spool.blocking.run(move || file.write_all_at(&whole, at)).await;
        done.map_err(|error| busy(&error))?.map_err(|error| broken("writing", &error))?;
        at += n;
        written.send_modify(|state| {
            state.n_bytes = at;
            state.longest = state.longest.max(part.len());
        });
    }
    Ok(())
}

/// Reads whole parts, at least one and then as many as `max_bytes` have room for; says where the next begins.
fn read_parts(
    file: &File,
    range: Range<u64>,
    longest: usize,
    max_bytes: usize,
) -> io::Result<(Vec<Vec<u8>>, u64)> {
    let (mut parts, mut next, mut n_bytes) = (Vec::new(), range.start, 0);
    while next < range.end {
        let mut length = [0; LENGTH];
        file.read_exact_at(&mut length, next)?;
        let length = u32::from_be_bytes(length) as usize;
        let begin = next + LENGTH as u64;
        // A handle that a caller made up may point anywhere.
        if length > longest || begin + length as u64 > range.end {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if !parts.is_empty() && n_bytes + length > max_bytes {
            break;
        }
        let mut part = vec![0; length];
        file.read_exact_at(&mut part, begin)?;
        n_bytes += length;
        next = begin + length as u64;
        parts.push(part);
    }
    Ok((parts, next))
}

fn broken(what: &str, error: &io::Error) -> Status {
    tracing::error!(error = %error, "{what} a file of a long answer");
    Status::new(Code::Unavailable, "the server has no room for long answers now").retry_after(PATIENCE)
}

fn given_up() -> Status {
    Status::new(Code::Cancelled, "nobody asked for the next page, or the server stops")
}

fn busy(error: &BlockingError) -> Status {
    Status::new(Code::Unavailable, error.to_string()).retry_after(PATIENCE)
}

#[cfg(test)]
mod tests;
