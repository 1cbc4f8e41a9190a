//! Sources that give less than was asked, or nothing.

use std::time::Duration;

use super::harness::{Counting, FIRST, talk};
use super::{Event, Refusal, Settings};

const REFUSALS: [(Refusal, &str, u16); 3] = [
    (Refusal::NoLease, "SERVER_ERROR no lease\r\n", 0x0086),
    (
        Refusal::Behind { by: Duration::from_millis(1500) },
        "SERVER_ERROR the clock is behind by 1.5s\r\n",
        0x0085,
    ),
    (Refusal::Exhausted, "SERVER_ERROR the range of ids has come to its end\r\n", 0x0084),
];

#[test]
fn a_refusal_is_one_line_and_the_connection_stays() {
    for (refusal, line, _) in REFUSALS {
        for (request, n_misses) in [("get a\r\n", 1), ("gets a b c\r\n", 3), ("mg a v\r\n", 1)] {
            let mut source = Counting { refusal: Some(refusal), ..Counting::default() };
            let talk = talk(&Settings::default(), &mut source, [format!("{request}mn\r\n").as_bytes()]);
            assert_eq!(String::from_utf8_lossy(&talk.replies), format!("{line}MN\r\n"), "{request:?}");
            assert!(!talk.closed && talk.requests == 2, "{request:?}");
            assert_eq!(source.events, [Event::Misses(n_misses)], "{request:?}");
        }
    }
}

#[test]
fn a_refusal_has_a_status_in_binary() {
    for (refusal, _, status) in REFUSALS {
        for opcode in [0x00, 0x09, 0x0c, 0x0d] {
            let request = [&[0x80, opcode, 0, 1][..], &[0; 7], &[1, 1, 2, 3, 4], &[0; 8], b"a"].concat();
            let mut source = Counting { refusal: Some(refusal), ..Counting::default() };
            let talk = talk(&Settings::default(), &mut source, [&request[..]]);
            assert_eq!(talk.replies[..2], [0x81, opcode]);
            assert_eq!(talk.replies[6..8], status.to_be_bytes(), "a quiet get is not silent about failure");
            assert_eq!(talk.replies[12..16], [1, 2, 3, 4]);
            assert!(!talk.closed);
        }
    }
}

#[test]
fn a_refusal_in_the_middle_of_a_get_ends_it() {
    struct Short(Counting);
    impl super::Source for Short {
        fn ids(&mut self, n: u32, each: &mut dyn FnMut(u64)) -> Result<u32, Refusal> {
            let issued = self.0.ids(n.min(2), each);
            self.0.refusal = Some(Refusal::NoLease);
            issued
        }
        fn stats(&mut self) -> Vec<(String, String)> {
            self.0.stats()
        }
        fn count(&mut self, what: Event) {
            self.0.count(what);
        }
    }
    let mut source = Short(Counting::default());
    let mut out = Vec::new();
    let mut session = super::Session::new(std::sync::Arc::default());
    let progress = session.feed(b"get a b c d\r\nmn\r\n", &mut out, &mut source);
    let second = FIRST + 1;
    let expected =
        format!("VALUE a 0 19\r\n{FIRST}\r\nVALUE b 0 19\r\n{second}\r\nSERVER_ERROR no lease\r\nMN\r\n");
    assert_eq!(String::from_utf8_lossy(&out), expected);
    assert_eq!((progress.consumed, progress.requests), (17, 2));
    assert_eq!(source.0.events, [Event::Hits(2), Event::Misses(2)]);
}

#[test]
fn many_keys_are_one_question() {
    let keys: Vec<String> = (0..100).map(|n| format!("key{n}")).collect();
    let mut source = Counting::default();
    talk(&Settings::default(), &mut source, [format!("get {}\r\n", keys.join(" ")).as_bytes()]);
    assert_eq!(source.asked, [100]);
}

#[test]
fn a_source_that_gives_fewer_is_asked_for_the_rest() {
    let mut source = Counting { plan: vec![2, 0, 1], ..Counting::default() };
    let talk = talk(&Settings::default(), &mut source, [&b"get a b c d\r\nget e\r\n"[..]]);
    assert_eq!(source.asked, [4, 2, 2, 1, 1, 1], "only for the keys that have none");
    let values: String = (FIRST..)
        .zip(["a", "b", "c", "d"])
        .map(|(id, key)| format!("VALUE {key} 0 19\r\n{id}\r\n"))
        .collect();
    let last = FIRST + 4;
    assert_eq!(
        String::from_utf8_lossy(&talk.replies),
        format!("{values}END\r\nVALUE e 0 19\r\n{last}\r\nEND\r\n")
    );
    assert_eq!(talk.requests, 2);
}

#[test]
fn a_source_that_gives_nothing_and_says_nothing_is_waited_for() {
    struct Silent;
    impl super::Source for Silent {
        fn ids(&mut self, _: u32, _: &mut dyn FnMut(u64)) -> Result<u32, Refusal> {
            Ok(0)
        }
        fn stats(&mut self) -> Vec<(String, String)> {
            Vec::new()
        }
        fn count(&mut self, _: Event) {}
    }
    for request in [&b"get a\r\n"[..], b"mg a v\r\n"] {
        let mut session = super::Session::new(std::sync::Arc::default());
        let progress = session.feed(request, &mut Vec::new(), &mut Silent);
        assert!(matches!(progress.then, super::Next::Wait(by) if by > Duration::ZERO), "{progress:?}");
    }
}
