use super::harness::{Harness, finish, text};
use std::path::PathBuf;

/// Makes `alice/tools` with two commits on the server.
async fn serve_tools(harness: &Harness) -> PathBuf {
    let bare = harness.path("repositories/alice/tools.git");
    std::fs::create_dir_all(&bare).unwrap();
    harness.git_ok(&bare, &["init", "-q", "--bare", "-b", "main", "."]).await;
    let work = harness.path("work");
    std::fs::create_dir_all(&work).unwrap();
    harness.git_ok(&work, &["init", "-q", "-b", "main", "."]).await;
    for name in ["one", "two"] {
        std::fs::write(work.join(name), name).unwrap();
        harness.git_ok(&work, &["add", "."]).await;
        harness.git_ok(&work, &["commit", "-q", "-m", name]).await;
    }
    harness.git_ok(&work, &["push", "-q", bare.to_str().unwrap(), "main"]).await;
    bare
}

#[tokio::test(flavor = "multi_thread")]
async fn clone_push_and_fetch_work_in_every_protocol_version() {
    let harness = Harness::start().await;
    let bare = serve_tools(&harness).await;
    for version in ["0", "1", "2"] {
        let protocol = format!("protocol.version={version}");
        let clone = harness.path(&format!("clone{version}"));
        let url = harness.url("alice/tools.git");
        let directory = harness.directory.path();
        harness.git_ok(directory, &["-c", &protocol, "clone", "-q", &url, clone.to_str().unwrap()]).await;
        std::fs::write(clone.join(version), version).unwrap();
        harness.git_ok(&clone, &["add", "."]).await;
        harness.git_ok(&clone, &["commit", "-q", "-m", version]).await;
        harness.git_ok(&clone, &["-c", &protocol, "push", "-q", "origin", "HEAD"]).await;
        harness.git_ok(&clone, &["-c", &protocol, "fetch", "-q", "origin"]).await;
        let ours = harness.git_ok(&clone, &["rev-parse", "HEAD"]).await;
        assert_eq!(harness.git_ok(&bare, &["rev-parse", "main"]).await, ours, "version {version}");
    }
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_not_there_is_a_sentence_in_git() {
    let harness = Harness::start().await;
    for arguments in [["ls-remote", "URL"], ["push", "URL"], ["archive", "URL"]] {
        let url = harness.url("alice/absent");
        let remote = format!("--remote={url}");
        let url = if arguments[0] == "archive" { remote.as_str() } else { url.as_str() };
        let tail = if arguments[0] == "ls-remote" { "--heads" } else { "main" };
        let work = harness.path(arguments[0]);
        std::fs::create_dir_all(&work).unwrap();
        harness.git_ok(&work, &["init", "-q", "-b", "main", "."]).await;
        harness.git_ok(&work, &["commit", "-q", "--allow-empty", "-m", "x"]).await;
        let output = finish(&mut harness.git(&work, &[arguments[0], url, tail])).await;
        let stderr = text(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains("repository not found"),
            "{arguments:?}: {stderr}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_served() {
    let harness = Harness::start().await;
    serve_tools(&harness).await;
    let remote = format!("--remote={}", harness.url("alice/tools"));
    let output = finish(&mut harness.git(harness.directory.path(), &["archive", &remote, "main"])).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stdout.windows(5).any(|bytes| bytes == b"ustar"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_through_many_key_exchanges_arrives_whole() {
    let harness = Harness::start().await;
    let bare = serve_tools(&harness).await;
    let work = harness.path("work");
    // Bytes that neither deflate nor delta can shorten.
    let mut noise = vec![0_u8; 24 << 20];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for byte in &mut noise {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = state.to_be_bytes()[0];
    }
    std::fs::write(work.join("noise"), &noise).unwrap();
    harness.git_ok(&work, &["add", "."]).await;
    harness.git_ok(&work, &["commit", "-q", "-m", "noise"]).await;
    let url = harness.url("alice/tools");
    let push = harness.git(&work, &["push", "-q", &url, "main"]);
    let mut push = with_rekey(push);
    let output = finish(&mut push).await;
    assert!(output.status.success(), "push: {}", text(&output.stderr));
    let clone = harness.path("clone");
    let mut command =
        with_rekey(harness.git(harness.directory.path(), &["clone", "-q", &url, clone.to_str().unwrap()]));
    let output = finish(&mut command).await;
    assert!(output.status.success(), "clone: {}", text(&output.stderr));
    assert!(std::fs::read(clone.join("noise")).unwrap() == noise, "the bytes are the same");
    assert!(bare.exists());
    harness.wait_for_rest().await;
}

/// Makes the client ask for new keys after each megabyte.
fn with_rekey(mut git: tokio::process::Command) -> tokio::process::Command {
    let ssh = git.as_std().get_envs().find(|(name, _)| *name == "GIT_SSH_COMMAND");
    let ssh = ssh.and_then(|(_, value)| value).unwrap().to_str().unwrap().to_owned();
    git.env("GIT_SSH_COMMAND", format!("{ssh} -o RekeyLimit=1M"));
    git
}
