//! Answers in parts, written by a function that waits while nobody takes them.

use std::task::Poll;

use futures_util::stream;
use hakata_rpc::{Answers, Code, Status};
use tokio::sync::mpsc;

/// Where parts go. An error means that nobody wants them any more.
pub(crate) struct Parts<T>(mpsc::Sender<T>);

impl<T> Parts<T> {
    /// Gives a part; waits until the one before was taken.
    pub(crate) async fn give(&self, part: T) -> Result<(), Status> {
        self.0.send(part).await.map_err(|_| Status::new(Code::Cancelled, "the caller left"))
    }
}

/// Runs a function that gives parts. It runs only while somebody waits for them, in the task of whoever does, and is
/// dropped with the answer.
pub(crate) fn parts<T, F, Fut>(give: F) -> Answers<T>
where
    T: Send + 'static,
    F: FnOnce(Parts<T>) -> Fut,
    Fut: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (sender, mut given) = mpsc::channel(1);
    let mut running = Some(Box::pin(give(Parts(sender))));
    let mut failed = None;
    Box::pin(stream::poll_fn(move |context| {
        loop {
            if let Poll::Ready(Some(part)) = given.poll_recv(context) {
                return Poll::Ready(Some(Ok(part)));
            }
            let Some(giving) = &mut running else {
                return Poll::Ready(failed.take().map(Err));
            };
            match giving.as_mut().poll(context) {
                Poll::Ready(end) => {
                    running = None;
                    failed = end.err();
                }
                Poll::Pending => match given.poll_recv(context) {
                    Poll::Ready(Some(part)) => return Poll::Ready(Some(Ok(part))),
                    _ => return Poll::Pending,
                },
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::parts;
    use futures_util::StreamExt;
    use hakata_rpc::{Code, Status};

    #[tokio::test]
    async fn parts_come_in_order_and_the_error_last() {
        let answers = parts(|parts| async move {
            for n in 0..5 {
                parts.give(n).await?;
                tokio::task::yield_now().await;
            }
            Err(Status::new(Code::Internal, "end"))
        });
        let all: Vec<_> = answers.map(|part| part.map_err(|status| status.code)).collect().await;
        assert_eq!(all, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4), Err(Code::Internal)]);
    }

    #[tokio::test]
    async fn no_part_is_no_answer() {
        assert_eq!(parts::<u8, _, _>(|_| async { Ok(()) }).count().await, 0);
    }
}
