//! Taking in a pack that a client sends.

use std::io;
use std::path::{Path, PathBuf};

use hakata_names::{ObjectFormat, Oid, escape_controls};
use hakata_runtime::metrics::{Counter, Metric};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use super::Quarantine;
use crate::Git;
use crate::command::{Command, Subcommand};
use crate::process::{Child, ChildError, Finished, Spent};

static RECEIVED: Counter =
    Counter::new("hakata_packs_received_bytes_total", "Bytes of packs that were pushed or made here");

/// Lists the metrics of received packs.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&RECEIVED]
}

/// Bytes that are read from a client at a time.
const PIECE: usize = 64 << 10;

/// How strictly objects are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsck {
    /// Every object by git's rules, and every link leads somewhere: for pushes.
    #[default]
    Strict,
    /// Hashes only: for imports of histories that are older than the rules.
    Hashes,
}

/// What a pack may be.
#[derive(Clone, Debug, Default)]
pub struct PackLimits {
    /// Most bytes of the pack as sent; `None` for no limit.
    pub max_bytes: Option<u64>,
    /// How its objects are looked at.
    pub fsck: Fsck,
    /// The client's shallow boundary: commits whose parents need not be there.
    pub shallow: Vec<Oid>,
    /// Where the processor time of git is added up.
    pub spent: Spent,
}

/// A pack in a quarantine, with its index. The files are read-only and not synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedPack {
    /// The pack, complete in itself.
    pub pack: PathBuf,
    /// Its index.
    pub idx: PathBuf,
    /// Its reverse index.
    pub rev: PathBuf,
    /// The hash of its content, which is in its name.
    pub checksum: Oid,
    /// Objects in it, those included that complete a thin pack. A push of known objects sends none: such a
    /// pack need not be kept.
    pub n_objects: u32,
    /// Length of the pack in bytes.
    pub size_bytes: u64,
}

/// Why a pack was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IndexPackError {
    /// Longer than it may be.
    #[error("pack exceeds maximum allowed size ({limit} bytes)")]
    TooLarge {
        /// The most it may have.
        limit: u64,
    },
    /// Corrupt, incomplete, or with an object that git refuses; the text is git's.
    #[error("{message}")]
    Refused {
        /// What git said, on one line, safe for a terminal.
        message: String,
    },
    /// The client stopped sending.
    #[error("the pack ends too early")]
    Truncated,
    /// The connection failed.
    #[error("reading the pack")]
    Input(#[source] io::Error),
    /// The quarantine cannot be used.
    #[error("storing the pack")]
    Storage(#[source] io::Error),
    /// git did not run.
    #[error("running git")]
    Child(#[source] ChildError),
}

impl IndexPackError {
    /// Renders what stands behind `unpack` in the report: words that users of git know, and nothing of ours.
    pub fn unpack_line(&self) -> String {
        match self {
            Self::TooLarge { .. } | Self::Truncated => self.to_string(),
            Self::Refused { message } => format!("index-pack failed: {message}"),
            Self::Child(ChildError::Limited(_)) => "the server is busy, try again later".to_owned(),
            Self::Child(ChildError::TimedOut { .. }) => "index-pack ran out of time".to_owned(),
            Self::Input(_) | Self::Storage(_) | Self::Child(_) => "index-pack abnormal exit".to_owned(),
        }
    }
}

impl Quarantine {
    /// Reads one pack from `input`, checks and indexes it, and completes it if it is thin.
    ///
    /// `input` is read no further than git wants to; a client that keeps its connection open is no obstacle.
    /// After an error the rest of the pack is still unread. Dropping the future kills git.
    ///
    /// # Errors
    /// Any [`IndexPackError`].
    pub async fn index_pack<R: AsyncRead + Unpin>(
        &self,
        git: &Git,
        input: &mut R,
        limits: &PackLimits,
    ) -> Result<IndexedPack, IndexPackError> {
        let command = self.index_command(limits)?;
        let child = Child::spawn(git, &command).await.map_err(IndexPackError::Child)?;
        let mut indexing = Indexing { child, spent: limits.spent.clone() };
        let (stdin, stdout) = (indexing.child.stdin(), indexing.child.stdout());
        let mut said = Vec::new();
        let fed = {
            let feeding = feed(stdin, input, limits.max_bytes.unwrap_or(u64::MAX));
            let reading = read_all(stdout, &mut said);
            tokio::pin!(feeding, reading);
            tokio::select! {
                fed = &mut feeding => {
                    fed?;
                    reading.await;
                    Fed::All
                }
                // git has read what it needs, or given up, while the client says no more.
                () = &mut reading => Fed::Enough,
            }
        };
        let finished = indexing.child.reap().await.map_err(IndexPackError::Child)?;
        indexing.spent.add(finished.cpu);
        if !finished.status.success() {
            return Err(refusal(finished, fed, limits));
        }
        self.indexed(&said).map_err(IndexPackError::Storage)
    }

    fn index_command(&self, limits: &PackLimits) -> Result<Command, IndexPackError> {
        let mut command = Command::new(Subcommand::IndexPack)
            .dir(&self.dir)
            // What is acknowledged is synced when it is put away, under another name.
            .config("core.fsync", "none");
        if !limits.shallow.is_empty() {
            let path = self.write_shallow(&limits.shallow).map_err(IndexPackError::Storage)?;
            command = command.env("GIT_SHALLOW_FILE", path);
        }
        if let Some(max_bytes) = limits.max_bytes {
            command = command.number("--max-input-size", max_bytes);
        }
        Ok(command
            .flag("--stdin")
            .flag("--fix-thin")
            .flag("--rev-index")
            .flag_if(limits.fsck == Fsck::Strict, "--strict"))
    }

    /// Finds the files that git made, from `pack\t<checksum>` on its output.
    fn indexed(&self, said: &[u8]) -> io::Result<IndexedPack> {
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "git index-pack names no pack");
        let hex = said.strip_prefix(b"pack\t").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
        let checksum = hex.and_then(|hex| Oid::parse_hex(hex).ok()).ok_or_else(odd)?;
        IndexedPack::open(&self.dir.objects().join("pack").join(format!("pack-{checksum}.pack")), self.format)
    }
}

impl IndexedPack {
    /// Describes a pack file beside its index.
    ///
    /// # Errors
    /// The file system's; [`io::ErrorKind::InvalidData`] if it is no pack of that format.
    pub fn open(pack: &Path, format: ObjectFormat) -> io::Result<Self> {
        use std::io::{Read, Seek, SeekFrom};
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "not a pack");
        let mut file = std::fs::File::open(pack)?;
        let size_bytes = file.metadata()?.len();
        let mut header = [0; 12];
        file.read_exact(&mut header)?;
        let (&magic, rest) = header.split_first_chunk::<4>().ok_or_else(odd)?;
        let n_objects = rest.last_chunk::<4>().ok_or_else(odd)?;
        let mut checksum = vec![0; format.oid_len()];
        file.seek(SeekFrom::End(-i64::try_from(checksum.len()).map_err(|_| odd())?))?;
        file.read_exact(&mut checksum)?;
        if &magic != b"PACK" {
            return Err(odd());
        }
        Ok(Self {
            pack: pack.to_owned(),
            idx: pack.with_extension("idx"),
            rev: pack.with_extension("rev"),
            checksum: Oid::from_bytes(&checksum).map_err(|_| odd())?,
            n_objects: u32::from_be_bytes(*n_objects),
            size_bytes,
        })
    }
}

/// A git that indexes, and where its processor time goes: also that of one that is killed since the client left.
struct Indexing {
    child: Child,
    spent: Spent,
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.spent.add(self.child.cpu_so_far());
    }
}

/// How far feeding got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fed {
    /// To the client's end.
    All,
    /// As far as git wanted.
    Enough,
}

/// Hands a client's bytes to git until either has enough.
async fn feed<R: AsyncRead + Unpin>(
    stdin: Option<ChildStdin>,
    input: &mut R,
    max_bytes: u64,
) -> Result<(), IndexPackError> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    let mut buffer = vec![0; PIECE];
    let mut n_bytes = 0;
    loop {
        let n = input.read(&mut buffer).await.map_err(IndexPackError::Input)?;
        if n == 0 {
            return Ok(());
        }
        n_bytes += n as u64;
        RECEIVED.add(n as u64);
        if n_bytes > max_bytes {
            return Err(IndexPackError::TooLarge { limit: max_bytes });
        }
        if stdin.write_all(&buffer[..n]).await.is_err() {
            return Ok(());
        }
    }
}

async fn read_all(stdout: Option<ChildStdout>, said: &mut Vec<u8>) {
    if let Some(stdout) = stdout {
        let _ = stdout.take(4_096).read_to_end(said).await;
    }
}

/// How lines of git end when there is no room for the pack. Source: strerror(3) in the C locale.
const DISK_FULL: [&[u8]; 2] = [b"No space left on device", b"Disk quota exceeded"];

/// Tells a failure of the disk from the same words in an object, which `error: object …` repeats.
fn is_disk_full(line: &[u8]) -> bool {
    let is_of_system = line.starts_with(b"fatal: ") || line.starts_with(b"error: unable to ");
    is_of_system && DISK_FULL.iter().any(|words| line.ends_with(words))
}

/// Makes a refusal of what git said; `early EOF` means that the client did not send all.
fn refusal(finished: Finished, fed: Fed, limits: &PackLimits) -> IndexPackError {
    use std::os::unix::process::ExitStatusExt;
    if finished.status.signal().is_some() {
        return IndexPackError::Child(finished.failed());
    }
    let lines = finished.stderr.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let has_no_room = lines.clone().any(is_disk_full);
    let words = |line: &[u8]| {
        let line = line.strip_prefix(b"fatal: ").or_else(|| line.strip_prefix(b"error: ")).unwrap_or(line);
        escape_controls(line)
    };
    let message = lines.map(words).collect::<Vec<_>>().join("; ");
    match limits.max_bytes {
        Some(limit) if message.contains("pack exceeds maximum allowed size") => {
            IndexPackError::TooLarge { limit }
        }
        _ if has_no_room => IndexPackError::Storage(io::Error::new(io::ErrorKind::StorageFull, message)),
        _ if fed == Fed::All && message.contains("early EOF") => IndexPackError::Truncated,
        _ => IndexPackError::Refused { message },
    }
}
