//! What is long, large or endless costs no memory and spends no ids.

use std::sync::Arc;

use super::harness::{Counting, FIRST, say, talk};
use super::{MAX_COMMAND_BYTES, Next, Progress, Session, Settings};

#[test]
fn thirty_thousand_keys_are_served_within_the_bound_of_replies() {
    let keys: Vec<String> = (0..30_000).map(|n| format!("k{n}")).collect();
    let (talk, source) = say(format!("get {}\r\n", keys.join(" ")).as_bytes());
    assert_eq!((source.given, talk.requests), (30_000, 1));
    let replies = String::from_utf8(talk.replies).expect("text");
    let values: String =
        (FIRST..).zip(&keys).map(|(id, key)| format!("VALUE {key} 0 19\r\n{id}\r\n")).collect();
    assert!(replies == format!("{values}END\r\n"), "every key once, in order");
    assert!(source.asked.len() < 10, "in few questions: {:?}", source.asked);
}

#[test]
fn a_get_beyond_the_limits_spends_nothing() {
    let settings = Settings { max_keys_per_get: 3, max_line_bytes: 5000, ..Settings::default() };
    let mut source = Counting::default();
    let replies = talk(&settings, &mut source, [&b"get a b c d\r\nget a b c\r\n"[..]]).replies;
    assert!(replies.starts_with(b"CLIENT_ERROR too many keys\r\nVALUE a "));
    assert_eq!(source.given, 3, "as many keys as allowed are served");
    let key = "k".repeat(4996);
    for (request, reply) in [
        (format!("get {key}\n"), &b"CLIENT_ERROR bad command line format\r\n"[..]),
        (format!("get {key}k\n"), b"CLIENT_ERROR line too long\r\n"),
        (format!("get {key}k"), b"CLIENT_ERROR line too long\r\n"),
    ] {
        let mut source = Counting::default();
        let talk = talk(&settings, &mut source, [request.as_bytes()]);
        assert_eq!((talk.replies.as_slice(), source.given), (reply, 0));
        assert_eq!(talk.closed, reply.ends_with(b"long\r\n"));
    }
}

#[test]
fn junk_without_a_line_end_is_cut_early() {
    for junk in [&b"x"[..], b" ", b"\0", b"getget", b"set a 0 0 "] {
        let junk: Vec<u8> = junk.iter().copied().cycle().take(MAX_COMMAND_BYTES + 1).collect();
        let (talk, _) = say(&junk[..MAX_COMMAND_BYTES]);
        assert!(!talk.closed && talk.replies.is_empty(), "the end may come yet");
        let (talk, _) = say(&junk);
        assert_eq!((talk.replies.as_slice(), talk.closed), (&b"CLIENT_ERROR line too long\r\n"[..], true));
    }
}

#[test]
fn a_line_in_single_bytes_is_searched_once() {
    // Searched anew for each byte, this would be half a million million bytes.
    let line = format!("get {}", "k ".repeat(500_000));
    let mut session = Session::new(Arc::new(Settings::default()));
    let (mut out, mut source) = (Vec::new(), Counting::default());
    for end in 1..=line.len() {
        let progress = session.feed(&line.as_bytes()[..end], &mut out, &mut source);
        assert_eq!(progress, Progress { consumed: 0, requests: 0, then: Next::Continue });
    }
    assert_eq!(source.given, 0, "a line that has no end is not executed");
}

#[test]
fn large_data_is_read_over_without_being_kept() {
    let piece = vec![b'\n'; 1 << 20];
    let head = &b"set a 0 0 67108864\r\n"[..];
    let pieces = std::iter::once(head).chain((0..64).map(|_| &piece[..])).chain([&b"\r\nmn\r\n"[..]]);
    let mut source = Counting::default();
    let talk = talk(&Settings::default(), &mut source, pieces);
    let replies = String::from_utf8_lossy(&talk.replies);
    assert_eq!(replies, "SERVER_ERROR this server issues ids and stores nothing\r\nMN\r\n");
    assert_eq!(talk.requests, 2);
}

#[test]
fn large_bodies_of_frames_are_read_over_without_being_kept() {
    let n_body = 64u32 << 20;
    let head = [&[0x80, 0x01, 0, 3, 8, 0, 0, 0][..], &n_body.to_be_bytes(), &[0; 12]].concat();
    let piece = vec![0x80; 1 << 20];
    let pieces = std::iter::once(&head[..]).chain((0..64).map(|_| &piece[..]));
    let talk = talk(&Settings::default(), &mut Counting::default(), pieces);
    assert_eq!((talk.replies[1], talk.replies[7], talk.requests, talk.closed), (0x01, 0x81, 1, false));
}

#[test]
fn a_claim_of_four_gigabytes_costs_nothing() {
    for opcode in 0..=u8::MAX {
        let header = [&[0x80, opcode, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255][..], &[0; 12]].concat();
        let (mut out, mut session) = (Vec::new(), Session::new(Arc::default()));
        let progress = session.feed(&header, &mut out, &mut Counting::default());
        assert_eq!((progress.then, out[7]), (Next::Close, 0x04));
        assert!(out.capacity() < 256, "{} bytes for a claim", out.capacity());
    }
}

#[test]
fn replies_stop_at_their_bound_until_they_are_written() {
    let settings = Arc::new(Settings { max_unsent_bytes: 1000, ..Settings::default() });
    let input = b"get a\r\n".repeat(1000);
    let mut session = Session::new(settings);
    let (mut out, mut source) = (Vec::new(), Counting::default());
    let first = session.feed(&input, &mut out, &mut source);
    assert_eq!(first.then, Next::Flush);
    assert!((1000 - 64..1000 + 64).contains(&out.len()), "{}", out.len());
    let len = out.len();
    let again = session.feed(&input[first.consumed..], &mut out, &mut source);
    assert!(again.then == Next::Flush && out.len() < len + 64, "as long as nobody writes, little is added");
    out.clear();
    let second = session.feed(&input[first.consumed + again.consumed..], &mut out, &mut source);
    assert!(second.then == Next::Flush && second.consumed > 0, "{second:?}");
}

#[test]
fn every_kind_of_reply_stops_at_the_bound() {
    let settings = Settings { max_unsent_bytes: 1000, ..Settings::default() };
    let noop = [&[0x80, 0x0a][..], &[0; 22]].concat();
    let long = format!("get {}\r\n", "k ".repeat(1000));
    for request in
        [&b"version\r\n"[..], b"\n", b"mg a v\r\n", b"mn\r\n", b"set a 0 0 0\r\n\r\n", long.as_bytes(), &noop]
    {
        // The harness watches the bound.
        let talk = talk(&settings, &mut Counting::default(), [&request.repeat(500)[..]]);
        assert_eq!((talk.requests, talk.closed), (500, false));
    }
}

#[test]
fn a_bound_below_a_single_reply_still_lets_it_through() {
    let settings = Settings { max_unsent_bytes: 1, ..Settings::default() };
    let mut source = Counting::default();
    let talk = talk(&settings, &mut source, [&b"get a b c\r\nmn\r\nstats\r\n"[..]]);
    assert_eq!((talk.requests, source.given), (3, 3));
}
