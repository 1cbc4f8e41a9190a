//! A server with webhooks, and somebody who pushes to it.

use anyhow::{Context, Result};
use hakata_testkit::{Person, Sandbox, Server, ServerOptions, run, run_with_input};
use serde_json::Value;
use std::time::Duration;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What webhooks are signed with.
pub(crate) const SECRET: &str = "s3cret";

/// A server whose webhooks may reach this machine, and alice with a clone of her repository.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    server: Server,
    alice: Person,
}

impl World {
    pub(crate) fn start() -> Result<Self> {
        Self::allowing("127.0.0.0/8")
    }

    /// Starts a server whose webhooks may reach a network that is not public.
    pub(crate) fn allowing(network: &str) -> Result<Self> {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
        let settings = vec![("egress.allow".to_owned(), network.to_owned())];
        let options = ServerOptions { settings, ..ServerOptions::default() };
        let server = Server::start(&sandbox, &options)?;
        let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
        let world = Self { sandbox, server, alice };
        world.hakata(&["repo", "create", "alice/tools"])?;
        world.git(&["init", "-q", "t"])?;
        Ok(world)
    }

    pub(crate) fn hakata(&self, arguments: &[&str]) -> Result<String> {
        Ok(run(&mut self.sandbox.hakata(arguments))?.expect_success(&arguments.join(" "))?.stdout)
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Result<String> {
        Ok(run(&mut self.alice.git(2, arguments))?.expect_success(&arguments.join(" "))?.stdout)
    }

    /// Adds a webhook with a secret, and gives its id.
    pub(crate) fn add(&self, url: &str, more: &[&str]) -> Result<String> {
        self.add_signed(url, SECRET, more)
    }

    /// Adds a webhook with this secret, and gives its id.
    pub(crate) fn add_signed(&self, url: &str, secret: &str, more: &[&str]) -> Result<String> {
        let arguments = [&["hook", "add", "alice/tools", url, "--secret-stdin", "--json"], more].concat();
        let secret = format!("{secret}\n");
        let added = run_with_input(&mut self.sandbox.hakata(&arguments), secret.as_bytes())?;
        let added = added.expect_success("hook add")?;
        let added: Value = serde_json::from_str(&added.stdout)?;
        Ok(added["id"].as_str().context("an id")?.to_owned())
    }

    pub(crate) fn commit_and_push(&self, message: &str, url: &str, refs: &str) -> Result<()> {
        self.git(&["-C", "t", "commit", "-q", "--allow-empty", "-m", message])?;
        self.git(&["-C", "t", "push", "-q", url, refs]).map(drop)
    }

    pub(crate) fn http(&self) -> String {
        format!("http://{}/alice/tools", self.server.http)
    }

    pub(crate) fn ssh(&self) -> String {
        format!("ssh://git@{}/alice/tools", self.server.ssh)
    }

    /// Lists what a webhook was told, the latest first.
    pub(crate) fn deliveries(&self, id: &str) -> Result<Vec<Value>> {
        let listed = self.hakata(&["hook", "deliveries", id, "--json"])?;
        listed.lines().map(|line| serde_json::from_str(line).context("a delivery is JSON")).collect()
    }

    /// Lists the states of these.
    pub(crate) fn states(&self, id: &str) -> Result<Vec<String>> {
        let deliveries = self.deliveries(id)?;
        let state = |row: &Value| Ok(row["state"].as_str().context("a state")?.to_owned());
        deliveries.iter().map(state).collect()
    }
}
