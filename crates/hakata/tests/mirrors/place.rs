//! Two servers that reach each other, and who has an account on each.

use std::time::Duration;

use anyhow::{Context, Result};
use hakata_testkit::{Person, Sandbox, Server, ServerOptions, run, run_with_input, wait_until};
use serde_json::Value;

pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A server and somebody with an account on it.
pub(crate) struct Place {
    pub(crate) sandbox: Sandbox,
    pub(crate) options: ServerOptions,
    pub(crate) server: Server,
    pub(crate) person: Person,
}

impl Place {
    /// Starts a server that may reach this machine, unless `settings` say otherwise.
    pub(crate) fn start(name: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
        let defaults = [("egress.allow", "127.0.0.0/8"), ("jobs.lease", "2s"), ("mirrors.least_every", "1s")];
        let settings =
            defaults.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let options = ServerOptions { settings: settings.collect(), ..ServerOptions::default() };
        let server = Server::start(&sandbox, &options)?;
        let person = Person::with_account(&sandbox, name, &[], &options)?;
        Ok(Self { sandbox, options, server, person })
    }

    pub(crate) fn hakata(&self, arguments: &[&str]) -> Result<String> {
        Ok(run(&mut self.sandbox.hakata(arguments))?.expect_success(&arguments.join(" "))?.stdout)
    }

    /// Runs a command that reads a password, and gives the id in its answer.
    pub(crate) fn with_password(&self, arguments: &[&str], password: &str) -> Result<String> {
        let arguments = [arguments, &["--json"]].concat();
        let answer =
            run_with_input(&mut self.sandbox.hakata(&arguments), format!("{password}\n").as_bytes())?;
        let answer: Value = serde_json::from_str(&answer.expect_success(&arguments.join(" "))?.stdout)?;
        Ok(answer["id"].as_str().context("an id")?.to_owned())
    }

    pub(crate) fn rows(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let listed = self.hakata(&[arguments, &["--json"]].concat())?;
        listed.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Result<String> {
        Ok(run(&mut self.person.git(2, arguments))?.expect_success(&arguments.join(" "))?.stdout)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.server.http)
    }

    pub(crate) fn token(&self) -> &str {
        self.person.token.as_deref().unwrap_or_default()
    }

    /// Lists what clones would see, `HEAD` included.
    pub(crate) fn refs(&self, path: &str) -> Result<String> {
        self.git(&["ls-remote", "--symref", &self.url(path)])
    }

    /// Commits in a clone.
    pub(crate) fn commit(&self, message: &str) -> Result<()> {
        self.git(&["-C", "t", "commit", "-q", "--allow-empty", "-m", message]).map(drop)
    }

    /// Makes a repository with branches, a tag, and a clone `t` of it.
    pub(crate) fn furnish(&self, path: &str) -> Result<()> {
        self.git(&["init", "-q", "t"])?;
        self.commit("one")?;
        self.git(&["-C", "t", "branch", "topic"])?;
        self.git(&["-C", "t", "branch", "release/1"])?;
        self.git(&["-C", "t", "tag", "-m", "v1", "v1"])?;
        self.git(&["-C", "t", "push", "-q", "--mirror", &self.url(path)]).map(drop)
    }

    /// Lets a mirror sync, and waits for the end of that.
    pub(crate) fn sync(&self, id: &str, state: &str) -> Result<Value> {
        let before = self.mirror(id)?["tried_at"].as_i64();
        self.hakata(&["repo", "mirror", "sync", id])?;
        let mut seen = Value::Null;
        wait_until(&format!("mirror {id} to be {state}"), LIMIT, || {
            seen = self.mirror(id).unwrap_or_default();
            seen["state"] == state && seen["tried_at"].as_i64() != before
        })
        .with_context(|| format!("{seen}\n{}", self.sandbox.log()))?;
        Ok(seen)
    }

    pub(crate) fn mirror(&self, id: &str) -> Result<Value> {
        let rows = self.rows(&["repo", "mirror", "list"])?;
        rows.into_iter().find(|row| row["id"] == id).context("the mirror is listed")
    }

    /// Waits until a mirror is in a state.
    pub(crate) fn until(&self, id: &str, state: &str) -> Result<Value> {
        let mut seen = Value::Null;
        wait_until(&format!("mirror {id} to be {state}"), LIMIT, || {
            seen = self.mirror(id).unwrap_or_default();
            seen["state"] == state
        })
        .with_context(|| format!("{seen}\n{}", self.sandbox.log()))?;
        Ok(seen)
    }
}

/// A pair of servers: there alice's `tools` is, here bob's will follow it.
pub(crate) fn pair(settings: &[(&str, &str)]) -> Result<(Place, Place)> {
    let there = Place::start("alice", &[])?;
    there.furnish("alice/tools")?;
    Ok((there, Place::start("bob", settings)?))
}

pub(crate) fn pull(there: &Place, here: &Place, more: &[&str]) -> Result<String> {
    let url = there.url("alice/tools");
    let add = ["repo", "mirror", "add", "bob/tools", &url, "--pull", "--user", "alice", "--password-stdin"];
    here.with_password(&[&add, more].concat(), there.token())
}
