//! What git writes, handed on as it is, in pieces.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdout;

use super::allowance::{Allowance, Exhausted};
use super::blob::{Deadline, MAX_CHUNK, deadline, until};
use crate::command::Command;
use crate::objects::{Objects, ReadError};
use crate::process::Child;

/// The output of a running git in pieces of at most 128 KiB. Dropping it kills git.
pub struct Pieces {
    child: Option<Child>,
    stdout: ChildStdout,
    deadline: Deadline,
    left: u64,
}

impl Pieces {
    /// Starts a command and gives it all of its input; the allowance's time and bytes hold for the whole output.
    pub(crate) async fn start(
        objects: &Objects,
        command: &Command,
        input: Vec<u8>,
        allowance: &Allowance,
    ) -> Result<Self, ReadError> {
        let deadline = deadline(allowance);
        let mut child = until(deadline, Child::spawn(objects.git(), command)).await??;
        feed(&mut child, input, deadline).await?;
        let stdout = child.stdout().ok_or_else(|| child.io_error(std::io::ErrorKind::BrokenPipe.into()))?;
        let left = allowance.bytes.unwrap_or(u64::MAX);
        Ok(Self { child: Some(child), stdout, deadline, left })
    }

    /// Sets when it has to be over.
    pub(crate) fn until(self, deadline: Deadline) -> Self {
        Self { deadline, ..self }
    }

    /// Returns the next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], or [`ReadError::Child`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if self.child.is_none() {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(MAX_CHUNK);
        while piece.len() < MAX_CHUNK {
            let mut room = (&mut self.stdout).take((MAX_CHUNK - piece.len()) as u64);
            let read = until(self.deadline, room.read_buf(&mut piece)).await?;
            if read.map_err(|error| ReadError::Walk(error.into()))? == 0 {
                break;
            }
        }
        if piece.is_empty()
            && let Some(child) = self.child.take()
        {
            until(self.deadline, child.finish()).await??.success()?;
            return Ok(None);
        }
        self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| Exhausted::Bytes.error())?;
        Ok(Some(piece.into()))
    }
}

/// Gives a child that reads its input to the end, before it writes anything, all of that.
pub(super) async fn feed(child: &mut Child, input: Vec<u8>, deadline: Deadline) -> Result<(), ReadError> {
    if let Some(mut stdin) = child.stdin() {
        // A child that does not read on has its reasons; its status tells them.
        let _ = until(deadline, stdin.write_all(&input)).await?;
    }
    Ok(())
}
