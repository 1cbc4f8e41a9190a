//! OpenSSH's server in front of git-shell, the login shell that git ships for this.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Peer, free_port};
use crate::meter::Meter;
use crate::repositories::git;

/// The account that clients log in as.
const ACCOUNT: &str = "hakata-bench-git";

/// A system account whose login shell is git-shell, made for one run and removed when dropped.
pub(crate) struct Account {
    _private: (),
}

/// Starts sshd with keys of its own and a client key that may log in as an account that has git-shell.
pub(crate) fn start(folder: &Path) -> Result<(Peer, Account)> {
    let account = Account::make()?;
    let (port, home) = (free_port()?, folder.join("sshd"));
    std::fs::create_dir(&home)?;
    for key in ["host", "client"] {
        let keygen = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(home.join(key))
            .status();
        ensure!(keygen.context("running ssh-keygen")?.success(), "ssh-keygen failed");
    }
    std::fs::copy(home.join("client.pub"), home.join("authorized_keys"))?;
    std::fs::create_dir_all("/run/sshd").ok();
    // The account reads keys and repositories; nobody else is let into the folder.
    for readable in [folder, &home] {
        run(Command::new("chmod").arg("a+x").arg(readable))?;
    }
    let display = home.display();
    let configuration = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {display}/host\nAuthorizedKeysFile {display}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM no\nAcceptEnv GIT_PROTOCOL\nMaxStartups 200\n\
         SetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n"
    );
    std::fs::write(home.join("config"), configuration)?;
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.arg("-D").arg("-f").arg(home.join("config")).arg("-E").arg(home.join("log"));
    let (meter, child) = Meter::start("sshd", &mut sshd, &home.join("output"))?;
    let peer = Peer {
        name: "sshd+git-shell",
        address: format!("127.0.0.1:{port}"),
        base: format!("ssh://{ACCOUNT}@127.0.0.1:{port}{}/", folder.join("repositories").display()),
        path: String::new(),
        environment: vec![client(&home.join("client"))],
        meters: vec![meter],
        children: vec![child],
    };
    Ok((peer, account))
}

/// The environment of a git client that uses this key and believes any host.
pub(crate) fn client(key: &Path) -> (String, String) {
    let options =
        "-o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    ("GIT_SSH_COMMAND".to_owned(), format!("ssh -F /dev/null {options} -i {}", key.display()))
}

impl Account {
    fn make() -> Result<Self> {
        let shell = PathBuf::from(git(None, &["--exec-path"])?.trim()).join("git-shell");
        // One that a killed run left behind.
        drop(Self { _private: () });
        let mut add = Command::new("/usr/sbin/useradd");
        add.args(["--system", "--no-create-home", "--home-dir", "/", "--password", "*", "--shell"]);
        run(add.arg(shell).arg(ACCOUNT)).context("making an account with git-shell, which takes root")?;
        Ok(Self { _private: () })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // By force: the last session may just be ending.
        let _ = Command::new("/usr/sbin/userdel").args(["--force", ACCOUNT]).output();
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {:?}", command.get_program()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
