//! People with a home, a key and a token.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::sandbox::path_variable;
use crate::{Sandbox, Server, ServerOptions, run};

/// Somebody who uses git: with an account, or anonymous.
#[derive(Clone, Debug)]
pub struct Person {
    /// The account's name; `-` for somebody without one.
    pub name: String,
    /// The account's access token.
    pub token: Option<String>,
    home: PathBuf,
    work: PathBuf,
}

/// The name that stands for somebody without an account.
const STRANGER: &str = "-";

impl Person {
    /// Makes an account with a fresh ed25519 key and a token for reading and writing repositories; `flags` go to
    /// `hakata user add`.
    ///
    /// # Errors
    /// If a program fails.
    pub fn with_account(
        sandbox: &Sandbox,
        name: &str,
        flags: &[&str],
        server: &ServerOptions,
    ) -> Result<Self> {
        let mut person = Self::without_account(sandbox, name)?;
        let key = person.new_key("id_ed25519", &["-t", "ed25519"])?;
        let key = key.to_str().context("a sandbox's path is UTF-8")?;
        let add = [&["user", "add", name, "--key", key], flags].concat();
        run(sandbox.hakata(&add).envs(server.environment()))?.expect_success("hakata user add")?;
        let new = ["token", "new", "--user", name, "--scope", "repo:read,repo:write"];
        let token = run(sandbox.hakata(&new).envs(server.environment()))?
            .expect_success("hakata token new")?
            .stdout
            .trim()
            .to_owned();
        person.write_git_configuration(Some(&token))?;
        person.token = Some(token);
        Ok(person)
    }

    /// Makes a home for somebody without an account: no token, and a key that nobody knows.
    ///
    /// # Errors
    /// If the home cannot be made.
    pub fn without_account(sandbox: &Sandbox, name: &str) -> Result<Self> {
        let home = sandbox.path().join("home").join(if name == STRANGER { "stranger" } else { name });
        std::fs::create_dir_all(home.join(".ssh")).context("making a home")?;
        let known_hosts = sandbox.path().join("home/known_hosts");
        let config = format!(
            "Host *\n  IdentityFile {}/.ssh/id_ed25519\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
             StrictHostKeyChecking accept-new\n  BatchMode yes\n",
            home.display(),
            known_hosts.display()
        );
        std::fs::write(home.join(".ssh/config"), config).context("writing ssh's configuration")?;
        let person = Self { name: name.to_owned(), token: None, home, work: sandbox.work() };
        person.write_git_configuration(None)?;
        if name == STRANGER {
            person.new_key("id_ed25519", &["-t", "ed25519"])?;
        }
        Ok(person)
    }

    /// Makes a key pair in the person's `.ssh` and returns the public key's path.
    ///
    /// # Errors
    /// If ssh-keygen fails.
    pub fn new_key(&self, file: &str, kind: &[&str]) -> Result<PathBuf> {
        let key = self.home.join(".ssh").join(file);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(kind).args(["-q", "-N", "", "-C", &self.name, "-f"]).arg(&key);
        run(&mut keygen)?.expect_success("ssh-keygen")?;
        Ok(key.with_extension("pub"))
    }

    /// A command with this person's environment, in the sandbox's working directory.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let ssh = format!("ssh -F {}/.ssh/config", self.home.display());
        command.env_clear().env("PATH", path_variable()).env("HOME", &self.home).current_dir(&self.work);
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", ssh);
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command
    }

    /// A `git` command of this person, speaking the given protocol version.
    pub fn git(&self, version: u8, arguments: &[&str]) -> Command {
        let mut command = self.command("git");
        command.args(["-c", &format!("protocol.version={version}")]).args(arguments);
        command
    }

    /// An `ssh` command of this person to the server.
    pub fn ssh(&self, server: &Server, arguments: &[&str]) -> Command {
        let mut command = self.command("ssh");
        let (host, port) = server.ssh.rsplit_once(':').unwrap_or((&server.ssh, "22"));
        command
            .arg("-F")
            .arg(self.home.join(".ssh/config"))
            .args(["-p", port, &format!("git@{host}")])
            .args(arguments);
        command
    }

    fn write_git_configuration(&self, token: Option<&str>) -> Result<()> {
        let (name, mut text) = (&self.name, String::new());
        text.push_str(&format!("[user]\n\tname = {name}\n\temail = {name}@example.com\n"));
        text.push_str("[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n");
        if let Some(token) = token {
            let helper =
                format!("test \\\"$1\\\" = get && printf 'username=%s\\\\npassword=%s\\\\n' {name} {token}");
            text.push_str(&format!("[credential]\n\thelper = \"!f() {{ {helper}; }}; f\"\n"));
        }
        std::fs::write(self.home.join(".gitconfig"), text).context("writing git's configuration")
    }
}
