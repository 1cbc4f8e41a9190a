//! A deadline on writes that the peer does not take.

use super::patience::{Late, Meter, Patience};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Sleep, sleep_until};

/// Turns writes that go too slowly into an error; costs nothing while they go through.
#[derive(Debug)]
pub(crate) struct Stall {
    meter: Option<Meter>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(patience: Option<Patience>) -> Self {
        Self { meter: patience.map(Meter::new), timer: None }
    }

    /// Looks at the outcome of a write: what was taken counts for the peer, waiting against it.
    pub(crate) fn written(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match write {
            Poll::Ready(written) => {
                self.took(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => self.poll_late(cx).map(Err),
        }
    }

    /// Looks at the outcome of a flush or a shutdown.
    pub(crate) fn flushed(
        &mut self,
        cx: &mut Context<'_>,
        flush: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        match flush {
            Poll::Ready(flushed) => {
                self.took(0);
                Poll::Ready(flushed)
            }
            Poll::Pending => self.poll_late(cx).map(Err),
        }
    }

    fn took(&mut self, n_bytes: usize) {
        if let Some(meter) = &mut self.meter {
            meter.took(n_bytes);
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(meter) = &mut self.meter else { return Poll::Pending };
        let is_new = meter.wait();
        let Some(deadline) = meter.deadline() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if is_new {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx).map(|()| late(meter.late()))
    }
}

fn late(late: Option<Late>) -> io::Error {
    let late = late.unwrap_or(Late::Stalled);
    late.count();
    io::Error::new(
        io::ErrorKind::TimedOut,
        match late {
            Late::Stalled => "the peer reads nothing",
            Late::Slow => "the peer reads too slowly",
        },
    )
}
