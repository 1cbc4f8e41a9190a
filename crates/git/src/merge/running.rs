//! One `git merge-tree` that answers many merges.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::Instant;

use hakata_names::ObjectFormat;

use super::features::{Features, Flush};
use super::{MergeQuery, Merged, answer, nudge};
use crate::GitDir;
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, Opened, ReadError};
use crate::process::{Child, ChildError};
use crate::quarantine::Quarantine;

/// Merges of one process before it makes room for a fresh one.
const MAX_USES: u32 = 500;

/// Files and directories that its merges may write before it goes with them.
const MAX_WRITTEN: usize = 2_000;

/// Merges between two looks at what was written.
const USES_PER_COUNT: u32 = 8;

/// How long it may take to say its first word.
const FIRST_WORD: Duration = Duration::from_secs(20);

/// A process, and the scratch repository that it writes to.
pub(crate) struct Running {
    /// First, so that it is gone before its directory.
    child: Option<Child>,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Bytes of a nudge's answer that are still to come.
    owed: u64,
    nudge: Option<(Vec<u8>, u64)>,
    is_asked: bool,
    n_uses: u32,
    started: Instant,
    max_age: Option<Duration>,
    /// The open repository that is merged in: another one may have other packs.
    of: Weak<Opened>,
    base: GitDir,
    written: Option<Arc<Opened>>,
    scratch: Quarantine,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("base", &self.base)
            .field("n_uses", &self.n_uses)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Starts a process with a scratch of its own.
    pub(super) async fn start(objects: &Objects) -> Result<Self, ReadError> {
        let (git, base) = (objects.git().clone(), objects.dir().clone());
        let format = objects.format();
        let create = move || Quarantine::create(&git.settings().scratch, Some(&base), format);
        let created = objects.git().blocking().run(create).await.map_err(ReadError::Busy)?;
        let scratch = created.map_err(|error| ReadError::Walk(error.into()))?;
        Self::start_in(objects, scratch).await
    }

    /// Starts a process over what another one left.
    pub(super) async fn start_in(objects: &Objects, scratch: Quarantine) -> Result<Self, ReadError> {
        let git = objects.git();
        let features = Features::of(git.version());
        let command = command(&scratch, features).about(objects.dir());
        let mut child = Child::spawn(git, &command).await?;
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdin = child.stdin().ok_or_else(|| child.io_error(broken()))?;
        let stdout = child.stdout().ok_or_else(|| child.io_error(broken()))?;
        let mut running = Self {
            child: Some(child),
            stdin,
            stdout: BufReader::with_capacity(16 << 10, stdout),
            owed: 0,
            nudge: None,
            is_asked: false,
            n_uses: 0,
            started: Instant::now(),
            max_age: git.settings().budgets.question.wall.map(|wall| wall / 2),
            of: Arc::downgrade(objects.opened()),
            base: objects.dir().clone(),
            written: None,
            scratch,
        };
        if features.flush == Flush::Nudged {
            running.learn_nudge(objects).await?;
        }
        Ok(running)
    }

    /// Makes the nudge, and finds out how long its answer is: two of them push the first one out.
    async fn learn_nudge(&mut self, objects: &Objects) -> Result<(), ReadError> {
        let (dir, format) = (self.scratch.dir().objects(), self.scratch.format());
        let write = move || nudge::write(&dir, format);
        let line = objects.git().blocking().run(write).await.map_err(ReadError::Busy)??;
        let asked = async {
            self.stdin.write_all(&[&line[..], &line].concat()).await?;
            answer::read(&mut self.stdout).await
        };
        let asked = tokio::time::timeout(FIRST_WORD, asked).await;
        match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok((_, n_bytes)) => {
                self.owed = n_bytes;
                self.nudge = Some((line, n_bytes));
                Ok(())
            }
            Err(error) => Err(self.fail(error).await),
        }
    }

    /// Asks for one merge and waits for the answer.
    pub(super) async fn ask(&mut self, query: &MergeQuery) -> Result<Merged, ReadError> {
        self.is_asked = true;
        match self.converse(query).await {
            Ok(merged) => {
                self.is_asked = false;
                self.n_uses += 1;
                Ok(merged)
            }
            Err(error) => Err(self.fail(error).await),
        }
    }

    async fn converse(&mut self, query: &MergeQuery) -> io::Result<Merged> {
        let MergeQuery { base, ours, theirs } = query;
        let mut line = match base {
            Some(base) => format!("{base} -- {ours} {theirs}\n").into_bytes(),
            None => format!("{ours} {theirs}\n").into_bytes(),
        };
        if let Some((nudge, _)) = &self.nudge {
            line.extend_from_slice(nudge);
        }
        self.stdin.write_all(&line).await?;
        let n_skipped =
            tokio::io::copy(&mut (&mut self.stdout).take(self.owed), &mut tokio::io::sink()).await?;
        if n_skipped < self.owed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.owed = self.nudge.as_ref().map_or(0, |(_, n_bytes)| *n_bytes);
        Ok(answer::read(&mut self.stdout).await?.0)
    }

    /// Makes the error of a process that did not answer: its own last words, if it has any.
    async fn fail(&mut self, error: io::Error) -> ReadError {
        let Some(child) = self.child.take() else {
            return ReadError::Walk(error.into());
        };
        let broken = child.io_error(error);
        if matches!(&broken, ChildError::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut) {
            return broken.into();
        }
        match child.finish().await {
            Ok(finished) if finished.status.success() => broken.into(),
            Ok(finished) => finished.failed().into(),
            Err(error) => error.into(),
        }
    }

    /// Says whether it waits for a question.
    pub(super) fn is_ready(&self) -> bool {
        self.child.is_some() && !self.is_asked
    }

    /// Says whether it can be used for these objects, of which it knows all packs or finds them.
    pub(super) fn is_of(&self, objects: &Objects) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(objects.opened()))
    }

    /// Returns the repository that is merged in.
    pub(super) fn base(&self) -> &GitDir {
        &self.base
    }

    /// Returns the repository that is written to.
    pub(super) fn dir(&self) -> &GitDir {
        self.scratch.dir()
    }

    pub(super) fn format(&self) -> ObjectFormat {
        self.scratch.format()
    }

    /// Says whether it has done its share. Lists the directories of its scratch now and then.
    pub(super) fn is_worn(&self) -> bool {
        let is_old = self.max_age.is_some_and(|age| self.started.elapsed() > age);
        let is_counted = self.n_uses.is_multiple_of(USES_PER_COUNT);
        is_old || self.n_uses >= MAX_USES || is_counted && n_written(self.dir()) > MAX_WRITTEN
    }

    /// Opens what was written, once.
    pub(super) async fn objects(&mut self, git: &crate::Git) -> Result<Objects, ReadError> {
        if let Some(opened) = &self.written {
            return Ok(Objects::of_opened(git, opened));
        }
        let objects = Objects::open_once(git, self.scratch.dir()).await?;
        self.written = Some(objects.opened().clone());
        Ok(objects)
    }

    /// Kills it, and keeps what it wrote.
    pub(super) fn into_scratch(self) -> Quarantine {
        self.scratch
    }

    /// Ends it: by closing its input if it waits, otherwise by force. Its directory is for the caller
    /// to remove.
    pub(super) async fn end(mut self) -> Quarantine {
        let Some(child) = self.child.take() else { return self.scratch };
        if self.is_asked {
            child.kill();
        }
        drop(self.stdin);
        // Its answers are nobody's any more.
        drop(self.stdout);
        let _ = child.finish().await;
        self.scratch
    }

    /// Returns its process id.
    #[cfg(test)]
    pub(super) fn id(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }
}

/// Counts the files below `objects/xx`.
fn n_written(dir: &GitDir) -> usize {
    let list = |path: &std::path::Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    list(&dir.objects())
        .filter(|entry| entry.file_name().len() == 2)
        .map(|entry| list(&entry.path()).count())
        .sum()
}

/// Builds the command line. What decides about a merge is said here and nowhere else.
fn command(scratch: &Quarantine, features: Features) -> Command {
    let command = Command::new(Subcommand::MergeTree)
        .dir(scratch.dir())
        .config("merge.renames", true)
        .config("merge.directoryRenames", "conflict")
        .config("merge.renameLimit", 7_000)
        .config("merge.conflictStyle", "merge")
        .config("merge.renormalize", false)
        .config("merge.verbosity", 2)
        // What is written here is gone after a crash anyway.
        .config("core.fsync", "none")
        .flag("--write-tree")
        .flag("--stdin")
        .flag("-z")
        // Who may merge histories that have nothing in common is decided before.
        .flag("--allow-unrelated-histories");
    if features.reads_attributes_of_head {
        let empty = match scratch.format() {
            ObjectFormat::Sha1 => gix::ObjectId::empty_tree(gix::hash::Kind::Sha1),
            ObjectFormat::Sha256 => gix::ObjectId::empty_tree(gix::hash::Kind::Sha256),
        };
        return command.env("GIT_ATTR_SOURCE", empty.to_string());
    }
    command
}
