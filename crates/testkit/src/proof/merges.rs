//! Killing the server while several programs merge.

mod calls;
mod seen;
mod writer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use hakata_names::RepositoryId;
use hakata_rpc::Code;
use hakata_runtime::tasks::Tasks;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::leftovers::{Leftovers, sweeping};
use super::rows::{Counted, Rows};
use super::whole;
use crate::random::random;
use crate::{Person, Sandbox, Server, ServerOptions, run, wait_until};
use calls::{Adds, Asked, Outcome, TOKEN, To, ask};
use seen::Seen;
use writer::{PATH, Writer};

/// How long writers may go on without being killed.
const LIMIT: Duration = Duration::from_secs(120);

/// A server that has not met its fault point after so many changes is killed from outside.
const MAX_CHANGES: usize = 80;

/// Passes that a fault point lets through at most before it kills: so the first of a fresh server is not the only one.
const MAX_PASS: u32 = 4;

/// How much of the merge proof to run.
#[derive(Clone, Debug)]
pub struct Merges {
    /// Fault points to kill at, in turn; every other kill comes from outside, at any moment.
    pub points: Vec<String>,
    /// How many kills.
    pub n_kills: u32,
    /// Programs that merge at once.
    pub n_writers: usize,
    /// The server's configuration.
    pub options: ServerOptions,
    /// Is told after each kill how far the proof is.
    pub progress: fn(&Merged),
}

/// What a merge proof met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Kills while merges ran.
    pub n_killed: u32,
    /// The fault points that killed.
    pub points: BTreeSet<String>,
    /// Changes that were acknowledged before a kill.
    pub n_acknowledged: usize,
    /// Changes whose answer was lost.
    pub n_unanswered: usize,
    /// How many of those had happened.
    pub n_happened: usize,
    /// Kills of a server that swept.
    pub n_sweeps_killed: u32,
    /// Moves of refs whose rows were checked, each once.
    pub n_moves: usize,
}

/// Kills the server again and again while writers commit files, merge, squash, rebase, fast-forward, pick, revert, prepare
/// and fork by calls with keys, over both protocols.
///
/// After each kill the server is started again. Then every acknowledged change is in the history of its branch, every
/// other happened as a whole or not at all. Every call is repeated under its key, twice: it gets the answer that it got,
/// nothing that happened happens again, and what did not happens now. A sweep leaves nothing behind of what the dead
/// had begun; rows tell of every moved ref once; a fresh clone, the cache directory and what was forked are whole.
///
/// The directory of a proof that fails is kept, and named on stderr.
///
/// # Errors
/// If any of that does not hold.
pub fn merges(binary: &Path, proof: &Merges) -> Result<Merged> {
    Sandbox::prove(binary, |sandbox| {
        let mut run = Run::prepare(sandbox, proof)?;
        for round in 0..proof.n_kills {
            let death = run.choose_death(round, proof);
            run.round(round, &death, proof.n_writers).with_context(|| format!("round {round}, {death:?}"))?;
            (proof.progress)(&run.merged);
        }
        Ok(run.merged)
    })
}

/// How the server ends.
#[derive(Clone, Debug)]
enum Death {
    /// At the pass of a fault point.
    Point { name: String, pass: u32 },
    /// From outside, some time after so many changes.
    Outside { after: usize, delay: Duration },
}

struct Run<'a> {
    sandbox: &'a Sandbox,
    options: ServerOptions,
    alice: Person,
    server: Server,
    runtime: Runtime,
    leftovers: Leftovers,
    rows: Rows,
    id: i64,
    merged: Merged,
}

impl<'a> Run<'a> {
    /// Makes a repository with the branch of all and one of each writer.
    fn prepare(sandbox: &'a Sandbox, proof: &Merges) -> Result<Self> {
        let mut options = proof.options.clone();
        for (key, value) in
            [("rpc.grpc", "127.0.0.1:0"), ("rpc.msgpack", "127.0.0.1:0"), ("rpc.tokens", TOKEN)]
        {
            options.settings.push((key.to_owned(), value.to_owned()));
        }
        let server = Server::start(sandbox, &options)?;
        let alice = Person::with_account(sandbox, "alice", &[], &options)?;
        run(&mut alice.git(2, &["init", "--quiet", "t"]))?.expect_success("git init")?;
        let commit = ["-C", "t", "commit", "--quiet", "--allow-empty", "--message", "root"];
        run(&mut alice.git(2, &commit))?.expect_success("git commit")?;
        let url = format!("http://{}/{PATH}", server.http);
        let mut push = vec!["-C", "t", "push", "--quiet", &url, "HEAD:main"];
        let own: Vec<String> = (0..proof.n_writers).map(|index| format!("HEAD:{}", own(index))).collect();
        push.extend(own.iter().map(String::as_str));
        run(&mut alice.git(2, &push))?.expect_success("git push")?;
        let mut this = Self {
            sandbox,
            alice,
            server,
            runtime: tokio::runtime::Runtime::new().context("starting a runtime")?,
            leftovers: Leftovers::of(sandbox, &options)?,
            rows: Rows::of(sandbox, &options)?,
            options,
            id: 0,
            merged: Merged::default(),
        };
        let found = this.ask("repository.get", &json!({ "repository": { "path": PATH } }))?;
        this.id = found["id"].as_i64().context("a repository has a number")?;
        this.server.kill()?;
        Ok(this)
    }

    fn choose_death(&self, round: u32, proof: &Merges) -> Death {
        let point = &proof.points[round as usize / 2 % proof.points.len()];
        if round.is_multiple_of(2) {
            return Death::Point { name: point.clone(), pass: 1 + random(MAX_PASS) };
        }
        let delay = Duration::from_micros(u64::from(random(20_000)));
        Death::Outside { after: 1 + random(40) as usize, delay }
    }

    fn round(&mut self, round: u32, death: &Death, n_writers: usize) -> Result<()> {
        let mut asked = self.write_until_dead(round, death, n_writers)?;
        self.start(&self.options.clone())?;
        let before = self.see(&asked)?;
        before.check(&asked)?;
        self.count(&asked, &before)?;
        self.repeat(&mut asked, &before)?;
        self.see(&asked)?.check(&asked)?;
        self.server.kill()?;
        self.sweep(round)?;
        self.check_repositories(&asked)?;
        self.server.kill()?;
        self.merged.n_moves = self.check_rows(&asked)?.n_moves;
        Ok(())
    }

    /// Lets all writers write until the server is dead; returns what they asked for.
    fn write_until_dead(&mut self, round: u32, death: &Death, n_writers: usize) -> Result<Vec<Asked>> {
        let fault = match death {
            Death::Point { name, pass } => Some(format!("{name}:{pass}")),
            Death::Outside { .. } => None,
        };
        self.start(&ServerOptions { fault, ..self.options.clone() })?;
        let n_acknowledged = Arc::new(AtomicUsize::new(0));
        let (runtime, tasks) = (&self.runtime, Tasks::new());
        let _entered = runtime.enter();
        let mut writers = Vec::new();
        for index in 0..n_writers {
            let writer = Writer {
                name: format!("r{round}w{index}"),
                to: calls::client(&self.server, index, &tasks)?,
                own: own(index),
                n_acknowledged: n_acknowledged.clone(),
                asked: Vec::new(),
            };
            writers.push(runtime.spawn(writer.write(random(18) as usize)));
        }
        let (max, delay) = match death {
            Death::Point { .. } => (MAX_CHANGES, Duration::ZERO),
            Death::Outside { after, delay } => (*after, *delay),
        };
        let mut is_dead = false;
        let waited = wait_until("a kill", LIMIT, || {
            is_dead = self.server.has_ended();
            let is_enough = n_acknowledged.load(Ordering::SeqCst) >= max;
            is_dead || is_enough || writers.iter().all(tokio::task::JoinHandle::is_finished)
        });
        if !is_dead {
            // Nothing waits for this moment: it is any.
            std::thread::sleep(delay);
            self.server.kill()?;
        }
        waited?;
        if let (true, Death::Point { name, .. }) = (is_dead, death) {
            self.merged.points.insert(name.clone());
        }
        self.merged.n_killed += 1;
        let mut asked = Vec::new();
        for writer in writers {
            asked.extend(runtime.block_on(writer).context("a writer panicked")??);
        }
        runtime.block_on(tasks.cut());
        Ok(asked)
    }

    fn count(&mut self, asked: &[Asked], seen: &Seen) -> Result<()> {
        for asked in asked {
            match asked.outcome {
                Outcome::Acknowledged(_) => self.merged.n_acknowledged += 1,
                Outcome::Refused => {}
                Outcome::Unknown => {
                    self.merged.n_unanswered += 1;
                    self.merged.n_happened += usize::from(seen.has(asked)?);
                }
            }
        }
        Ok(())
    }

    /// Repeats every call under its key: first those that happened, which move nothing, then the others.
    fn repeat(&self, asked: &mut [Asked], before: &Seen) -> Result<()> {
        let refs = self.refs()?;
        let (mut happened, mut others) = (Vec::new(), Vec::new());
        for asked in asked {
            match asked.outcome {
                Outcome::Refused => {}
                _ if before.has(asked)? => happened.push(asked),
                _ => others.push(asked),
            }
        }
        let (_entered, tasks) = (self.runtime.enter(), Tasks::new());
        // A call goes over the protocol that it did not take before, or over the same.
        let clients = [calls::client(&self.server, 0, &tasks)?, calls::client(&self.server, 1, &tasks)?];
        for (asked, to) in happened.iter_mut().zip(clients.iter().cycle()) {
            ensure!(self.repeat_one(asked, to)?, "{} {} happened and is refused", asked.operation, asked.key);
        }
        let found = self.refs()?;
        ensure!(found == refs, "calls that were repeated moved refs:\n{refs}\nthen\n{found}");
        for (asked, to) in others.iter_mut().zip(clients.iter().cycle()) {
            if !self.repeat_one(asked, to)? {
                asked.outcome = Outcome::Refused;
            }
        }
        self.runtime.block_on(tasks.cut());
        Ok(())
    }

    /// Repeats a call, and once more if it was acknowledged; false if it is refused.
    fn repeat_one(&self, asked: &mut Asked, to: &To) -> Result<bool> {
        let Asked { operation, request, key, outcome, .. } = asked;
        for _ in 0..2 {
            let answer = match self.runtime.block_on(ask(&**to, operation, request, Some(key))) {
                Ok(answer) => answer,
                Err(status) if matches!(status.code, Code::Aborted | Code::FailedPrecondition) => {
                    ensure!(*outcome == Outcome::Unknown, "{operation} {key}: {outcome:?}, now {status}");
                    return Ok(false);
                }
                Err(status) => bail!("repeating {operation} {key}: {status}"),
            };
            if let Outcome::Acknowledged(first) = outcome {
                ensure!(
                    same(operation, first, &answer),
                    "{operation} {key} was answered {first}, repeated {answer}"
                );
            } else {
                *outcome = Outcome::Acknowledged(answer);
            }
        }
        Ok(true)
    }

    /// Starts a server that sweeps until nothing is left of what its predecessors had begun. The first that finds
    /// something is killed while it sweeps.
    fn sweep(&mut self, round: u32) -> Result<()> {
        let options = sweeping(&self.options);
        let point = if round.is_multiple_of(2) { "sweep.row:1" } else { "sweep.bytes:1" };
        self.start(&ServerOptions { fault: Some(point.to_owned()), ..options.clone() })?;
        if self.leftovers.wait_until_swept(&mut self.server)? {
            return Ok(());
        }
        self.merged.n_sweeps_killed += 1;
        self.start(&options)?;
        let is_swept = self.leftovers.wait_until_swept(&mut self.server)?;
        ensure!(is_swept, "a server that sweeps ended by itself");
        Ok(())
    }

    fn check_repositories(&self, asked: &[Asked]) -> Result<()> {
        for path in self.made(asked)? {
            whole::verify(self.sandbox, &self.options, &path)?;
        }
        whole::clone(self.sandbox, &self.alice, &format!("http://{}/{PATH}", self.server.http))?;
        whole::check(self.sandbox, &self.options, &self.alice, PATH)
    }

    /// Checks the rows of the repository and of all that was forked from it in this round; counts those of the former.
    fn check_rows(&self, asked: &[Asked]) -> Result<Counted> {
        for asked in asked {
            if let (Adds::Repository { path }, Outcome::Acknowledged(answer)) = (&asked.adds, &asked.outcome)
            {
                let id = answer["repository"]["id"].as_i64().context("a repository has a number")?;
                let counted = self.rows.check_changes(RepositoryId::new(id)).context(path.clone())?;
                ensure!(counted.n_moves == 1 && counted.n_events == 1, "{path}: {counted:?}");
            }
        }
        self.rows.check_changes(RepositoryId::new(self.id))
    }

    /// Clones the repository, and asks which of the forks are there.
    fn see(&self, asked: &[Asked]) -> Result<Seen> {
        whole::clone(self.sandbox, &self.alice, &format!("http://{}/{PATH}", self.server.http))?;
        Seen::read(&self.alice, asked, self.made(asked)?)
    }

    /// Lists the forks that are there.
    fn made(&self, asked: &[Asked]) -> Result<BTreeSet<String>> {
        let mut made = BTreeSet::new();
        for asked in asked {
            if let Adds::Repository { path } = &asked.adds {
                let request = json!({ "repository": { "path": path } });
                if self.ask("repository.exists", &request)?["exists"] == true {
                    made.insert(path.clone());
                }
            }
        }
        Ok(made)
    }

    /// Asks a question.
    fn ask(&self, operation: &str, request: &Value) -> Result<Value> {
        let (_entered, tasks) = (self.runtime.enter(), Tasks::new());
        let to = calls::client(&self.server, 0, &tasks)?;
        let answer = self.runtime.block_on(ask(&*to, operation, request, None));
        answer.map_err(|status| anyhow!("{operation} {request}: {status}"))
    }

    fn refs(&self) -> Result<String> {
        let url = format!("http://{}/{PATH}", self.server.http);
        let listed = run(&mut self.alice.git(2, &["ls-remote", &url]))?;
        Ok(listed.expect_success("git ls-remote")?.stdout)
    }

    fn start(&mut self, options: &ServerOptions) -> Result<()> {
        self.server = self.server.start_again(self.sandbox, options)?;
        Ok(())
    }
}

/// The branch that one writer alone moves.
fn own(index: usize) -> String {
    format!("refs/heads/own/{index}")
}

/// Whether an answer is that of before. Of a fork it is the repository that counts: what its making took is told once.
fn same(operation: &str, first: &Value, again: &Value) -> bool {
    if operation == "repository.fork" {
        return first["repository"]["id"] == again["repository"]["id"];
    }
    first == again
}
