//! A command's standard output and error: what the client takes from its channel.

use super::activity::Activity;
use hakata_service::stream::{Deadlines, Guarded, Patience};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Writes to a channel and fails when the client takes nothing, or too little, for too long.
///
/// A client whose window is used up says nothing about the network, so the stall limit of the stream below does not
/// see it; this one does.
pub(crate) struct Output {
    channel: Guarded<Pin<Box<dyn AsyncWrite + Send>>>,
    activity: Arc<Activity>,
}

impl Output {
    /// Wraps the writing half of a channel.
    pub(super) fn new(
        channel: impl AsyncWrite + Send + 'static,
        activity: Arc<Activity>,
        patience: Patience,
    ) -> Self {
        let channel: Pin<Box<dyn AsyncWrite + Send>> = Box::pin(channel);
        let deadlines = Deadlines { idle: None, patience: Some(patience) };
        Self { channel: Guarded::new(channel, deadlines), activity }
    }

    /// Whether the client has been sent anything.
    pub(crate) fn has_sent(&self) -> bool {
        self.activity.has_sent()
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = Pin::new(&mut this.channel).poll_write(cx, buf);
        match &written {
            Poll::Ready(Ok(_)) => this.activity.sent(),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => this.activity.stalled(),
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().channel).poll_flush(cx)
    }

    /// Only flushes: end of file is sent with the exit status, in the order that clients expect.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, Output};
    use hakata_service::stream::Patience;
    use std::sync::Arc;
    use tokio::io::{AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_stalls_the_command() {
        let (channel, _client) = duplex(4);
        let activity = Arc::new(Activity::new());
        let mut output = Output::new(channel, activity.clone(), Patience::default());
        assert!(output.write_all(&[0; 64]).await.is_err());
        assert!(activity.has_stalled());
    }
}
