//! What the id server answers to whom, and how long it listens; against the real process.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{IdServer, Sandbox, ServerOptions, Talk, wait_until};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

fn sandbox() -> Result<Sandbox> {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata"))
}

fn start(sandbox: &Sandbox, settings: &[(&str, &str)]) -> Result<IdServer> {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    IdServer::start(sandbox, &ServerOptions { settings, ..ServerOptions::default() })
}

/// Waits until no memcached connection is left, of the server's own tasks too.
fn at_rest(server: &IdServer, tasks: f64) -> Result<()> {
    wait_until("a server at rest", LIMIT, || {
        let is = |name: &str, value: f64| server.metric(name).is_ok_and(|found| found == value);
        is("hakata_connections_open{listener=\"id\"}", 0.0) && is("hakata_tasks_live{task=\"id\"}", tasks)
    })
}

#[test]
fn ids_are_unique_and_rise_over_every_protocol() -> Result<()> {
    let sandbox = sandbox()?;
    let socket = sandbox.path().join("id.sock");
    let server = start(&sandbox, &[("id.socket", &socket.display().to_string())])?;
    let mut ids = Vec::new();
    let mut tcp = server.connect()?;
    let mut unix = Talk::to(&format!("unix:{}", socket.display()))?;
    for _ in 0..100 {
        ids.push(tcp.fetch()?);
        ids.push(unix.fetch()?);
        let (status, id) = server.get(&server.http, "/id")?;
        ensure!(status == 200, "{status}: {id}");
        ids.push(id.parse()?);
    }
    let reply = tcp.ask(&format!("get{}\r\n", " k".repeat(5_000)), "END\r\n")?;
    ids.extend(reply.split("\r\n").filter_map(|line| line.parse::<u64>().ok()));
    assert_eq!(ids.len(), 5_300);
    assert!(ids.is_sorted_by(|a, b| a < b), "ids rise, whoever asks for them");
    assert!(ids.iter().all(|id| (id >> 12) & 1023 == 1), "one server alone has worker id 1");
    Ok(())
}

#[test]
fn silence_is_cut_at_the_limit_and_only_requests_extend_it() -> Result<()> {
    let sandbox = sandbox()?;
    let socket = sandbox.path().join("id.sock").display().to_string();
    let server = start(&sandbox, &[("id.idle_timeout", "1s"), ("id.socket", &socket)])?;
    let unix = format!("unix:{socket}");
    // What is sent at first and then every 300 ms, and whether any of it is a request.
    let binary_version: &[u8] = b"\x80\x0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let promised: &[u8] = b"\x80\x00\x00\x05\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0";
    let cases: [(&str, &str, &[u8], &[u8]); 7] = [
        ("silent from the start", &server.id, b"", b""),
        ("silent on a Unix socket", &unix, b"", b""),
        ("silent after a request", &server.id, b"version\r\n", b""),
        ("silent after a binary request", &server.id, binary_version, b""),
        ("a line that never ends", &server.id, b"get ", b"k"),
        ("the header of a frame that never ends", &server.id, b"\x80", b"\0"),
        ("a body that is promised and does not come", &server.id, promised, b""),
    ];
    std::thread::scope(|scope| {
        let talks = cases.map(|(what, address, first, then)| {
            scope.spawn(move || -> Result<()> {
                let mut talk = Talk::to(address)?;
                talk.send(first)?;
                let start = Instant::now();
                trickle(&mut talk, then)?;
                let took = start.elapsed();
                let is_on_time = (Duration::from_millis(900)..Duration::from_secs(10)).contains(&took);
                ensure!(is_on_time, "{what}: cut after {took:?} instead of 1 s");
                Ok(())
            })
        });
        let asking = scope.spawn(|| -> Result<()> {
            let (mut talk, start) = (server.connect()?, Instant::now());
            while start.elapsed() < Duration::from_millis(2_500) {
                talk.set_read_timeout(LIMIT)?;
                talk.fetch().context("a client that asks stays")?;
                talk.set_read_timeout(Duration::from_millis(300))?;
                ensure!(talk.read(&mut [0]).is_err(), "nothing comes that was not asked for");
            }
            Ok(())
        });
        for talk in talks.into_iter().chain([asking]) {
            talk.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    server.fetch()?;
    at_rest(&server, 0.0)?;
    assert_eq!(
        server.metric("hakata_id_connections_ended_total{how=\"idle\"}")?,
        7.0,
        "all but the one that asked"
    );
    Ok(())
}

/// Sends a byte now and then until the connection ends.
fn trickle(talk: &mut Talk, byte: &[u8]) -> Result<()> {
    if byte.is_empty() {
        return talk.rest().map(drop);
    }
    let mut buffer = [0; 64];
    talk.set_read_timeout(Duration::from_millis(300))?;
    let deadline = Instant::now() + LIMIT;
    loop {
        ensure!(Instant::now() < deadline, "the connection does not end");
        match talk.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => anyhow::bail!("{:?} is no answer to half a request", &buffer[..n]),
            // Not yet; or it is gone, which the next read tells.
            Err(_) if talk.send(byte).is_err() => return Ok(()),
            Err(_) => {}
        }
    }
}

#[test]
fn never_is_never() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[("id.idle_timeout", "0s")])?;
    let mut silent = server.connect()?;
    silent.set_read_timeout(Duration::from_secs(2))?;
    let mut byte = [0];
    ensure!(silent.read(&mut byte).is_err(), "nothing is said and nothing ends");
    silent.set_read_timeout(LIMIT)?;
    silent.fetch().map(drop)
}

#[test]
fn what_is_not_complete_is_not_carried_out() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[("id.idle_timeout", "1s")])?;
    for (request, reply) in [("get a", ""), ("get a\r\nget b", "VALUE a 0 "), ("version\r\nget", "VERSION ")]
    {
        let mut half = server.connect()?;
        half.send(request.as_bytes())?;
        half.finish()?;
        let heard = String::from_utf8(half.rest()?)?;
        ensure!(heard.starts_with(reply) && heard.is_empty() == reply.is_empty(), "{request:?}: {heard:?}");
        ensure!(!heard.contains("VALUE b"), "{request:?}: {heard:?}");
    }
    let mut late = server.connect()?;
    late.send(b"get a")?;
    assert_eq!(late.rest()?, b"", "the time limit ends no line");
    assert_eq!(server.metric("hakata_id_issued_total")?, 1.0);
    Ok(())
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answers() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[])?;
    let mut talk = server.connect()?;
    talk.send(b"get a\r\nGETS b c\r\nversion\r\n")?;
    talk.finish()?;
    let heard = String::from_utf8(talk.rest()?)?;
    for wanted in ["VALUE a 0 ", "VALUE b 0 ", "VALUE c 0 ", "VERSION "] {
        assert!(heard.contains(wanted), "{wanted:?} is missing from {heard:?}");
    }
    Ok(())
}

#[test]
fn who_never_reads_is_cut_and_costs_little() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[("id.idle_timeout", "3s")])?;
    server.fetch()?;
    let before = server.resident_bytes()?;
    let request = format!("get{}\r\n", " k".repeat(30_000));
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut talk = server.connect()?;
        talk.set_write_timeout(Duration::from_millis(200))?;
        let start = Instant::now();
        // 25 MB of replies, if all were written.
        for _ in 0..20 {
            if talk.send(request.as_bytes()).is_err() {
                break;
            }
        }
        ensure!(start.elapsed() < LIMIT, "the server stops reading");
        deaf.push(talk);
    }
    let grown = server.resident_bytes()?.saturating_sub(before);
    ensure!(grown < 8 * (4 << 20), "eight deaf clients took {grown} bytes");
    let unread = "hakata_id_connections_ended_total{how=\"unread\"}";
    wait_until("the end of deaf clients", LIMIT, || server.metric(unread).is_ok_and(|n| n == 8.0))?;
    drop(deaf);
    server.fetch()?;
    at_rest(&server, 0.0)
}

#[test]
fn odd_input_is_answered_or_closed_and_never_the_end() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[])?;
    let long_verb = "x".repeat(1_500) + "\r\n";
    let cases: [(&[u8], &str); 13] = [
        (b"\r\n", "ERROR\r\n"),
        (b"\n", "ERROR\r\n"),
        (b"   \r\n", "ERROR\r\n"),
        (b"\t \t\n", "ERROR\r\n"),
        (b"get\r\n", "ERROR\r\n"),
        (b"get  \r\n", "ERROR\r\n"),
        (b"\0\0\0\r\n", "ERROR\r\n"),
        (b"\xff\xfe\xc0\r\n", "ERROR\r\n"),
        (long_verb.as_bytes(), "ERROR\r\n"),
        (b"set k 0 0 3\r\nget\r\n", "SERVER_ERROR "),
        (b"\r", ""),
        (b"\x80", ""),
        (b"\x80\0\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "\u{fffd}"),
    ];
    for (request, reply) in cases {
        let mut talk = server.connect()?;
        talk.send(request)?;
        talk.finish()?;
        let heard = String::from_utf8_lossy(&talk.rest()?).into_owned();
        let what = request[..request.len().min(40)].escape_ascii().to_string();
        ensure!(heard.starts_with(reply) && heard.is_empty() == reply.is_empty(), "{what}: {heard:?}");
        server.fetch().with_context(|| format!("after {what}"))?;
    }
    let mut talk = server.connect()?;
    talk.send(b"get k\0\xff\r\n")?;
    let heard = talk.until(b"END\r\n")?;
    ensure!(heard.starts_with(b"VALUE k\0\xff 0 "), "a key is bytes: {:?}", heard.escape_ascii().to_string());
    at_rest_when_dropped(&server, talk)
}

fn at_rest_when_dropped(server: &IdServer, talk: Talk) -> Result<()> {
    drop(talk);
    at_rest(server, 0.0)?;
    assert_eq!(
        server.metric("hakata_task_panics_total{task=\"id\"}").unwrap_or(0.0),
        0.0,
        "nothing panicked"
    );
    Ok(())
}

#[test]
fn http_on_the_port_spends_no_ids() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[])?;
    let curl = "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n";
    let post = format!("POST /id HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let http = format!("this port speaks memcached; HTTP is on {}", server.http);
    for (request, wanted) in [
        (curl, http.as_str()),
        (post.as_str(), http.as_str()),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", http.as_str()),
        ("\u{16}\u{3}\u{1}\0\u{5}hello", "without TLS"),
    ] {
        let mut talk = server.connect()?;
        talk.send(request.as_bytes())?;
        let heard = String::from_utf8(talk.rest()?)?;
        ensure!(heard.contains(wanted), "{:?}: {heard:?}", &request[..request.len().min(20)]);
        ensure!(!heard.contains("VALUE"), "{heard:?}");
    }
    assert_eq!(server.metric("hakata_id_issued_total")?, 0.0);
    assert_eq!(server.metric("hakata_id_odd_requests_total{what=\"foreign\"}")?, 4.0);
    Ok(())
}

#[test]
fn long_lines_are_served_up_to_their_limit() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[])?;
    for keys in [1, 100, 1_000, 30_000, 100_000] {
        let reply = server.connect()?.ask(&format!("get{}\r\n", " k".repeat(keys)), "END\r\n")?;
        let ids: HashSet<&str> = reply.split("\r\n").filter(|line| line.parse::<u64>().is_ok()).collect();
        assert_eq!(ids.len(), keys, "{keys} keys are as many ids");
    }
    let reply = server.connect()?.ask(&format!("get {}\r\n", "k".repeat(250)), "END\r\n")?;
    assert!(reply.starts_with(&format!("VALUE {} 0 ", "k".repeat(250))));
    for (request, reply) in [
        (format!("get {}\r\n", "k".repeat(251)), "CLIENT_ERROR bad command line format\r\n"),
        (format!("get{}\r\n", " k".repeat(100_001)), "CLIENT_ERROR too many keys\r\n"),
    ] {
        let mut talk = server.connect()?;
        assert_eq!(talk.ask(&request, "\r\n")?, reply);
        talk.fetch().context("the connection goes on")?;
    }
    // No end in sight: the verb decides how long one is waited for.
    for (beginning, sent) in [("get ", 2 << 20), ("x", 1 << 20)] {
        let mut endless = server.connect()?;
        // The server may close before all of it is sent.
        let _ = endless.send((beginning.to_owned() + &"k".repeat(sent)).as_bytes());
        let heard = String::from_utf8(endless.rest()?)?;
        ensure!(heard.is_empty() || heard == "CLIENT_ERROR line too long\r\n", "{heard:?}");
    }
    server.fetch().map(drop)
}

/// The length of a reply to a binary `get`: header, flags, and an id of this century.
const REPLY: usize = 24 + 4 + 19;

/// A frame of the binary protocol.
fn frame(opcode: u8, key: &[u8], opaque: u32) -> Vec<u8> {
    let mut frame = vec![0x80, opcode];
    frame.extend(u16::try_from(key.len()).unwrap_or(0).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(u32::try_from(key.len()).unwrap_or(0).to_be_bytes());
    frame.extend(opaque.to_be_bytes());
    frame.extend([0; 8]);
    frame.extend(key);
    frame
}

#[test]
fn binary_requests_of_any_shape_are_answered_in_order() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[])?;
    let many: Vec<u8> = (0..10_000u32).flat_map(|n| frame(0x00, b"key", n)).collect();
    for piece in [many.len(), 1_001] {
        let mut talk = server.connect()?;
        let heard = std::thread::scope(|scope| {
            let mut reader = talk.twin()?;
            let read = scope.spawn(move || reader.exactly(10_000 * REPLY));
            for part in many.chunks(piece) {
                talk.send(part)?;
            }
            read.join().map_err(|_| anyhow::anyhow!("a reader panicked"))?
        })?;
        for (n, reply) in heard.chunks(REPLY).enumerate() {
            let opaque = u32::from_be_bytes([reply[12], reply[13], reply[14], reply[15]]);
            ensure!(
                reply[0] == 0x81 && opaque as usize == n,
                "reply {n} is {:?}",
                reply.escape_ascii().to_string()
            );
        }
    }
    let mut slow = server.connect()?;
    for byte in frame(0x00, b"k", 7).into_iter().chain(frame(0x0b, b"", 8)) {
        slow.send(&[byte])?;
    }
    let heard = slow.exactly(REPLY + 24)?;
    ensure!(heard[15] == 7 && heard[REPLY + 15] == 8, "byte by byte is the same");
    for opcode in 0..=255u8 {
        let mut talk = server.connect()?;
        talk.send(&frame(opcode, b"", 1))?;
        talk.send(&frame(opcode, b"key", 2))?;
        talk.send(b"\x80\0\0\x09\xff\0\0\0\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\0x")?;
        talk.finish()?;
        talk.rest().with_context(|| format!("opcode {opcode} leads to an end"))?;
    }
    server.fetch().map(drop)
}

#[test]
fn promised_bytes_cost_no_memory() -> Result<()> {
    let sandbox = sandbox()?;
    let server = start(&sandbox, &[])?;
    server.fetch()?;
    let before = server.resident_bytes()?;
    let mut greedy = Vec::new();
    for _ in 0..8 {
        let mut talk = server.connect()?;
        talk.send(b"\x80\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0")?;
        greedy.push(talk);
        let mut talk = server.connect()?;
        talk.send(b"set k 0 0 1073741824\r\n")?;
        greedy.push(talk);
    }
    server.fetch()?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    ensure!(grown < 4 << 20, "promises of 40 GiB took {grown} bytes");
    Ok(())
}
