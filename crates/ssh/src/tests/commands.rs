use super::harness::{Harness, finish, text};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_command_the_greeting_names_the_user_and_fails() {
    let harness = Harness::start().await;
    let output = finish(&mut harness.ssh(&[])).await;
    let greeting = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(greeting.starts_with("Hi alice! ") && greeting.contains("repo create"), "{greeting}");
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_end_with_their_status_and_words() {
    let harness = Harness::start().await;
    for (line, status, stdout, stderr) in [
        ("whoami", 0, "name: alice", ""),
        ("help", 0, "People:", ""),
        ("key list", 0, "ID    TITLE\n1     laptop\n1000", ""),
        ("token new ci repo:read", 0, "hkt_secret\n", ""),
        ("token new ci everything", 1, "", "'everything' is no scope"),
        ("key add laptop", 1, "", "send the public key on standard input"),
        ("ls -la", 1, "", "there is no such command here"),
        ("sh -c id", 1, "", "there is no such command here"),
        ("git-upload-pack /alice/tools", 1, "", "not quoted as git quotes it"),
        ("git-upload-pack '../etc'", 1, "", "repository name is not valid"),
        ("git-lfs-transfer '/alice/tools' upload", 127, "", "git-lfs-transfer: not found"),
        ("git-upload-pack '/alice/absent'", 128, "ERR repository not found\n", ""),
        ("git-upload-pack '/stub/limited'", 128, "ERR too many fetches, try again in ", ""),
        ("git-receive-pack '/stub/broken'", 128, "ERR internal error\n", ""),
    ] {
        let output = harness.run(line).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{line}: {out} {err}");
        assert!(out.contains(stdout) && err.contains(stderr), "{line}: {out} {err}");
        assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "{line}: no escape reaches a terminal");
    }
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_read_from_standard_input() {
    let harness = Harness::start().await;
    let mut client = harness.ssh(&[]);
    client.arg("key add my laptop").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let line = std::fs::read(harness.path("alice.pub")).unwrap();
    client.stdin.take().unwrap().write_all(&line).await.unwrap();
    let output = client.wait_with_output().await.unwrap();
    assert_eq!(text(&output.stdout), "added Some(\"my laptop\") Some(\"ssh-ed25519\")\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_environment_only_the_protocol_version_arrives() {
    let harness = Harness::start().await;
    for (variables, version) in [
        (vec![], "V0"),
        (vec![("GIT_PROTOCOL", "version=2")], "V2"),
        (vec![("GIT_PROTOCOL", "version=1")], "V1"),
        (vec![("GIT_PROTOCOL", "version=2; id")], "V0"),
        (vec![("LD_PRELOAD", "/x"), ("GIT_PROTOCOL", "version=2"), ("LANG", "C")], "V2"),
    ] {
        let mut client = harness.ssh(&["-o", "SendEnv=GIT_PROTOCOL LD_PRELOAD_X LANG GIT_*"]);
        client.arg("git-upload-pack '/stub/version'");
        for (name, value) in &variables {
            let name = if *name == "LD_PRELOAD" { "LD_PRELOAD_X" } else { name };
            client.env(name, value);
        }
        let output = finish(&mut client).await;
        assert_eq!(text(&output.stdout), format!("{version}\n"), "{variables:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_not_a_command_is_refused() {
    let harness = Harness::start().await;
    let subsystem = finish(harness.ssh(&["-s"]).arg("sftp")).await;
    assert_eq!(subsystem.status.code(), Some(1));
    assert!(text(&subsystem.stderr).contains("only git is served here"), "{}", text(&subsystem.stderr));

    let forward = finish(&mut harness.ssh(&["-W", "127.0.0.1:22"])).await;
    assert_ne!(forward.status.code(), Some(0));
    assert!(text(&forward.stderr).contains("administratively prohibited"), "{}", text(&forward.stderr));

    let remote =
        finish(&mut harness.ssh(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"])).await;
    assert_ne!(remote.status.code(), Some(0));
    assert!(text(&remote.stderr).contains("remote port forwarding failed"), "{}", text(&remote.stderr));

    let unix =
        finish(&mut harness.ssh(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "/tmp/x:127.0.0.1:1"])).await;
    assert_ne!(unix.status.code(), Some(0));

    let agent = finish(harness.ssh(&["-A", "-X"]).arg("whoami")).await;
    assert_eq!(agent.status.code(), Some(0), "asking for more than there is does no harm");
    harness.wait_for_rest().await;
}
