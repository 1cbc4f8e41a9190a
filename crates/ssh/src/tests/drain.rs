use super::harness::{Harness, finish, text, until};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_a_running_command_finish_and_opens_nothing_new() {
    let harness = Harness::start().await;
    let control = harness.path("control");
    let control = format!("ControlPath={}", control.display());
    let mut client = harness.ssh(&["-o", "ControlMaster=yes", "-o", &control]);
    client.arg("git-receive-pack '/stub/echo'").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    until("the command runs", || harness.seen.running.load(Ordering::SeqCst) == 1).await;
    harness.tasks.cancel();
    let refused = finish(harness.ssh(&["-o", "ControlMaster=no", "-o", &control]).arg("whoami")).await;
    assert!(!refused.status.success(), "a new channel was opened while draining");
    stdin.write_all(b"to the end").await.unwrap();
    drop(stdin);
    let output =
        tokio::time::timeout(Duration::from_secs(30), client.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(text(&output.stdout), "to the end", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "it is not sent away before it has written what it got");
    let drained = harness.tasks.drain(Duration::from_secs(30)).await;
    assert_eq!(drained.cut, 0, "everything ended by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_sends_idle_clients_away_with_a_sentence() {
    let harness = Harness::start().await;
    let mut client = harness.ssh(&["-N"]);
    let client = client.stderr(Stdio::piped()).spawn().unwrap();
    until("it is logged in", || harness.connections.open() == 1).await;
    // A stranger that has not logged in is simply cut.
    let mut silent = tokio::net::TcpStream::connect(("127.0.0.1", harness.port)).await.unwrap();
    silent.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    until("both are served", || harness.connections.open() == 2).await;
    let drained = harness.tasks.drain(Duration::from_secs(30)).await;
    assert_eq!(drained.cut, 0, "nothing had to be cut by the owner");
    let output = client.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(255));
}
