//! Many channels on one connection, and what only a client of our own would send.

use super::harness::{Harness, finish, text, until};
use crate::Settings;
use hakata_service::stream::Patience;
use russh::client::{self, Handler};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Client;

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn connect(harness: &Harness) -> client::Handle<Client> {
    let address = ("127.0.0.1", harness.port);
    client::connect(Arc::new(client::Config::default()), address, Client).await.unwrap()
}

/// Logs in as alice.
async fn log_in(harness: &Harness) -> client::Handle<Client> {
    let mut handle = connect(harness).await;
    let key = russh::keys::load_secret_key(harness.path("alice"), None).unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    assert!(handle.authenticate_publickey("git", key).await.unwrap().success());
    handle
}

/// Runs a command and tells the order of what came back.
async fn order_of_end(handle: &client::Handle<Client>, line: &str) -> Vec<&'static str> {
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, line).await.unwrap();
    let mut order = Vec::new();
    while let Some(message) = channel.wait().await {
        order.push(match message {
            ChannelMsg::Data { .. } => "data",
            ChannelMsg::ExtendedData { .. } => "errors",
            ChannelMsg::Eof => "eof",
            ChannelMsg::ExitStatus { .. } => "status",
            ChannelMsg::Close => "close",
            ChannelMsg::Success => "success",
            ChannelMsg::Failure => "failure",
            _ => continue,
        });
        order.dedup();
    }
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_ends_in_the_order_that_clients_expect() {
    let harness = Harness::start().await;
    let handle = log_in(&harness).await;
    let whole = ["success", "data", "eof", "status", "close"];
    assert_eq!(order_of_end(&handle, "whoami").await, whole);
    assert_eq!(order_of_end(&handle, "git-upload-pack '/a/b'").await, whole);
    assert_eq!(order_of_end(&handle, "rm -rf /").await, ["success", "errors", "eof", "status", "close"]);
    handle.disconnect(Disconnect::ByApplication, "", "").await.unwrap();
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_channels_may_be_open_and_the_eleventh_is_refused_until_one_ends() {
    let harness = Harness::start().await;
    let handle = log_in(&harness).await;
    let mut channels = Vec::new();
    for _ in 0..10 {
        let channel = handle.channel_open_session().await.unwrap();
        channel.exec(true, "git-upload-pack '/stub/hang'").await.unwrap();
        channels.push(channel);
    }
    assert!(handle.channel_open_session().await.is_err(), "an eleventh channel was opened");
    until("all ten run", || harness.seen.running.load(Ordering::SeqCst) == 10).await;
    channels.pop().unwrap().close().await.unwrap();
    until("one has ended", || harness.seen.running.load(Ordering::SeqCst) == 9).await;
    assert!(handle.channel_open_session().await.is_ok());
    drop((channels, handle));
    until("all have ended", || harness.seen.running.load(Ordering::SeqCst) == 0).await;
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_one_after_another_use_one_connection() {
    let harness = Harness::start().await;
    let handle = log_in(&harness).await;
    for _ in 0..500 {
        let order = order_of_end(&handle, "whoami").await;
        assert_eq!(order.last(), Some(&"close"));
    }
    assert_eq!(harness.connections.open(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_master_serves_many_sessions_at_once() {
    let harness = Harness::start().await;
    let control = format!("ControlPath={}", harness.path("control").display());
    let mut master = harness.ssh(&["-N", "-o", "ControlMaster=yes", "-o", &control]);
    let mut master = master.spawn().unwrap();
    until("the master is there", || harness.path("control").exists()).await;
    let sessions: Vec<_> = (0..8)
        .map(|_| {
            let mut client = harness.ssh(&["-o", "ControlMaster=no", "-o", &control]);
            client.arg("git-receive-pack '/stub/echo'").stdin(Stdio::null());
            tokio::spawn(async move { finish(&mut client).await })
        })
        .collect();
    for session in sessions {
        let output = session.await.unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(harness.connections.open(), 1, "all went over the master's connection");
    master.kill().await.unwrap();
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_reads_nothing_holds_up_nobody_else() {
    let harness = Harness::start().await;
    let handle = log_in(&harness).await;
    let stalled = handle.channel_open_session().await.unwrap();
    stalled.exec(true, "git-upload-pack '/stub/hang'").await.unwrap();
    for n in 0..2_000_u32 {
        stalled.data(&n.to_be_bytes()[..]).await.unwrap();
    }
    assert_eq!(order_of_end(&handle, "whoami").await.last(), Some(&"close"));
    drop((stalled, handle));
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_to_a_command_that_reads_nothing_is_cut() {
    let settings = Settings {
        patience: Patience { stall: Duration::from_secs(1), ..Patience::default() },
        ..Settings::default()
    };
    let harness = Harness::start_with(settings).await;
    let handle = log_in(&harness).await;
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "git-upload-pack '/stub/hang'").await.unwrap();
    let (mut read, write) = channel.split();
    let flood = async {
        let part = vec![0; 32 * 1024];
        while write.data(&part[..]).await.is_ok() {}
    };
    let end = async {
        loop {
            match read.wait().await {
                None | Some(ChannelMsg::Close) => break,
                Some(_) => {}
            }
        }
    };
    tokio::select! {
        () = flood => {}
        () = end => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the flood goes on"),
    }
    until("the command is cut", || harness.seen.running.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_too_slowly_is_cut() {
    let patience = Patience { min_rate: 1 << 30, window: Duration::from_millis(500), ..Patience::default() };
    let harness = Harness::start_with(Settings { patience, ..Settings::default() }).await;
    let handle = log_in(&harness).await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "git-upload-pack '/stub/flood'").await.unwrap();
    let slow = async {
        // Each piece is taken, so this is no stall.
        while channel.wait().await.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = slow => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the client is never cut"),
    }
    until("the command is cut", || harness.seen.running.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_refused_and_the_greeting_still_comes() {
    let harness = Harness::start().await;
    let handle = log_in(&harness).await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 80, 25, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    let (mut answers, mut greeting, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Success => answers.push(true),
            ChannelMsg::Failure => answers.push(false),
            ChannelMsg::Data { data } => greeting.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    assert_eq!((answers, status), (vec![false, true], Some(1)));
    assert!(text(&greeting).starts_with("Hi alice! "));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_before_a_command_do_not_block_the_connection() {
    let harness = Harness::start().await;
    let handle = log_in(&harness).await;
    let mut channel = handle.channel_open_session().await.unwrap();
    for n in 0..200 {
        channel.set_env(false, format!("NAME{n}"), "value").await.unwrap();
        channel.window_change(80, 25, 0, 0).await.unwrap();
    }
    channel.exec(true, "whoami").await.unwrap();
    let mut status = None;
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::ExitStatus { exit_status } = message {
            status = Some(exit_status);
        }
    }
    assert_eq!(status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_command_on_a_channel_and_data_before_the_first_are_refused() {
    let harness = Harness::start().await;
    let handle = log_in(&harness).await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "git-upload-pack '/stub/hang'").await.unwrap();
    channel.exec(true, "whoami").await.unwrap();
    channel.request_shell(true).await.unwrap();
    let mut answers = Vec::new();
    while answers.len() < 3 {
        match channel.wait().await.unwrap() {
            ChannelMsg::Success => answers.push(true),
            ChannelMsg::Failure => answers.push(false),
            _ => {}
        }
    }
    assert_eq!(answers, [true, false, false]);

    let mut early = handle.channel_open_session().await.unwrap();
    early.data(&b"too early"[..]).await.unwrap();
    loop {
        match early.wait().await {
            None | Some(ChannelMsg::Close) => break,
            Some(_) => {}
        }
    }
    let mut next = handle.channel_open_session().await.unwrap();
    next.exec(true, "whoami").await.unwrap();
    assert!(matches!(next.wait().await, Some(ChannelMsg::Success | ChannelMsg::WindowAdjusted { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unproven_key_and_a_second_user_name_give_nothing() {
    let harness = Harness::start().await;
    let mut handle = connect(&harness).await;
    assert!(!handle.authenticate_none("alice").await.unwrap().success());
    assert!(!handle.authenticate_password("alice", "alice").await.unwrap().success());
    let answer = handle.authenticate_keyboard_interactive_start("alice", None).await.unwrap();
    assert!(matches!(answer, client::KeyboardInteractiveAuthResponse::Failure { .. }), "{answer:?}");
    // Offered under one name, signed under another with a key that nobody knows.
    let stranger =
        russh::keys::PrivateKey::random(&mut russh::keys::key::safe_rng(), russh::keys::Algorithm::Ed25519);
    let stranger = PrivateKeyWithHashAlg::new(Arc::new(stranger.unwrap()), None);
    assert!(!handle.authenticate_publickey("bob", stranger).await.unwrap().success());
    assert!(handle.channel_open_session().await.is_err(), "a channel was opened before login");
}
