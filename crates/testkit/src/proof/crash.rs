//! Killing the server at every step of a push.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::leftovers::{Leftovers, sweeping};
use super::whole;
use crate::{Person, Sandbox, Server, ServerOptions, run};

/// How much of the crash proof to run.
#[derive(Clone, Debug)]
pub struct Crash {
    /// Fault points to kill at, in turn.
    pub points: Vec<String>,
    /// How many pushes meet a kill at the least.
    pub n_pushes: u32,
    /// The server's configuration.
    pub options: ServerOptions,
    /// Is told after each kill how far the proof is.
    pub progress: fn(&Crashed),
}

/// What a crash proof met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crashed {
    /// Pushes that met a kill.
    pub n_killed: u32,
    /// How many of those had been acknowledged.
    pub n_acknowledged: u32,
    /// Sweeps of what a push had left that met a kill as well.
    pub n_sweeps_killed: u32,
}

/// Pushes again and again to a server that kills itself at one step after the other.
///
/// Every acknowledged push is followed by a kill as well. After each kill the server is started again and sweeps; if
/// there is something to sweep, it is killed once in the middle of that too. Then nothing is left of what the dead had
/// begun, every acknowledged push is there, any other left its ref where it was or where it wanted to go, and `git
/// fsck` of the repository is clean.
///
/// The directory of a proof that fails is kept, and named on stderr.
///
/// # Errors
/// If any of that does not hold.
pub fn crash(binary: &Path, proof: &Crash) -> Result<Crashed> {
    Sandbox::prove(binary, |sandbox| rounds(sandbox, proof))
}

fn rounds(sandbox: &Sandbox, proof: &Crash) -> Result<Crashed> {
    let mut run_of = Run::prepare(sandbox, proof)?;
    let mut n = Crashed::default();
    for round in 0.. {
        if n.n_killed >= proof.n_pushes {
            break;
        }
        ensure!(round < proof.n_pushes * 4, "only {} of {round} pushes met a kill", n.n_killed);
        let (turn, at) = (round as usize / proof.points.len(), round as usize % proof.points.len());
        let point = &proof.points[at];
        // A fresh server passes the cache's points when it opens the repository; the second pass follows the commit.
        let pass = if point.starts_with("cache.") && turn % 2 == 1 { 2 } else { 1 };
        let point = &format!("{point}:{pass}");
        let transport = if round / 2 % 2 == 0 { "http" } else { "ssh" };
        let met = run_of
            .push_and_check(round, point, transport)
            .with_context(|| format!("round {round}, {point}, {transport}"));
        if let Some(acknowledged) = met? {
            n.n_killed += 1;
            n.n_acknowledged += u32::from(acknowledged);
            n.n_sweeps_killed = run_of.n_sweeps_killed;
            (proof.progress)(&n);
        }
    }
    n.n_sweeps_killed = run_of.n_sweeps_killed;
    Ok(n)
}

struct Run<'a> {
    sandbox: &'a Sandbox,
    options: ServerOptions,
    alice: Person,
    server: Server,
    leftovers: Leftovers,
    tip: String,
    n_commits: u32,
    n_sweeps_killed: u32,
}

impl<'a> Run<'a> {
    fn prepare(sandbox: &'a Sandbox, proof: &Crash) -> Result<Self> {
        let server = Server::start(sandbox, &proof.options)?;
        let alice = Person::with_account(sandbox, "alice", &[], &proof.options)?;
        let create = ["repo", "create", "alice/tools"];
        run(sandbox.hakata(&create).envs(proof.options.environment()))?
            .expect_success("hakata repo create")?;
        run(&mut alice.git(2, &["init", "--quiet", "t"]))?.expect_success("git init")?;
        let mut this = Self {
            sandbox,
            options: proof.options.clone(),
            alice,
            server,
            leftovers: Leftovers::of(sandbox, &proof.options)?,
            tip: String::new(),
            n_commits: 0,
            n_sweeps_killed: 0,
        };
        this.tip = this.commit()?;
        let url = this.url("http");
        this.git(&["push", "--quiet", &url, "HEAD:main"])?;
        Ok(this)
    }

    /// One push against a server armed at `point`, a name and the pass to kill at; `None` if the push did not reach it.
    fn push_and_check(&mut self, round: u32, point: &str, transport: &str) -> Result<Option<bool>> {
        // The push of the last round was acknowledged a moment ago.
        self.server.kill()?;
        let armed = ServerOptions { fault: Some(point.to_owned()), ..self.options.clone() };
        self.server = self.server.start_again(self.sandbox, &armed)?;
        let old = self.tip.clone();
        let new = self.commit()?;
        let push =
            run(&mut self.alice.git(2, &["-C", "t", "push", "--quiet", &self.url(transport), "HEAD:main"]))?;
        let acknowledged = push.success();
        // A point behind the reply is met a moment later.
        let killed =
            crate::wait_until("the kill", std::time::Duration::from_secs(3), || self.server.has_ended())
                .is_ok();
        if !killed {
            self.server.stop()?;
        }
        self.sweep(round)?;
        let found = self.server_tip()?;
        ensure!(!acknowledged || found == new, "an acknowledged push is lost: {found}, not {new}");
        ensure!(found == old || found == new, "main is {found}, neither {old} nor {new}: {}", push.stderr);
        whole::clone(self.sandbox, &self.alice, &self.url("http"))?;
        whole::check(self.sandbox, &self.options, &self.alice, "alice/tools")?;
        // A server that sweeps what is a second old is not for pushing to.
        self.server.kill()?;
        self.server = self.server.start_again(self.sandbox, &self.options)?;
        let url = self.url(transport);
        self.git(&["push", "--quiet", &url, "HEAD:main"]).context("pushing again")?;
        ensure!(self.server_tip()? == new, "the repeated push did not arrive");
        self.tip = new;
        Ok(killed.then_some(acknowledged))
    }

    /// Starts a server that sweeps until nothing is left of what its predecessor had begun. The first that finds
    /// something is killed while it sweeps.
    fn sweep(&mut self, round: u32) -> Result<()> {
        let options = sweeping(&self.options);
        let point = if round.is_multiple_of(2) { "sweep.row:1" } else { "sweep.bytes:1" };
        let armed = ServerOptions { fault: Some(point.to_owned()), ..options.clone() };
        self.server = self.server.start_again(self.sandbox, &armed)?;
        if self.leftovers.wait_until_swept(&mut self.server)? {
            return Ok(());
        }
        self.n_sweeps_killed += 1;
        self.server = self.server.start_again(self.sandbox, &options)?;
        let is_swept = self.leftovers.wait_until_swept(&mut self.server)?;
        ensure!(is_swept, "a server that sweeps ended by itself");
        Ok(())
    }

    fn commit(&mut self) -> Result<String> {
        self.n_commits += 1;
        let name = format!("f{}", self.n_commits);
        // Every third commit is too large to live in a row of the database.
        let length = if self.n_commits.is_multiple_of(3) { 200_000 } else { 100 };
        let mut bytes = vec![0; length];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("asking for random bytes: {error}"))?;
        std::fs::write(self.sandbox.work().join("t").join(&name), bytes)?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", &name])?;
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = run(&mut self.alice.git(2, &[&["-C", "t"], arguments].concat()))?;
        Ok(output.expect_success(&format!("git {arguments:?}"))?.stdout.trim().to_owned())
    }

    fn server_tip(&self) -> Result<String> {
        let listing = self.git(&["ls-remote", &self.url("http"), "refs/heads/main"])?;
        Ok(listing.split('\t').next().unwrap_or_default().to_owned())
    }

    fn url(&self, transport: &str) -> String {
        let address =
            if transport == "ssh" { format!("git@{}", self.server.ssh) } else { self.server.http.clone() };
        format!("{transport}://{address}/alice/tools")
    }
}
