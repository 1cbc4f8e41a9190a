//! A server in this process, and OpenSSH's client outside of it.

use super::stub::{Seen, Stub};
use crate::realm::Realm;
use crate::{HostKeys, Server, Settings};
use hakata_runtime::tasks::Tasks;
use hakata_service::listener::{self, Address, ConnectionLimits, Connections, Listener};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

/// How long a test waits for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server and everything a client of it needs.
pub(super) struct Harness {
    pub(super) directory: TempDir,
    pub(super) port: u16,
    pub(super) tasks: Tasks,
    pub(super) connections: Connections,
    pub(super) seen: Arc<Seen>,
    server: Server,
}

impl Harness {
    /// Starts with the usual limits; alice's key is `alice`.
    pub(super) async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub(super) async fn start_with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stub = Stub { directory: directory.path().join("repositories"), ..Stub::default() };
        let seen = stub.seen.clone();
        let harness = Self::serve(directory, Realm::Stub(stub), seen, settings);
        harness.make_key("alice", &["-t", "ed25519"]).await;
        harness.allow("alice", "alice");
        harness
    }

    /// Starts over a real forge; nobody has a key yet.
    pub(super) fn start_forge(forge: hakata_forge::Forge) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::serve(directory, Realm::Forge(forge), Arc::default(), Settings::default())
    }

    fn serve(directory: TempDir, realm: Realm, seen: Arc<Seen>, settings: Settings) -> Self {
        let host_keys = HostKeys::ephemeral().unwrap();
        let server = Server::with_realm(realm, &host_keys, settings, None);
        let tasks = Tasks::new();
        let limits = ConnectionLimits { strangers_per_address: 1000, ..ConnectionLimits::default() };
        let connections = Connections::new(limits);
        let address: Address = "127.0.0.1:0".parse().unwrap();
        let listener =
            Listener::bind("ssh", &address, &listener::Settings::default(), connections.clone()).unwrap();
        let port = listener.local_address().to_string().rsplit(':').next().unwrap().parse().unwrap();
        let known_hosts = format!("[127.0.0.1]:{port} {}\n", host_keys.public_lines()[0]);
        std::fs::write(directory.path().join("known_hosts"), known_hosts).unwrap();
        let (group, serving) = (tasks.clone(), server.clone());
        tasks.spawn("listen", async move {
            let commands = group.clone();
            listener
                .serve(&group, move |connection| serving.clone().serve(connection, commands.clone()))
                .await;
        });
        Self { directory, port, tasks, connections, seen, server }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a key pair with ssh-keygen.
    pub(super) async fn make_key(&self, name: &str, kind: &[&str]) {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(kind).args(["-q", "-N", "", "-C", name, "-f"]).arg(self.path(name));
        let made = keygen.output().await.unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    /// Lets the holder of a key sign in as a user.
    pub(super) fn allow(&self, key: &str, user: &str) {
        let line = std::fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap();
        let Realm::Stub(stub) = self.server.realm() else { unreachable!("made as a stub") };
        stub.add(&line, user);
    }

    pub(super) fn fingerprint(&self, key: &str) -> String {
        let line = std::fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap();
        let key = russh::keys::PublicKey::from_openssh(&line).unwrap();
        key.fingerprint(russh::keys::HashAlg::Sha256).to_string()
    }

    /// The options that every client needs, with these keys offered in order.
    pub(super) fn options(&self, keys: &[&str]) -> Vec<String> {
        let mut options: Vec<String> = ["-F", "/dev/null", "-T", "-p"].map(str::to_owned).to_vec();
        options.push(self.port.to_string());
        let settings = [
            format!("UserKnownHostsFile={}", self.path("known_hosts").display()),
            "StrictHostKeyChecking=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "ConnectTimeout=30".to_owned(),
        ];
        options.extend(settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]));
        for key in keys {
            options.extend(["-i".to_owned(), self.path(key).display().to_string()]);
        }
        options
    }

    /// An ssh command as alice; the host is given, the command is not.
    pub(super) fn ssh(&self, options: &[&str]) -> Command {
        self.ssh_as(&["alice"], options)
    }

    pub(super) fn ssh_as(&self, keys: &[&str], options: &[&str]) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(self.options(keys)).args(options).arg("git@127.0.0.1");
        ssh.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        ssh.env("HOME", self.directory.path());
        ssh.stdin(std::process::Stdio::null()).kill_on_drop(true);
        ssh
    }

    /// Runs a command line as alice to its end.
    pub(super) async fn run(&self, line: &str) -> Output {
        finish(self.ssh(&[]).arg(line)).await
    }

    /// A git command whose ssh is alice's.
    pub(super) fn git(&self, directory: &Path, arguments: &[&str]) -> Command {
        self.git_as("alice", directory, arguments)
    }

    pub(super) fn git_as(&self, key: &str, directory: &Path, arguments: &[&str]) -> Command {
        let ssh: Vec<String> = self.options(&[key]).into_iter().map(|word| format!("'{word}'")).collect();
        let mut git = Command::new("git");
        git.arg("-C").arg(directory).args(arguments).env_clear();
        git.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        git.env("HOME", self.directory.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        git.env("GIT_SSH_COMMAND", format!("ssh {}", ssh.join(" "))).env("GIT_TERMINAL_PROMPT", "0");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Alice")
                .env(format!("GIT_{role}_EMAIL"), "alice@example.org");
            git.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
        }
        git.kill_on_drop(true);
        git
    }

    /// Runs git and expects success.
    pub(super) async fn git_ok(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = finish(&mut self.git(directory, arguments)).await;
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("ssh://git@127.0.0.1:{}/{path}", self.port)
    }

    /// Waits until nothing of any connection is left.
    pub(super) async fn wait_for_rest(&self) {
        // The listener itself is the one task that stays.
        until("every connection and command is over", || {
            self.tasks.live() == 1 && self.connections.open() == 0
        })
        .await;
    }
}

/// Runs a client to its end, or fails the test when it hangs.
pub(super) async fn finish(command: &mut Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output()).await.expect("the client hangs").unwrap()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until something holds, looking again whenever other tasks have had a turn.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
