//! OpenSSH's server.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Peer, free_port};
use crate::meter::Meter;

/// Starts sshd with keys of its own and a client key that may log in as the present user.
pub(crate) fn start(folder: &Path) -> Result<Peer> {
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
    let display = home.display();
    // A nested shell: bash would read the user's own .bashrc first, which costs what it costs there and is no part
    // of serving git.
    let configuration = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {display}/host\nAuthorizedKeysFile {display}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\nMaxStartups 200\n\
         SetEnv SHLVL=1\n"
    );
    std::fs::write(home.join("config"), configuration)?;
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.arg("-D").arg("-f").arg(home.join("config")).arg("-E").arg(home.join("log"));
    let (meter, child) = Meter::start("sshd", &mut sshd, &home.join("output"))?;
    Ok(Peer {
        name: "sshd",
        address: format!("127.0.0.1:{port}"),
        base: format!("ssh://127.0.0.1:{port}{}/", folder.join("repositories").display()),
        path: String::new(),
        environment: vec![client(&home.join("client"))],
        meters: vec![meter],
        children: vec![child],
    })
}

/// The environment of a git client that uses this key and believes any host.
pub(crate) fn client(key: &Path) -> (String, String) {
    let options =
        "-o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    ("GIT_SSH_COMMAND".to_owned(), format!("ssh -F /dev/null {options} -i {}", key.display()))
}
