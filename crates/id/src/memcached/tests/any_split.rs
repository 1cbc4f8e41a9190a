//! However the same bytes are cut, the replies are the same, and no bytes do harm.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::harness::check;

/// Commands and what looks like some, each whole.
const LINES: [&str; 36] = [
    "get a\r\n",
    "GET a b c\n",
    "gets k k\r\n",
    "GETS k\r\n",
    "get\r\n",
    "  get a\tb \r\n",
    "mg id v\r\n",
    "mg id s c k Oabc v\r\n",
    "mg id\r\n",
    "mg id !\r\n",
    "mn\r\n",
    "me x\r\n",
    "md x q\r\n",
    "ma x\r\n",
    "ms k 3 q\r\nabc\r\n",
    "ms k 0\n\n",
    "set a 0 0 5\r\nget b\r\n",
    "set a 0 0 5 noreply\r\nget b\r\n",
    "add a 0 0 2\r\nhigh\r\n",
    "append a 0 0 2\r\nhi\rget b\r\n",
    "cas a 0 0 1 5\r\n\n\r\n",
    "set a 0 0 1\r\n",
    "incr a 1\r\n",
    "incr a 1 noreply\r\n",
    "delete a\r\n",
    "touch a 1\r\n",
    "flush_all\r\n",
    "version\r\n",
    "verbosity 1\r\n",
    "stats\r\n",
    "stats items\r\n",
    "\r\n",
    " \n",
    "\0\x0b\r\n",
    "noise\r\n",
    "get ",
];

/// What ends a connection.
const LAST: [&str; 7] = [
    "quit\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\n",
    "set a 0 0 x\r\n",
    "set\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\u{16}\u{3}\u{1}",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let long = (2040usize..2060).prop_map(|n| [&vec![b'x'; n][..], b"\n"].concat());
    let many = (1usize..1100).prop_map(|n| [b"get ".as_slice(), &b"ab ".repeat(n), b"\r\n"].concat());
    prop_oneof![
        30 => select(&LINES[..]).prop_map(|line| line.as_bytes().to_vec()),
        3 => vec(any::<u8>(), 0..12),
        2 => many,
        1 => long,
        1 => select(&LAST[..]).prop_map(|line| line.as_bytes().to_vec()),
    ]
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let known = select(&[0x00u8, 0x09, 0x0c, 0x0d, 0x0a, 0x0b, 0x10, 0x1b][..]);
    let opcode = prop_oneof![20 => known, 2 => any::<u8>(), 1 => select(&[0x07u8, 0x17][..])];
    let right = (opcode, vec(any::<u8>(), 1..30), any::<u32>()).prop_map(|(opcode, key, opaque)| {
        let (extras, key): (&[u8], &[u8]) = match opcode {
            0x00 | 0x09 | 0x0c | 0x0d => (&[], &key),
            0x10 => (&[], &key[..key.len() % 2]),
            0x1b => (&[0; 4], &[]),
            0x07 | 0x17 | 0x0a | 0x0b => (&[], &[]),
            _ => (&key[..key.len() / 2], &key),
        };
        let short = |len: usize| u8::try_from(len).expect("a short part");
        let (n_extras, n_key) = (short(extras.len()), short(key.len()));
        let head = [0x80, opcode, 0, n_key, n_extras, 0, 0, 0, 0, 0, 0, n_extras + n_key];
        [&head[..], &opaque.to_be_bytes(), &[0; 8], extras, key].concat()
    });
    let lying = vec(any::<u8>(), 23).prop_map(|rest| [&[0x80][..], &rest].concat());
    prop_oneof![30 => right, 1 => lying, 1 => vec(any::<u8>(), 0..40), 1 => Just(b"get a\r\n".to_vec())]
}

/// How many ids each question yields: some, and not always none.
fn plan() -> impl Strategy<Value = Vec<u32>> {
    (vec(0u32..5, 0..6), 1u32..40).prop_map(|(mut plan, last)| {
        plan.push(last);
        plan
    })
}

// `PROPTEST_CASES` tries more of each.
proptest! {
    #[test]
    fn text_means_the_same_however_it_is_cut(parts in vec(text(), 0..12), cuts in vec(any::<usize>(), 0..8), plan in plan()) {
        check(&parts.concat(), &cuts, &plan);
    }

    #[test]
    fn frames_mean_the_same_however_they_are_cut(parts in vec(frame(), 0..12), cuts in vec(any::<usize>(), 0..8), plan in plan()) {
        check(&parts.concat(), &cuts, &plan);
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<usize>(), 0..8), plan in plan()) {
        check(&bytes, &cuts, &plan);
    }
}
