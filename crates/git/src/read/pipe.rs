//! What git says, piece by piece, while it still works.

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;

use super::allowance::Allowance;
use super::blob::{Deadline, deadline, until};
use super::pieces::feed;
use crate::command::Command;
use crate::objects::{Objects, ReadError};
use crate::process::{Child, Finished};

/// A running git whose output is read up to given bytes.
pub(crate) struct Pipe {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    deadline: Deadline,
}

impl Pipe {
    /// Starts a command.
    pub(crate) async fn start(
        objects: &Objects,
        command: &Command,
        allowance: &Allowance,
    ) -> Result<Self, ReadError> {
        Self::start_with(objects, command, Vec::new(), allowance).await
    }

    /// Starts a command that reads its input to the end before it says anything.
    pub(crate) async fn start_with(
        objects: &Objects,
        command: &Command,
        input: Vec<u8>,
        allowance: &Allowance,
    ) -> Result<Self, ReadError> {
        let deadline = deadline(allowance);
        let mut child = until(deadline, Child::spawn(objects.git(), command)).await??;
        feed(&mut child, input, deadline).await?;
        let stdout = child.stdout().ok_or_else(|| child.io_error(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child: Some(child), stdout: BufReader::with_capacity(64 << 10, stdout), deadline })
    }

    /// Reads up to a byte, which is left out, keeping at most `max` bytes of what is before it. `None` at the end
    /// of the output.
    pub(crate) async fn read_until(&mut self, end: u8, max: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let (mut kept, mut n_read) = (Vec::new(), 0);
        loop {
            let filled = until(self.deadline, self.stdout.fill_buf()).await?;
            let filled = filled.map_err(|error| ReadError::Walk(error.into()))?;
            if filled.is_empty() {
                return Ok((n_read > 0).then_some(kept));
            }
            let found = filled.iter().position(|byte| *byte == end);
            let piece = &filled[..found.unwrap_or(filled.len())];
            kept.extend_from_slice(&piece[..piece.len().min(max - kept.len())]);
            let n = piece.len() + usize::from(found.is_some());
            n_read += n;
            self.stdout.consume(n);
            if found.is_some() {
                return Ok(Some(kept));
            }
        }
    }

    /// Waits for git's end; `None` if that has been told before.
    pub(crate) async fn finish(&mut self) -> Result<Option<Finished>, ReadError> {
        match self.child.take() {
            Some(child) => Ok(Some(until(self.deadline, child.finish()).await??)),
            None => Ok(None),
        }
    }

    /// Kills git.
    pub(crate) fn stop(&mut self) {
        drop(self.child.take());
    }

    /// Says whether git has neither ended nor been stopped.
    pub(crate) fn is_open(&self) -> bool {
        self.child.is_some()
    }
}
