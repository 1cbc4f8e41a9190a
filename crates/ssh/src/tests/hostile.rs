use super::harness::{Harness, finish, text, until};
use crate::Settings;
use hakata_service::stream::Patience;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn connect(harness: &Harness) -> TcpStream {
    TcpStream::connect(("127.0.0.1", harness.port)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_handshakes_that_stall_are_cut_and_leave_nothing() {
    let settings = Settings { handshake: Duration::from_secs(2), ..Settings::default() };
    let harness = Harness::start_with(settings).await;
    harness.run("whoami").await;
    harness.wait_for_rest().await;
    let before = descriptors();
    let mut clients = Vec::new();
    for n in 0..200 {
        let mut client = connect(&harness).await;
        match n % 4 {
            // Silent; half a banner; a banner and no key exchange; a key exchange that is promised and not sent.
            0 => {}
            1 => client.write_all(b"SSH-2.0-Slow").await.unwrap(),
            2 => client.write_all(b"SSH-2.0-Slow\r\n").await.unwrap(),
            _ => client.write_all(b"SSH-2.0-Slow\r\n\0\0\x04\0\x08\x14").await.unwrap(),
        }
        clients.push(client);
    }
    until("all are being served", || harness.connections.open() == 200).await;
    let output = harness.run("whoami").await;
    assert!(output.status.success(), "an honest client is served meanwhile: {}", text(&output.stderr));
    for client in &mut clients {
        // Banner and key exchange of the server, and then the end.
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut rest))
            .await
            .expect("not cut");
    }
    harness.wait_for_rest().await;
    drop(clients);
    until("descriptors are back", || descriptors() <= before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trickles_its_login_is_cut_all_the_same() {
    let settings = Settings { handshake: Duration::from_secs(1), ..Settings::default() };
    let harness = Harness::start_with(settings).await;
    let mut client = connect(&harness).await;
    let start = tokio::time::Instant::now();
    let trickle = async {
        for byte in b"SSH-2.0-".iter().chain(std::iter::repeat_n(&b'x', 200)) {
            client.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::io::Result::Ok(())
    };
    assert!(trickle.await.is_err(), "bytes extend the deadline");
    assert!(start.elapsed() < Duration::from_secs(10));
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_with_a_close() {
    let harness = Harness::start().await;
    let long_line = [b"SSH-2.0-".as_slice(), &[b'a'; 4096]].concat();
    let huge_packet = b"SSH-2.0-x\r\n\xff\xff\xff\xff\x08aaaaaaaaaaaaaaaaaaaaaaaa".to_vec();
    let zero_packet = b"SSH-2.0-x\r\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let not_kex = b"SSH-2.0-x\r\n\0\0\0\x0c\x06\x32aaaaaaaaaa".to_vec();
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n".to_vec(),
        b"SSH-1.5-old\r\n".to_vec(),
        b"\r\n".to_vec(),
        vec![0; 512],
        vec![0xff; 512],
        long_line,
        huge_packet,
        zero_packet,
        not_kex,
    ] {
        let mut client = connect(&harness).await;
        client.write_all(&garbage).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "still open after {garbage:?}");
    }
    harness.wait_for_rest().await;
    assert!(harness.run("whoami").await.status.success(), "and the server lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_leaves_no_command_behind() {
    let harness = Harness::start().await;
    for line in
        ["git-upload-pack '/stub/hang'", "git-receive-pack '/stub/flood'", "git-receive-pack '/stub/echo'"]
    {
        let mut client = harness.ssh(&[]);
        client.arg(line).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.spawn().unwrap();
        until("the command runs", || harness.seen.running.load(Ordering::SeqCst) == 1).await;
        client.kill().await.unwrap();
        until("the command is gone", || harness.seen.running.load(Ordering::SeqCst) == 0).await;
    }
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_clone_leaves_no_git() {
    let harness = Harness::start().await;
    let bare = harness.path("repositories/alice/tools.git");
    std::fs::create_dir_all(&bare).unwrap();
    harness.git_ok(&bare, &["init", "-q", "--bare", "."]).await;
    let mut client = harness.ssh(&[]);
    // Upload-pack of git waits for the client's wants, for ever if it may.
    client.arg("git-receive-pack '/alice/tools'").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    until("git runs", || harness.seen.pid.load(Ordering::SeqCst) != 0).await;
    let pid = harness.seen.pid.load(Ordering::SeqCst);
    client.kill().await.unwrap();
    let status = std::path::PathBuf::from(format!("/proc/{pid}/status"));
    let is_gone = || std::fs::read_to_string(&status).map_or(true, |status| status.contains("(zombie)"));
    until("git is gone", is_gone).await;
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_cut_and_memory_stays_flat() {
    let settings = Settings {
        patience: Patience { stall: Duration::from_secs(2), ..Patience::default() },
        ..Settings::default()
    };
    let harness = Harness::start_with(settings).await;
    let mut client = harness.ssh(&[]);
    client.arg("git-upload-pack '/stub/flood'").stdout(Stdio::piped());
    // Nobody reads the pipe, so ssh stops reading its connection.
    let mut client = client.spawn().unwrap();
    until("the command runs", || harness.seen.running.load(Ordering::SeqCst) == 1).await;
    until("the command is cut", || harness.seen.running.load(Ordering::SeqCst) == 0).await;
    let written = harness.seen.bytes.load(Ordering::SeqCst);
    assert!(written < 32 << 20, "{written} bytes were buffered for a client that reads nothing");
    client.kill().await.unwrap();
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_a_byte_for_long_is_cut() {
    let settings = Settings { idle: Duration::from_secs(1), ..Settings::default() };
    let harness = Harness::start_with(settings).await;
    let mut client = harness.ssh(&[]);
    client.arg("git-upload-pack '/stub/hang'").stdin(Stdio::piped());
    let output = finish(&mut client).await;
    assert_eq!(output.status.code(), Some(255));
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_command_is_cut() {
    let settings = Settings { idle: Duration::from_secs(1), ..Settings::default() };
    let harness = Harness::start_with(settings).await;
    let output = finish(&mut harness.ssh(&["-N"])).await;
    assert!(text(&output.stderr).contains("nothing to do for too long"), "{}", text(&output.stderr));
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_input_reaches_a_command_that_then_ends_well() {
    let harness = Harness::start().await;
    let mut client = harness.ssh(&[]);
    client.arg("git-receive-pack '/stub/discard'").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let feed = async move {
        for _ in 0..64 {
            stdin.write_all(&vec![7; 1 << 20]).await.unwrap();
        }
    };
    let (output, ()) = tokio::join!(client.wait_with_output(), feed);
    let output = output.unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "all\n".to_owned()));
    assert_eq!(harness.seen.bytes.load(Ordering::SeqCst), 64 << 20);
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_flow_both_ways_at_once() {
    let harness = Harness::start().await;
    let mut client = harness.ssh(&[]);
    client.arg("git-receive-pack '/stub/echo'").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    let sent: Vec<u8> = (0..32_u32 << 18).flat_map(u32::to_be_bytes).collect();
    let feed = async { stdin.write_all(&sent).await.map(|()| drop(stdin)) };
    let (output, fed) = tokio::join!(client.wait_with_output(), feed);
    fed.unwrap();
    assert!(output.unwrap().stdout == sent, "what came back is what was sent");
    harness.wait_for_rest().await;
}
