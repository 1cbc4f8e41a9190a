//! The reader of replies.

use proptest::prelude::{ProptestConfig, any, prop, proptest};

use super::fake::values;
use crate::client::reply::{Reply, ReplyError};

/// Reads one reply to a request for `n` keys `h7`, above `last`.
fn read(input: &[u8], n: usize, last: u64) -> Result<Option<Vec<u64>>, ReplyError> {
    let mut reply = Reply::new(b"h7", n, last);
    Ok(reply.feed(input)?.then(|| reply.into_ids()))
}

/// Whether an error is of some kind.
type Kind = fn(ReplyError) -> bool;

fn keys(n: usize) -> Vec<String> {
    vec!["h7".to_owned(); n]
}

#[test]
fn replies_give_their_ids() {
    assert_eq!(read(&values(&keys(1), &[5]), 1, 4), Ok(Some(vec![5])));
    assert_eq!(read(&values(&keys(3), &[5, 6, 9]), 3, 0), Ok(Some(vec![5, 6, 9])));
    assert_eq!(read(b"VALUE h7 32 2\r\n10\r\nEND\r\n", 1, 0), Ok(Some(vec![10])), "flags mean nothing");
    let highest = i64::MAX.cast_unsigned();
    assert_eq!(read(&values(&keys(1), &[highest]), 1, 0), Ok(Some(vec![highest])));
}

#[test]
fn what_is_no_reply_to_this_request_is_refused() {
    let other = |error: ReplyError| matches!(error, ReplyError::OtherKey(_));
    let malformed = |error: ReplyError| matches!(error, ReplyError::Malformed(_));
    let count = |error: ReplyError| matches!(error, ReplyError::Count { .. });
    let no_id = |error: ReplyError| matches!(error, ReplyError::NoId(_));
    let falling = |error: ReplyError| matches!(error, ReplyError::Falling { .. });
    let behind = |error: ReplyError| matches!(error, ReplyError::Behind(_));
    let refused = |error: ReplyError| matches!(error, ReplyError::Refused(_));
    let cases: [(&[u8], Kind); 19] = [
        (b"VALUE h6 0 1\r\n9\r\nEND\r\n", other),
        (b"VALUE h77 0 1\r\n9\r\nEND\r\n", other),
        (b"END\r\n", count),
        (b"VALUE h7 0 1\r\n8\r\nVALUE h7 0 1\r\n9\r\nEND\r\n", count),
        (b"VALUE h7 0 1\r\n0\r\nEND\r\n", no_id),
        (b"VALUE h7 0 19\r\n9223372036854775808\r\nEND\r\n", no_id),
        (b"VALUE h7 0 1\r\n3\r\nEND\r\n", falling),
        (b"VALUE h7 0 1\r\n9\r\nEND\r\nEND\r\n", behind),
        (b"VALUE h7 0 2\r\n-9\r\nEND\r\n", malformed),
        (b"VALUE h7 0 2\r\n+9\r\nEND\r\n", malformed),
        (b"VALUE h7 0 3\r\n9\r\nEND\r\n", malformed),
        (b"VALUE h7 0 0\r\n\r\nEND\r\n", malformed),
        (b"VALUE h7 0 1 5\r\n9\r\nEND\r\n", malformed),
        (b"VALUE h7 0\r\n9\r\nEND\r\n", malformed),
        (b"VALUE h7 0 1\n9\nEND\n", malformed),
        (b"HTTP/1.1 200 OK\r\n", malformed),
        (&[b'x'; 600], malformed),
        (b"SERVER_ERROR no lease\r\n", refused),
        (b"ERROR\r\n", refused),
    ];
    for (input, expected) in cases {
        let shown = String::from_utf8_lossy(input).into_owned();
        let error = read(input, 1, 3).expect_err(&shown);
        assert!(expected(error.clone()), "{shown:?} gave {error:?}");
    }
    let partial = b"VALUE h7 0 1\r\n4\r\nSERVER_ERROR no lease\r\n";
    assert!(read(partial, 2, 3).is_err_and(refused), "a reply may end in a refusal");
    let same_twice = values(&keys(2), &[5, 5]);
    assert!(read(&same_twice, 2, 3).is_err_and(falling), "the same id twice");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replies_may_come_in_any_pieces(steps in prop::collection::vec(1..1_000_000_u64, 1..20), piece in 1..40_usize) {
        let ids: Vec<u64> = steps.iter().scan(0, |last, step| { *last += step; Some(*last) }).collect();
        let whole = values(&keys(ids.len()), &ids);
        let mut reply = Reply::new(b"h7", ids.len(), 0);
        for end in (0..whole.len()).step_by(piece) {
            assert_eq!(reply.feed(&whole[..end]), Ok(false), "the reply is not whole after {end} bytes");
        }
        assert_eq!(reply.feed(&whole), Ok(true));
        assert_eq!(reply.into_ids(), ids);
    }

    #[test]
    fn whatever_comes_is_refused_or_awaited(input in prop::collection::vec(any::<u8>(), 0..700)) {
        // Random bytes hold no whole reply with this key.
        assert_ne!(read(&input, 1, 0).map(|ids| ids.is_some()), Ok(true));
    }
}
