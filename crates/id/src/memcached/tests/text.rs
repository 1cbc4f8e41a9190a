//! The text protocol, request by request.

use super::harness::{FIRST, Talk, say, talk};
use super::{Event, MAX_COMMAND_BYTES, Settings, VERSION};

/// Puts the ids into an expected reply: `$0` is the first that was given.
fn with_ids(reply: &str) -> String {
    (0..4).fold(reply.to_owned(), |reply, n| reply.replace(&format!("${n}"), &(FIRST + n).to_string()))
}

/// Demands of each request, sent on a connection of its own, its reply and that the connection stays.
fn table(rows: &[(&str, &str)]) {
    for (request, reply) in rows {
        let (talk, source) = say(request.as_bytes());
        assert_eq!(String::from_utf8_lossy(&talk.replies), with_ids(reply), "{request:?}");
        assert!(!talk.closed, "{request:?} keeps the connection");
        assert_eq!(source.given, ids_in(reply), "{request:?} spends the ids that it shows");
    }
}

fn ids_in(reply: &str) -> u64 {
    (0..4).filter(|n| reply.contains(&format!("${n}"))).count() as u64
}

/// Demands of each request its reply, that the connection is closed and that no id was spent.
fn closing(rows: &[(&str, &str)]) {
    for (request, reply) in rows {
        let (talk, source) = say(format!("{request}get a\r\n").as_bytes());
        assert_eq!(String::from_utf8_lossy(&talk.replies), *reply, "{request:?}");
        assert!(talk.closed, "{request:?} ends the connection");
        assert_eq!(source.given, 0, "{request:?} spends nothing");
    }
}

#[test]
fn every_key_gets_an_id() {
    table(&[
        ("get a\r\n", "VALUE a 0 19\r\n$0\r\nEND\r\n"),
        ("GET a\n", "VALUE a 0 19\r\n$0\r\nEND\r\n"),
        ("GeT a b a\r\n", "VALUE a 0 19\r\n$0\r\nVALUE b 0 19\r\n$1\r\nVALUE a 0 19\r\n$2\r\nEND\r\n"),
        ("  get\ta \x0b b \r\n", "VALUE a 0 19\r\n$0\r\nVALUE b 0 19\r\n$1\r\nEND\r\n"),
        ("get /\r\n", "VALUE / 0 19\r\n$0\r\nEND\r\n"),
        ("get noreply\r\n", "VALUE noreply 0 19\r\n$0\r\nEND\r\n"),
        ("get\r\n", "ERROR\r\n"),
        ("GET \t \r\n", "ERROR\r\n"),
        ("get a\r\nget b\r\n", "VALUE a 0 19\r\n$0\r\nEND\r\nVALUE b 0 19\r\n$1\r\nEND\r\n"),
    ]);
}

#[test]
fn only_lower_case_gets_has_a_token() {
    table(&[
        ("gets a b\r\n", "VALUE a 0 19 $0\r\n$0\r\nVALUE b 0 19 $1\r\n$1\r\nEND\r\n"),
        ("GETS a\r\n", "VALUE a 0 19\r\n$0\r\nEND\r\n"),
        ("Gets a\r\n", "VALUE a 0 19\r\n$0\r\nEND\r\n"),
        ("gets\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn keys_are_echoed_as_bytes_up_to_their_limit() {
    let (talk, _) = say(b"get \x00\xff\xfe\x80\r\n");
    assert_eq!(talk.replies, with_ids_bytes(b"VALUE \x00\xff\xfe\x80 0 19\r\n", "$0\r\nEND\r\n"));
    let longest = "k".repeat(250);
    let longer = "k".repeat(251);
    table(&[
        (&format!("get {longest}\r\n"), &format!("VALUE {longest} 0 19\r\n$0\r\nEND\r\n")),
        (&format!("get a {longer}\r\n"), "CLIENT_ERROR bad command line format\r\n"),
        (&format!("GETS {longer} a\r\n"), "CLIENT_ERROR bad command line format\r\n"),
    ]);
}

fn with_ids_bytes(head: &[u8], tail: &str) -> Vec<u8> {
    [head, with_ids(tail).as_bytes()].concat()
}

#[test]
fn lines_without_a_command_are_errors() {
    let long = "x".repeat(MAX_COMMAND_BYTES);
    table(&[
        ("\r\n", "ERROR\r\n"),
        ("\n", "ERROR\r\n"),
        ("   \r\n", "ERROR\r\n"),
        ("\t\x0b\x0c\r\r\n", "ERROR\r\n"),
        ("\0\r\n", "ERROR\r\n"),
        ("\u{16}\n", "ERROR\r\n"),
        ("shutdown\r\n", "ERROR\r\n"),
        ("getx a\r\n", "ERROR\r\n"),
        ("getx a noreply\r\n", "ERROR\r\n"),
        ("flush_all 1 2 3 4 5 6 7 8 9\r\n", "ERROR\r\n"),
        ("slabs 1 2 3 4 5 6 7 8 9 10\r\n", "ERROR\r\n"),
        (&format!("{long}\n"), "ERROR\r\n"),
        ("\r\nget a\r\n", "ERROR\r\nVALUE a 0 19\r\n$0\r\nEND\r\n"),
        ("ключ\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn small_commands_have_one_small_reply() {
    table(&[
        ("version\r\n", &format!("VERSION {VERSION}\r\n")),
        ("VERSION\n", &format!("VERSION {VERSION}\r\n")),
        ("version foo bar\r\n", &format!("VERSION {VERSION}\r\n")),
        ("quit foo bar\r\n", "ERROR\r\n"),
        ("quit noreply\r\n", "ERROR\r\n"),
        ("version noreply\r\n", &format!("VERSION {VERSION}\r\n")),
        ("verbosity 1\r\n", "OK\r\n"),
        ("verbosity 0 noreply\r\n", ""),
        ("verbosity\r\n", "ERROR\r\n"),
        ("verbosity noreply\r\n", ""),
        ("verbosity foo bar my\r\n", "ERROR\r\n"),
        ("incr a 1\r\n", "NOT_FOUND\r\n"),
        ("DECR a 18446744073709551615\r\n", "NOT_FOUND\r\n"),
        ("incr a 1 noreply\r\n", ""),
        ("incr a x\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"),
        ("incr a\r\n", "ERROR\r\n"),
        ("delete a\r\n", "NOT_FOUND\r\n"),
        ("delete a 0\r\n", "NOT_FOUND\r\n"),
        ("delete a 1\r\n", "CLIENT_ERROR bad command line format\r\n"),
        ("delete a noreply\r\n", ""),
        ("delete noreply\r\n", "ERROR\r\n"),
        (&format!("delete {}\r\n", "k".repeat(251)), "CLIENT_ERROR bad command line format\r\n"),
        ("touch a 10\r\n", "NOT_FOUND\r\n"),
        ("touch a 10 noreply\r\n", ""),
        ("touch a\r\n", "ERROR\r\n"),
        ("flush_all\r\n", "OK\r\n"),
        ("FLUSH_ALL 10\r\n", "OK\r\n"),
        ("flush_all noreply\r\n", ""),
        ("flush_all 0 noreply\r\n", ""),
    ]);
}

#[test]
fn the_version_begins_with_three_numbers_that_libmemcached_takes() {
    let (numbers, ours) = VERSION.split_once("-hakata-").expect("theirs, then ours");
    let numbers: Vec<u8> = numbers.split('.').map(|number| number.parse().expect("a number")).collect();
    assert!(numbers.len() == 3 && numbers[0] > 0, "{VERSION}");
    assert_eq!(ours, env!("CARGO_PKG_VERSION"));
}

#[test]
fn stats_takes_the_arguments_of_a_store_that_is_empty() {
    table(&[
        ("stats\r\n", "STAT pid 7\r\nSTAT version 0\r\nEND\r\n"),
        ("STATS\n", "STAT pid 7\r\nSTAT version 0\r\nEND\r\n"),
        ("stats noreply\r\n", "ERROR\r\n"),
        ("stats foo\r\n", "ERROR\r\n"),
        ("stats items\r\n", "END\r\n"),
        ("stats settings\r\n", "END\r\n"),
        ("stats items x\r\n", "ERROR\r\n"),
    ]);
}

#[test]
fn meta_commands() {
    let opaque = "o".repeat(32);
    table(&[
        ("mn\r\n", "MN\r\n"),
        ("mg id v\r\n", "VA 19\r\n$0\r\n"),
        ("MG id v\r\n", "VA 19\r\n$0\r\n"),
        ("mg id\r\n", "HD\r\n"),
        ("mg id q\r\n", "HD\r\n"),
        ("mg id c\r\n", "HD c$0\r\n"),
        ("mg id s v k f t h l O12 c q\r\n", "VA 19 s19 kid f0 t-1 h0 l0 O12 c$0\r\n$0\r\n"),
        ("mg aWQ= b k v\r\n", "VA 19 kaWQ= b\r\n$0\r\n"),
        ("mg id N30 R30 T30 E5 v\r\n", "VA 19\r\n$0\r\n"),
        (&format!("mg id O{opaque}\r\n"), &format!("HD O{opaque}\r\n")),
        (&format!("mg id v O{opaque}o\r\n"), "CLIENT_ERROR opaque token too long\r\n"),
        (&format!("mg id{}\r\n", " v".repeat(21)), "CLIENT_ERROR options flags are too long\r\n"),
        ("mg id v !\r\n", "CLIENT_ERROR invalid flag\r\n"),
        ("mg\r\n", "CLIENT_ERROR bad command line format\r\n"),
        (&format!("mg {} v\r\n", "k".repeat(251)), "CLIENT_ERROR bad command line format\r\n"),
        ("me id\r\n", "EN\r\n"),
        ("me\r\n", "CLIENT_ERROR bad command line format\r\n"),
        ("md id\r\n", "NF\r\n"),
        ("md id q\r\n", ""),
        ("md id O7 k\r\n", "NF O7 kid\r\n"),
        ("ma id N0 J1 D2\r\n", "NF\r\n"),
        ("ma\r\n", "CLIENT_ERROR bad command line format\r\n"),
    ]);
}

#[test]
fn the_size_alone_takes_an_id_to_know_it() {
    let (talk, source) = say(b"mg id s\r\n");
    assert_eq!((talk.replies.as_slice(), source.given), (&b"HD s19\r\n"[..], 1));
}

#[test]
fn what_would_be_stored_is_read_over_and_refused_once() {
    const NO: &str = "SERVER_ERROR this server issues ids and stores nothing\r\n";
    let bad_key = "k".repeat(251);
    for verb in ["set", "add", "replace", "append", "prepend", "SET"] {
        table(&[
            (&format!("{verb} a 0 0 5\r\nget b\r\nget c\r\n"), &format!("{NO}VALUE c 0 19\r\n$0\r\nEND\r\n")),
            (&format!("{verb} a 0 0 5 noreply\r\nget b\r\nget c\r\n"), "VALUE c 0 19\r\n$0\r\nEND\r\n"),
        ]);
    }
    table(&[
        ("cas a 0 0 2 77\r\nhi\r\n", NO),
        ("cas a 0 0 2 77 noreply\r\nhi\r\n", ""),
        ("set a 0 -1 0\n\n", NO),
        ("set a 0 0 2\nhi\nmn\n", &format!("{NO}MN\r\n")),
        ("set a 0 0 4\r\n\r\n\r\n\r\nmn\r\n", &format!("{NO}MN\r\n")),
        ("set a 0 0 2\r\nhigh\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\nMN\r\n"),
        ("set a 0 0 2\r\nhi\rmn\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\nMN\r\n"),
        ("set a 0 0 2 noreply\r\nhigh\r\nmn\r\n", "MN\r\n"),
        (&format!("set {bad_key} 0 0 2\r\nhi\r\nmn\r\n"), "CLIENT_ERROR bad command line format\r\nMN\r\n"),
        ("ms a 2\r\nhi\r\nmn\r\n", &format!("{NO}MN\r\n")),
        ("ms a 2 q c O1\r\nhi\r\nmn\r\n", &format!("{NO}MN\r\n")),
    ]);
}

#[test]
fn data_of_unknown_length_is_never_taken_for_commands() {
    const BAD: &str = "CLIENT_ERROR bad command line format\r\n";
    closing(&[
        ("set\r\n", BAD),
        ("set a 0 0\r\n", BAD),
        ("set a b 0 0 5\r\n", BAD),
        ("set a 0 0 -1\r\n", BAD),
        ("set a 0 0 1 2\r\n", BAD),
        ("set a x 0 1\r\n", BAD),
        ("set a 0 0 1073741825\r\n", BAD),
        ("set a 0 0 18446744073709551616\r\n", BAD),
        ("set a 0 0 1 1 1 1 1 1 1 1\r\n", BAD),
        ("cas a 0 0 1\r\n", BAD),
        ("cas a 0 0 1 noreply\r\n", BAD),
        ("ms a\r\n", BAD),
        ("ms a x\r\n", BAD),
    ]);
}

#[test]
fn quit_drops_what_follows() {
    closing(&[("quit\r\n", ""), ("QUIT\n", ""), ("mn\r\nquit\r\n", "MN\r\n")]);
}

#[test]
fn http_is_told_where_it_is_and_spends_nothing() {
    let requests = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /id HTTP/1.0\r\n\r\n",
        "GET http://x/id HTTP/1.1\r\n\r\n",
        "GET /\r\n",
        "HEAD / HTTP/1.1\r\n\r\n",
        "POST /id HTTP/1.1\r\nContent-Length: 5\r\n\r\nget a",
        "DELETE /id HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT x:443 HTTP/1.1\r\n\r\n",
        "version\r\nPOST /\r\n",
    ];
    let settings = Settings { http: Some("127.0.0.1:8080".to_owned()), ..Settings::default() };
    for request in requests {
        let mut source = super::harness::Counting::default();
        let Talk { replies, closed, .. } = talk(&settings, &mut source, [request.as_bytes()]);
        let replies = String::from_utf8(replies).expect("text");
        let answer = replies.strip_prefix(&format!("VERSION {VERSION}\r\n")).unwrap_or(&replies);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
        assert!(head.starts_with("HTTP/1.1 400 "), "{request:?}: {head}");
        assert_eq!(body, "this port speaks memcached; HTTP is on 127.0.0.1:8080\n", "{request:?}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert!(closed && source.given == 0, "{request:?}");
        assert!(source.events.contains(&Event::Foreign), "{request:?}");
    }
    let (talk, _) = say(b"GET / HTTP/1.1\r\n");
    assert!(talk.replies.ends_with(b"\r\n\r\nthis port speaks memcached; HTTP is not served\n"));
    let len = format!("Content-Length: {}\r\n", "this port speaks memcached; HTTP is not served\n".len());
    assert!(String::from_utf8_lossy(&talk.replies).contains(&len));
}

#[test]
fn upper_case_commands_are_not_http() {
    table(&[
        ("GET /a b\r\n", "VALUE /a 0 19\r\n$0\r\nVALUE b 0 19\r\n$1\r\nEND\r\n"),
        ("GETS a\r\n", "VALUE a 0 19\r\n$0\r\nEND\r\n"),
        ("DELETE a\r\n", "NOT_FOUND\r\n"),
        ("get / HTTP/1.1\r\n", "VALUE / 0 19\r\n$0\r\nVALUE HTTP/1.1 0 19\r\n$1\r\nEND\r\n"),
    ]);
}

#[test]
fn tls_is_told_so() {
    closing(&[("\u{16}\u{3}\u{1}\0\u{5}hello", "SERVER_ERROR this port speaks memcached without TLS\r\n")]);
    let (one_byte, _) = say(b"\x16");
    assert_eq!(one_byte, Talk::default(), "one byte is not enough to tell");
}
