//! A conversation with git as the body of a response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hakata_forge::hosting::Output;
use hakata_service::http::BodyError;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

/// Frames that a conversation may be ahead of its client; each is a side-band packet or two, or a slice of
/// refs that are in memory anyway.
const MAX_FRAMES: usize = 4;

/// A conversation that runs as long as somebody asks for its output, and no longer: it has no task of its
/// own. When the client leaves, the connection drops the body, with it the future, with it the children.
/// It ends with an outcome and with what is left of the request, `R`.
pub(crate) struct Conversation<E, R> {
    future: BoxFuture<'static, Ended<E, R>>,
    frames: mpsc::Receiver<Bytes>,
}

/// An outcome, and what is left of the request.
type Ended<E, R> = (Result<(), E>, R);

/// How a conversation stands when its answer must begin.
pub(crate) enum Opening<E, R> {
    /// It is over without an error, and this is all it said.
    Whole(Vec<Bytes>, R),
    /// It has begun to speak and goes on.
    Streaming(Streaming<E, R>),
    /// It ended in an error, and this is all it said; nothing went out yet.
    Failed(E, Vec<Bytes>, R),
}

/// What to do with an error that can no longer be answered.
pub(crate) type Late<E> = Box<dyn FnOnce(E) + Send>;

/// The body of a running conversation.
pub(crate) enum Streaming<E, R> {
    /// It goes on.
    Talking(Conversation<E, R>, Late<E>),
    /// It has ended, perhaps in an error, and its last words are still to go out.
    Ending(mpsc::Receiver<Bytes>, Option<(E, Late<E>)>),
    /// It is over.
    Over,
}

/// Ends a response without its proper end, so that the client sees it as cut.
#[derive(Debug, thiserror::Error)]
#[error("conversation ended in an error after its answer had begun")]
struct Cut;

impl<E: 'static, R: 'static> Conversation<E, R> {
    /// Makes a conversation from what writes it.
    pub(crate) fn new<F>(talk: impl FnOnce(Output<'static>) -> F) -> Self
    where
        F: Future<Output = Ended<E, R>> + Send + 'static,
    {
        let (sender, frames) = mpsc::channel(MAX_FRAMES);
        Self { future: Box::pin(talk(Output::Frames(sender))), frames }
    }

    /// Runs the conversation until it speaks or ends, so that an error that comes before the first word can
    /// still be answered with a status.
    pub(crate) async fn open(mut self, late: Late<E>) -> Opening<E, R> {
        let ended = std::future::poll_fn(|cx| match self.future.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if self.frames.is_empty() => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        });
        match ended.await {
            Some((Ok(()), left)) => Opening::Whole(self.rest(), left),
            Some((Err(error), left)) => Opening::Failed(error, self.rest(), left),
            None => Opening::Streaming(Streaming::Talking(self, late)),
        }
    }

    /// Takes what was said and not sent yet.
    fn rest(&mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.frames.try_recv().ok()).collect()
    }
}

impl<E: Unpin + 'static, R: 'static> Body for Streaming<E, R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match std::mem::replace(&mut *self, Self::Over) {
            Self::Over => Poll::Ready(None),
            Self::Talking(mut talk, late) => {
                let polled = talk.future.as_mut().poll(cx);
                if let Ok(words) = talk.frames.try_recv() {
                    *self = match polled {
                        Poll::Pending => Self::Talking(talk, late),
                        Poll::Ready((ended, _)) => {
                            Self::Ending(talk.frames, ended.err().map(|error| (error, late)))
                        }
                    };
                    return Poll::Ready(Some(Ok(Frame::data(words))));
                }
                match polled {
                    Poll::Pending => {
                        *self = Self::Talking(talk, late);
                        Poll::Pending
                    }
                    Poll::Ready((ended, _)) => end(ended.err().map(|error| (error, late))),
                }
            }
            Self::Ending(mut frames, error) => match frames.try_recv() {
                Ok(words) => {
                    *self = Self::Ending(frames, error);
                    Poll::Ready(Some(Ok(Frame::data(words))))
                }
                Err(_) => end(error),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Over)
    }
}

/// Ends a body: as it should, or, when there was an error, visibly not.
fn end<E>(error: Option<(E, Late<E>)>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Poll::Ready(error.map(|(error, late)| {
        late(error);
        Err(BodyError::Produce(Cut.into()))
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Conversation, Opening};
    use bytes::Bytes;
    use futures_util::FutureExt;
    use hakata_forge::hosting::Output;
    use http_body_util::BodyExt;

    type Talk = Conversation<&'static str, ()>;

    /// More than is ever ahead of a client.
    const LONG: usize = 1 << 20;

    async fn say(out: &mut Output<'_>, n_bytes: usize) -> Result<(), &'static str> {
        for piece in vec![7; n_bytes].chunks(1 << 16) {
            out.send(Bytes::copy_from_slice(piece)).await.map_err(|_| "gone")?;
        }
        Ok(())
    }

    fn open(talk: Talk) -> Opening<&'static str, ()> {
        talk.open(Box::new(|_| ())).now_or_never().expect("it speaks or ends at once")
    }

    #[tokio::test]
    async fn a_short_talk_is_whole() {
        let talk = Talk::new(|mut out| async move { (say(&mut out, 4).await, ()) });
        assert!(matches!(open(talk), Opening::Whole(words, ()) if words == [&[7; 4][..]]));
        assert!(
            matches!(open(Talk::new(|_| async { (Err("refused"), ()) })), Opening::Failed("refused", words, ()) if words.is_empty())
        );
        let talk = Talk::new(|mut out| async move {
            assert_eq!(say(&mut out, 5).await, Ok(()));
            (Err("refused"), ())
        });
        assert!(matches!(open(talk), Opening::Failed("refused", words, ()) if words == [&[7; 5][..]]));
    }

    #[tokio::test]
    async fn a_long_talk_streams_to_its_end() {
        let talk = Talk::new(|mut out| async move { (say(&mut out, LONG).await, ()) });
        let Opening::Streaming(body) = open(talk) else { panic!("too long to be whole") };
        assert_eq!(body.collect().await.expect("no error").to_bytes().len(), LONG);
    }

    #[tokio::test]
    async fn a_late_error_cuts_the_answer_and_is_told_once() {
        static LATE: AtomicUsize = AtomicUsize::new(0);
        let talk = Talk::new(|mut out| async move {
            assert_eq!(say(&mut out, LONG).await, Ok(()));
            (Err("broken"), ())
        });
        let opening = talk.open(Box::new(|_| _ = LATE.fetch_add(1, Ordering::SeqCst))).await;
        let Opening::Streaming(mut body) = opening else { panic!("too long to be whole") };
        let (mut n_bytes, mut last) = (0, None);
        while let Some(frame) = body.frame().await {
            last = Some(frame.is_err());
            n_bytes += frame.ok().and_then(|frame| frame.into_data().ok()).map_or(0, |words| words.len());
        }
        assert_eq!((n_bytes, last, LATE.load(Ordering::SeqCst)), (LONG, Some(true), 1));
    }

    #[tokio::test]
    async fn dropping_the_body_drops_the_talk() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let talk = Talk::new(|mut out| async move {
            let _held = held;
            assert_eq!(say(&mut out, 1).await, Ok(()));
            std::future::pending().await
        });
        let Opening::Streaming(body) = open(talk) else { panic!("it never ends") };
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&alive), 1, "nothing outlives the response");
    }
}
