//! Where the proof of jobs plays: a server, a repository, webhooks and those who receive them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hakata_names::{Oid, RefName, WebhookId};
use hakata_store::JobState;
use hakata_store::jobs::{self, KindCount};

use super::super::rows::Rows;
use super::told::{self, Counted, Seen};
use super::{Jobs, LIMIT};
use crate::{Manner, Person, RabbitServer, Sandbox, Server, ServerOptions, WebhookReceiver, run, wait_until};

/// How many receivers there are: few requests at once go to one.
const N_RECEIVERS: usize = 4;

/// How long a receiver may take to answer: so a worker is often killed when a delivery was received and it does not know.
const LONGEST_ANSWER: Duration = Duration::from_millis(100);

/// Pause between two looks at the queue.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The repository that is pushed to.
const PATH: &str = "alice/tools";

/// What all processes are told beside what the proof says. Claims of the dead lapse soon; the broker is looked for soon,
/// and what it may have lost is named again soon.
const SETTINGS: [(&str, &str); 6] = [
    ("database.connections", "8"),
    ("egress.allow", "127.0.0.0/8"),
    ("jobs.lease", "3s"),
    ("jobs.run", "false"),
    ("rabbitmq.longest_pause", "1s"),
    ("rabbitmq.rename_after", "60s"),
];

/// Those who are told.
pub(super) struct Receivers(Vec<WebhookReceiver>);

impl Receivers {
    pub(super) fn start() -> Result<Self> {
        let start = |_| WebhookReceiver::start(Manner::Pauses(LONGEST_ANSWER));
        Ok(Self((0..N_RECEIVERS).map(start).collect::<Result<_>>()?))
    }

    pub(super) fn n_received(&self) -> usize {
        self.0.iter().map(WebhookReceiver::n_received).sum()
    }

    /// Waits until so many requests were received, or it is over; meanwhile some must come all the time.
    pub(super) fn wait_for(&self, n_requests: usize, is_over: impl Fn() -> bool) -> Result<()> {
        loop {
            let n_received = self.n_received();
            if n_received >= n_requests || is_over() {
                return Ok(());
            }
            wait_until("a delivery", LIMIT, || self.n_received() > n_received || is_over())?;
        }
    }
}

/// A server that works at no jobs, and all that was pushed to it.
pub(super) struct Stage<'a> {
    options: ServerOptions,
    alice: Person,
    server: Server,
    receivers: &'a Receivers,
    rows: Rows,
    hooks: Vec<WebhookId>,
    moves: Vec<(RefName, Oid)>,
}

impl<'a> Stage<'a> {
    pub(super) fn set(
        sandbox: &Sandbox,
        proof: &Jobs,
        receivers: &'a Receivers,
        broker: Option<&RabbitServer>,
    ) -> Result<Self> {
        let mut options = proof.options.clone();
        let mut set = |key: &str, value: String| options.settings.push((key.to_owned(), value));
        SETTINGS.iter().for_each(|(key, value)| set(key, (*value).to_owned()));
        set("storage.blobs", sandbox.path().join("blobs").display().to_string());
        if let Some(broker) = broker {
            set("rabbitmq.url", broker.url());
        }
        let server = Server::start(sandbox, &options)?;
        let alice = Person::with_account(sandbox, "alice", &[], &options)?;
        let hakata = |arguments: &[&str]| {
            let output = run(sandbox.hakata(arguments).envs(options.environment()))?;
            Ok::<_, anyhow::Error>(output.expect_success(&arguments.join(" "))?.stdout)
        };
        hakata(&["repo", "create", PATH])?;
        let mut hooks = Vec::new();
        for index in 0..proof.n_hooks {
            let url = receivers.0[index % N_RECEIVERS].url("/");
            let added = hakata(&["hook", "add", PATH, &url, "--events", "push", "--json"])?;
            let added: serde_json::Value = serde_json::from_str(&added)?;
            let id = added["id"].as_str().context("a webhook has an id")?;
            hooks.push(WebhookId::new(id.parse().context("reading a webhook's id")?));
        }
        run(&mut alice.git(2, &["init", "--quiet", "t"]))?.expect_success("git init")?;
        let rows = Rows::of(sandbox, &options)?;
        Ok(Self { options, alice, server, receivers, rows, hooks, moves: Vec::new() })
    }

    pub(super) fn options(&self) -> &ServerOptions {
        &self.options
    }

    pub(super) fn receivers(&self) -> &'a Receivers {
        self.receivers
    }

    /// Counts the deliveries that pushes caused so far.
    pub(super) fn n_caused(&self) -> usize {
        self.moves.len() * self.hooks.len()
    }

    /// Makes a commit, moves refs to it by one push, and measures that.
    pub(super) fn push(&mut self, refs: &[String]) -> Result<Duration> {
        let message = format!("{} moves before", self.moves.len());
        self.git(&["-C", "t", "commit", "--quiet", "--allow-empty", "--message", &message])?;
        let tip = Oid::parse_hex(self.git(&["-C", "t", "rev-parse", "HEAD"])?.trim().as_bytes())?;
        let url = format!("http://{}/{PATH}", self.server.http);
        let moves: Vec<String> = refs.iter().map(|name| format!("HEAD:{name}")).collect();
        let mut push = vec!["-C", "t", "push", "--quiet", &url];
        push.extend(moves.iter().map(String::as_str));
        let began = Instant::now();
        self.git(&push)?;
        let took = began.elapsed();
        for name in refs {
            self.moves.push((RefName::parse(name.as_bytes())?, tip));
        }
        Ok(took)
    }

    /// Counts the jobs that wait.
    pub(super) fn n_waiting(&self) -> Result<i64> {
        Ok(self
            .counts()?
            .iter()
            .filter(|count| count.state == JobState::Waiting)
            .map(|count| count.n_jobs)
            .sum())
    }

    /// Waits until every job is finished; none may be buried, and something must get done all the time.
    pub(super) fn wait_until_idle(&self) -> Result<()> {
        let (mut last, mut since) = (None, Instant::now());
        loop {
            let counts = self.counts()?;
            let is_buried = counts.iter().any(|count| count.state == JobState::Buried);
            ensure!(!is_buried, "jobs are buried: {counts:?}");
            if counts.is_empty() {
                return Ok(());
            }
            ensure!(since.elapsed() < LIMIT, "nobody works at what waits: {counts:?}");
            let now = Some((self.receivers.n_received(), counts));
            if now != last {
                (last, since) = (now, Instant::now());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Checks all that was told, and the rows of the repository.
    pub(super) fn check(self) -> Result<Counted> {
        let received = self.receivers.0.iter().flat_map(WebhookReceiver::received).collect();
        let seen = Seen { hooks: self.hooks, moves: self.moves, received };
        let counted = told::check(&self.rows, &seen)?;
        self.rows.check_changes(counted.repository)?;
        Ok(counted)
    }

    fn counts(&self) -> Result<Vec<KindCount>> {
        self.rows.read(async |conn| Ok(jobs::count(conn).await?))
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = run(&mut self.alice.git(2, arguments))?;
        Ok(output.expect_success(&format!("git {arguments:?}"))?.stdout)
    }
}
