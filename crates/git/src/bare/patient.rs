//! A child that is asked to end before it is made to.

use std::time::Duration;

use hakata_runtime::tasks::Tasks;
use tokio::process::{ChildStdin, ChildStdout};

use crate::Git;
use crate::command::Command;
use crate::process::{Child, ChildError, Finished};

/// How long git may fail by itself once its request has broken off and its hooks were told to end.
const GRACE: Duration = Duration::from_secs(3);

/// How long it may clean up after SIGTERM.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// A git that may hold locks and objects in an operator's repository. Dropped, it sees the end of its request, and what
/// it started is told to end, so that it fails and removes what it made; then it is told to end itself, and killed when
/// that does not help. Either way it is reaped.
pub(super) struct PatientChild {
    child: Option<Child>,
    /// Its output, read on while it ends: a broken pipe would kill it before it has cleaned up.
    pub(super) stdout: Option<ChildStdout>,
    tasks: Tasks,
}

impl PatientChild {
    /// Starts it; the caller feeds it and reads [`stdout`](Self::stdout).
    pub(super) async fn spawn(
        git: &Git,
        command: &Command,
    ) -> Result<(Self, Option<ChildStdin>), ChildError> {
        let mut child = Child::spawn(git, command).await?;
        let (stdin, stdout) = (child.stdin(), child.stdout());
        Ok((Self { child: Some(child), stdout, tasks: git.tasks().clone() }, stdin))
    }

    /// Waits for its end and reaps it; still patient when the waiting is dropped.
    pub(super) async fn finish(mut self) -> Result<Option<Finished>, ChildError> {
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        let reaped = child.reap().await;
        self.child = None;
        reaped.map(Some)
    }
}

impl Drop for PatientChild {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        self.tasks.spawn("git end", end(child, self.stdout.take()));
    }
}

async fn end(mut child: Child, stdout: Option<ChildStdout>) {
    child.terminate_children();
    let reading = async {
        if let Some(mut stdout) = stdout {
            let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
        }
        child.ended().await
    };
    if tokio::time::timeout(GRACE, reading).await.is_err() {
        child.terminate();
    }
    // What has not ended by then is killed when it is dropped.
    let _ = tokio::time::timeout(LAST_GRACE, child.reap()).await;
}
