//! The binary protocol, opcode by opcode.

use super::harness::{FIRST, say};
use super::{MAX_BLOCK_BYTES, VERSION};

const OPAQUE: u32 = 0xdead_beef;

/// A request whose header may lie about everything.
fn lying(opcode: u8, n_key: u16, n_extras: u8, n_body: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80, opcode];
    frame.extend(n_key.to_be_bytes());
    frame.extend([n_extras, 0, 0, 0]);
    frame.extend(n_body.to_be_bytes());
    frame.extend(OPAQUE.to_be_bytes());
    frame.extend([9; 8]);
    frame.extend(body);
    frame
}

/// A request with these parts.
fn request(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [extras, key, value].concat();
    let (n_key, n_extras) =
        (u16::try_from(key.len()).expect("short"), u8::try_from(extras.len()).expect("short"));
    lying(opcode, n_key, n_extras, u32::try_from(body.len()).expect("short"), &body)
}

/// A response: opcode, status, extras, key, value.
type Response = (u8, u16, Vec<u8>, Vec<u8>, Vec<u8>);

fn responses(mut bytes: &[u8]) -> Vec<Response> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_at(24);
        let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let n_body = u32::from_be_bytes(header[8..12].try_into().expect("four bytes")) as usize;
        assert_eq!((header[0], header[5]), (0x81, 0), "a response of raw bytes");
        assert_eq!(header[12..16], OPAQUE.to_be_bytes(), "the opaque is given back");
        assert_eq!(header[16..24], [0; 8], "no CAS");
        let (body, rest) = rest.split_at(n_body);
        let (extras, body) = body.split_at(usize::from(header[4]));
        let (key, value) = body.split_at(usize::from(number(2)));
        all.push((header[1], number(6), extras.to_vec(), key.to_vec(), value.to_vec()));
        bytes = rest;
    }
    all
}

fn id(n: u64) -> Vec<u8> {
    (FIRST + n).to_string().into_bytes()
}

fn ask(bytes: &[u8]) -> (Vec<Response>, bool) {
    let (talk, _) = say(bytes);
    (responses(&talk.replies), talk.closed)
}

#[test]
fn all_four_gets_answer_and_two_repeat_the_key() {
    for (opcode, key) in [(0x00, ""), (0x09, ""), (0x0c, "foo"), (0x0d, "foo")] {
        let expected = (opcode, 0, vec![0; 4], key.as_bytes().to_vec(), id(0));
        assert_eq!(ask(&request(opcode, b"", b"foo", b"")), (vec![expected], false), "opcode {opcode:#x}");
    }
    let longest = [b'k'; 250];
    let expected = (0x0c, 0, vec![0; 4], longest.to_vec(), id(0));
    assert_eq!(ask(&request(0x0c, b"", &longest, b"")), (vec![expected], false));
}

#[test]
fn small_commands() {
    let empty = |opcode, status, words: &str| (opcode, status, vec![], vec![], words.as_bytes().to_vec());
    let rows = [
        (request(0x0a, b"", b"", b""), vec![empty(0x0a, 0, "")], false),
        (request(0x07, b"", b"", b""), vec![empty(0x07, 0, "")], true),
        (request(0x17, b"", b"", b""), vec![], true),
        (request(0x0b, b"", b"", b""), vec![empty(0x0b, 0, VERSION)], false),
        (request(0x1b, &[0, 0, 0, 1], b"", b""), vec![empty(0x1b, 0, "")], false),
        (request(0x10, b"", b"foo", b""), vec![empty(0x10, 1, "Not found")], false),
        (
            request(0x10, b"", b"", b""),
            vec![
                (0x10, 0, vec![], b"pid".to_vec(), b"7".to_vec()),
                (0x10, 0, vec![], b"version".to_vec(), b"0".to_vec()),
                empty(0x10, 0, ""),
            ],
            false,
        ),
        (request(0x01, &[0; 8], b"foo", b"value"), vec![empty(0x01, 0x81, "Unknown command")], false),
        (request(0x11, &[0; 8], b"foo", b"value"), vec![empty(0x11, 0x81, "Unknown command")], false),
        (request(0x20, b"", b"", b""), vec![empty(0x20, 0x81, "Unknown command")], false),
    ];
    for (bytes, expected, closed) in rows {
        assert_eq!(ask(&bytes), (expected, closed), "opcode {:#x}", bytes[1]);
    }
}

/// What a header with lengths that are right, or fit no command, leads to.
fn lengths(opcode: u8) -> Vec<(u16, u8, u32, bool)> {
    let wrong = [
        (1, 0, 0),
        (0, 1, 0),
        (u16::MAX, u8::MAX, 254),
        (3, 8, 10),
        (0, 0, u32::MAX),
        (0, 0, MAX_BLOCK_BYTES + 1),
    ];
    let shapes =
        [(0, 0, 0), (3, 0, 3), (250, 0, 250), (251, 0, 251), (0, 4, 4), (3, 4, 7), (3, 8, 16), (0, 0, 5)];
    let fits = |n_key: u16, n_extras: u8, n_body: u32| match opcode {
        0x00 | 0x09 | 0x0c | 0x0d => {
            (1..=250).contains(&n_key) && n_extras == 0 && n_body == u32::from(n_key)
        }
        0x10 => n_key <= 250 && n_extras == 0 && n_body == u32::from(n_key),
        0x07 | 0x17 | 0x0a | 0x0b => n_body == 0,
        0x1b => (n_key, n_extras, n_body) == (0, 4, 4),
        _ => true,
    };
    let shapes = shapes.into_iter().map(|(k, e, b)| (k, e, b, fits(k, e, b)));
    wrong.into_iter().map(|(k, e, b)| (k, e, b, false)).chain(shapes).collect()
}

#[test]
fn every_opcode_with_every_kind_of_length() {
    for opcode in 0..=u8::MAX {
        let known = matches!(opcode, 0x00 | 0x07 | 0x09..=0x0d | 0x10 | 0x17 | 0x1b);
        let quits = matches!(opcode, 0x07 | 0x17);
        for (n_key, n_extras, n_body, fits) in lengths(opcode) {
            let case = format!("opcode {opcode:#x}, key {n_key}, extras {n_extras}, body {n_body}");
            let body = vec![0; if fits { n_body as usize } else { 0 }];
            let mut bytes = lying(opcode, n_key, n_extras, n_body, &body);
            bytes.extend(request(0x0a, b"", b"", b""));
            let (mut replies, closed) = ask(&bytes);
            assert_eq!(closed, !fits || quits, "{case}");
            if !closed {
                let noop = replies.pop().expect("the connection goes on");
                assert_eq!((noop.0, noop.1), (0x0a, 0), "{case}");
            }
            let statuses: Vec<_> = replies.iter().map(|reply| (reply.0, reply.1)).collect();
            let status = match (fits, known) {
                (false, _) => Some(0x0004),
                (true, false) => Some(0x0081),
                (true, true) if opcode == 0x10 && n_key > 0 => Some(0x0001),
                (true, true) => Some(0),
            };
            let n = if fits && opcode == 0x17 {
                0
            } else if fits && opcode == 0x10 && n_key == 0 {
                3
            } else {
                1
            };
            assert_eq!(statuses, vec![(opcode, status.expect("decided")); n], "{case}");
        }
    }
}

#[test]
fn a_pipeline_in_one_segment_is_answered_in_order() {
    let mut bytes = Vec::new();
    for n in 0..10_000u32 {
        bytes.extend(request(0x0d, b"", n.to_string().as_bytes(), b""));
    }
    bytes.extend(request(0x0a, b"", b"", b""));
    let (talk, source) = say(&bytes);
    let replies = responses(&talk.replies);
    assert_eq!((replies.len(), talk.requests, source.given), (10_001, 10_001, 10_000));
    for (n, reply) in replies[..10_000].iter().enumerate() {
        assert_eq!((&reply.3, &reply.4), (&n.to_string().into_bytes(), &id(n as u64)));
    }
}

#[test]
fn text_behind_binary_ends_the_connection() {
    let mut bytes = request(0x0a, b"", b"", b"");
    bytes.extend(b"get a\r\n");
    let (talk, source) = say(&bytes);
    assert_eq!((responses(&talk.replies).len(), talk.closed, source.given), (1, true, 0));
}

#[test]
fn a_frame_that_is_not_whole_is_not_executed() {
    let bytes = request(0x00, b"", b"foo", b"");
    for end in 1..bytes.len() {
        let (talk, source) = say(&bytes[..end]);
        assert_eq!(
            (talk.replies.len(), talk.requests, talk.closed, source.given),
            (0, 0, false, 0),
            "{end} bytes"
        );
    }
    let unknown = request(0x01, &[0; 8], b"foo", b"value");
    let (talk, _) = say(&unknown[..unknown.len() - 1]);
    assert!(talk.replies.is_empty() && talk.requests == 0, "the refusal waits for the last byte");
}
