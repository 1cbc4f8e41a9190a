//! Bodies give what was put in, within their bounds, and say when they are cut.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn text(body: Body) -> Result<String, BodyError> {
    Ok(String::from_utf8(body.collect(1 << 20).await?.to_vec()).unwrap())
}

#[tokio::test]
async fn full_and_slices_know_their_length() {
    assert!(Body::empty().is_end_stream());
    assert_eq!(Body::full("abc").size_hint().exact(), Some(3));
    let slices = Body::slices(vec!["ab".into(), Bytes::new(), "c".into(), "def".into()]);
    assert_eq!(slices.size_hint().exact(), Some(6));
    assert_eq!(text(slices).await.unwrap(), "abcdef");
    let mut empty_at_end = Body::slices(vec!["ab".into(), Bytes::new()]);
    empty_at_end.data().await.unwrap();
    assert!(empty_at_end.is_end_stream());
}

#[tokio::test]
async fn a_limit_refuses_declared_and_found_lengths() {
    let declared = Body::full("abcd").limit(3);
    assert!(matches!(text(declared).await, Err(BodyError::TooLarge { limit: 3 })));
    let found = Body::from_reader(&b"abcd"[..]).limit(3).limit(10);
    assert!(matches!(text(found).await, Err(BodyError::TooLarge { limit: 3 })));
    assert_eq!(text(Body::from_reader(&b"abc"[..]).limit(3)).await.unwrap(), "abc");
}

#[tokio::test]
async fn a_body_reads_as_bytes_and_carries_its_error() {
    let mut out = String::new();
    Body::slices(vec!["ab".into(), "cd".into()]).reader().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "abcd");
    let mut reader = Body::full("abcd").limit(1).reader();
    let error = reader.read_to_string(&mut out).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    assert!(error.get_ref().is_some_and(|e| e.is::<BodyError>()));
}

#[tokio::test]
async fn produced_bytes_come_in_order_and_small_writes_together() {
    let body = Body::produce(|mut writer| async move {
        writer.write_all(b"one ").await?;
        writer.write_all(b"two ").await?;
        writer.send(Bytes::from_static(b"three ")).await?;
        tokio::task::yield_now().await;
        writer.write_all(&[b'x'; 700_000]).await?;
        Ok(())
    });
    let mut body = body;
    assert_eq!(body.data().await.unwrap().unwrap(), "one two ");
    let rest = body.collect(1 << 20).await.unwrap();
    assert_eq!((rest.len(), &rest[..6]), (700_006, &b"three "[..]));
}

#[tokio::test]
async fn a_producer_that_fails_cuts_the_body() {
    let body = Body::produce(|mut writer| async move {
        writer.write_all(b"half").await?;
        Err("the source broke".into())
    });
    assert!(matches!(text(body).await, Err(BodyError::Produce(_))));
}

#[tokio::test]
async fn a_pipe_must_be_finished() {
    let (mut writer, body) = Body::pipe();
    writer.write_all(b"half").await.unwrap();
    drop(writer);
    assert!(matches!(text(body).await, Err(BodyError::Abandoned)));
    let (mut writer, body) = Body::pipe();
    writer.write_all(b"whole").await.unwrap();
    writer.finish();
    assert_eq!(text(body).await.unwrap(), "whole");
}

#[tokio::test]
async fn a_pipe_is_bounded_and_notices_that_nobody_reads() {
    let (mut writer, mut body) = Body::pipe();
    let n = futures_util::poll!(std::pin::pin!(writer.write(&vec![0; 1 << 20])));
    assert!(matches!(n, Poll::Ready(Ok(n)) if n == 256 << 10), "no more than the room is taken: {n:?}");
    {
        let mut more = std::pin::pin!(writer.write_all(b"x"));
        assert!(futures_util::poll!(&mut more).is_pending());
        body.data().await.unwrap();
        more.await.unwrap();
    }
    drop(body);
    writer.gone().await;
    assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}
