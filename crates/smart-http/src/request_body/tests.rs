use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, stream};
use hakata_forge::hosting::Service;
use hakata_service::http::{self, Body};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::io::AsyncReadExt;

use super::{BodyError, Expected, RequestBody};
use crate::request_head::Encoding;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn expected(encoding: Encoding, max_bytes: Option<u64>) -> Expected {
    Expected { service: Service::UploadPack, encoding, is_awaited: false, max_bytes, max_ratio: 100 }
}

type Piece = Result<Frame<Bytes>, http::BodyError>;

fn body(frames: impl Stream<Item = Piece> + Send + 'static) -> Body {
    Body::wrap(StreamBody::new(frames))
}

/// A request of that many bytes, in pkt-lines, that gzip cannot make much smaller.
fn request(n_bytes: u32) -> Vec<u8> {
    let mut plain = Vec::new();
    for n in 0..n_bytes / 36 {
        let noise: Vec<u8> = (0..8u32).flat_map(|k| (n * 8 + k).wrapping_pow(7).to_le_bytes()).collect();
        hakata_pkt_line::encode(&noise, &mut plain);
    }
    plain
}

async fn read(
    wire: &[u8],
    piece: usize,
    encoding: Encoding,
    max_bytes: Option<u64>,
) -> Result<Vec<u8>, BodyError> {
    let frames: Vec<_> = wire
        .chunks(piece)
        .map(|piece| Ok::<_, http::BodyError>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let mut request = RequestBody::new(body(stream::iter(frames)), expected(encoding, max_bytes));
    let (fault, mut plain) = (request.fault(), Vec::new());
    match request.read_to_end(&mut plain).await {
        Ok(_) => {
            assert_eq!(fault.get(), None);
            Ok(plain)
        }
        Err(_) => Err(fault.get().expect("an error leaves its reason").clone()),
    }
}

#[tokio::test]
async fn bodies_come_out_as_they_were_meant() {
    let plain = request(120_000);
    let wire = gzip(&plain);
    for piece in [1, 100, 16_384, 1 << 20] {
        assert!(read(&plain, piece, Encoding::Plain, None).await.as_ref() == Ok(&plain), "{piece}");
        assert!(read(&wire, piece, Encoding::Gzip, None).await.as_ref() == Ok(&plain), "{piece}");
    }
}

#[tokio::test]
async fn every_kind_of_broken_body_has_its_reason() {
    let wire = gzip(b"0000");
    let n = wire.len();
    for (wire, encoding, max_bytes, expected) in [
        (&b""[..], Encoding::Plain, None, BodyError::Empty),
        (b"", Encoding::Gzip, None, BodyError::Empty),
        (&gzip(b""), Encoding::Gzip, None, BodyError::Empty),
        (b"0000", Encoding::Gzip, None, BodyError::NotGzip),
        (&wire[..1], Encoding::Gzip, None, BodyError::Truncated),
        (&wire[..n - 1], Encoding::Gzip, None, BodyError::Truncated),
        (b"0009done", Encoding::Plain, None, BodyError::Truncated),
        (b"<html>", Encoding::Plain, None, BodyError::NotPktLine),
        (b"00000000", Encoding::Plain, Some(4), BodyError::TooLarge { max_bytes: 4 }),
        (&wire, Encoding::Gzip, Some(3), BodyError::TooLarge { max_bytes: 3 }),
    ] {
        for piece in [1, 64] {
            assert_eq!(read(wire, piece, encoding, max_bytes).await, Err(expected.clone()), "{wire:?}");
        }
    }
    let trailing = [&wire[..], &wire].concat();
    assert_eq!(read(&trailing, 1, Encoding::Gzip, None).await, Err(BodyError::Trailing));
    assert_eq!(read(&trailing, 64, Encoding::Gzip, None).await, Err(BodyError::Trailing));
    assert_eq!(
        read(b"0000", 1, Encoding::Plain, Some(4)).await,
        Ok(b"0000".to_vec()),
        "the limit itself fits"
    );
    assert_eq!(read(&wire, 1, Encoding::Gzip, Some(4)).await, Ok(b"0000".to_vec()), "the limit itself fits");
}

#[tokio::test]
async fn an_endless_bomb_is_cut_within_its_limit() {
    let bomb = gzip(&b"0004".repeat(16 << 20));
    let limit = 10 << 20;
    assert_eq!(
        read(&bomb, 16_384, Encoding::Gzip, Some(limit)).await,
        Err(BodyError::Ratio { max_ratio: 100 })
    );
}

#[tokio::test]
async fn a_broken_body_is_the_clients_fault() {
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"0000"))), Err(http::BodyError::Abandoned)];
    let mut request = RequestBody::new(body(stream::iter(frames)), expected(Encoding::Plain, None));
    assert!(request.read_to_end(&mut Vec::new()).await.is_err());
    assert_eq!(request.fault().get(), Some(&BodyError::Broken));
    assert!(request.read_u8().await.is_err(), "it stays broken");
}

#[tokio::test(start_paused = true)]
async fn discarding_ends_by_size_and_by_time() {
    let endless =
        stream::repeat_with(|| Ok::<_, http::BodyError>(Frame::data(Bytes::from_static(&[b'0'; 1024]))));
    let mut request = RequestBody::new(body(endless), expected(Encoding::Plain, None));
    request.discard(1 << 20, Duration::from_secs(3600)).await;
    assert!((1 << 20..(1 << 20) + 4096).contains(&request.n_wire), "{}", request.n_wire);
    let endless =
        stream::repeat_with(|| Ok::<_, http::BodyError>(Frame::data(Bytes::from_static(&[b'0'; 1024]))));
    let awaited = Expected { is_awaited: true, ..expected(Encoding::Plain, None) };
    let mut request = RequestBody::new(body(endless), awaited);
    request.discard(1 << 20, Duration::from_secs(3600)).await;
    assert_eq!(request.n_wire, 0, "a client that waits for 100 Continue is not told to send");
    let silent = stream::pending::<Result<Frame<Bytes>, http::BodyError>>();
    let mut request = RequestBody::new(body(silent), expected(Encoding::Plain, None));
    request.discard(1 << 20, Duration::from_secs(3600)).await;
    assert_eq!(request.n_wire, 0);
}

#[tokio::test]
async fn what_is_wrong_behind_the_last_packet_is_found() {
    let whole = gzip(b"0000");
    for (wire, encoding, max_bytes, fault) in [
        (whole[..whole.len() - 1].to_vec(), Encoding::Gzip, None, BodyError::Truncated),
        ([&whole[..], b"x"].concat(), Encoding::Gzip, None, BodyError::Trailing),
        (b"00000000".to_vec(), Encoding::Plain, Some(4), BodyError::TooLarge { max_bytes: 4 }),
        (b"0000000".to_vec(), Encoding::Plain, None, BodyError::Truncated),
    ] {
        let frames: Vec<Piece> =
            wire.chunks(5).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut request = RequestBody::new(body(stream::iter(frames)), expected(encoding, max_bytes));
        let mut packet = [0; 4];
        request.read_exact(&mut packet).await.unwrap();
        request.discard(1 << 20, Duration::from_secs(3600)).await;
        assert_eq!(request.fault().get(), Some(&fault));
    }
}
