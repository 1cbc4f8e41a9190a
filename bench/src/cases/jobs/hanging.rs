//! Whether a receiver that answers no request until its deadline delays what other receivers are told.
//!
//! Two servers of the real binary are pushed to in turns. Both tell two receivers of every push, and one of them also
//! tells a third that hangs. A push moves several branches, and what is measured is the time from its end to the arrival
//! of each delivery at the two that answer.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hakata_testkit::{Manner, Person, Sandbox, Server, ServerOptions, WebhookReceiver, run, wait_until};

use super::Amount;
use super::figures::{Bar, Figures};

/// The most that the 99th percentile may grow.
const MOST: f64 = 1.2;

/// Branches that a push moves.
const N_REFS: usize = 8;

/// Receivers that answer.
const N_QUICK: usize = 2;

/// How long a delivery may take before something is broken.
const LIMIT: Duration = Duration::from_secs(120);

/// A server, and who it tells.
struct Side {
    // Dropped in this order.
    server: Server,
    alice: Person,
    quick: Vec<WebhookReceiver>,
    hanging: Option<WebhookReceiver>,
    n_pushes: usize,
    took: Vec<Duration>,
    _sandbox: Sandbox,
}

pub(super) fn measure(binary: &Path, amount: Amount, figures: &mut Figures) -> Result<()> {
    eprintln!("measuring deliveries beside a receiver that hangs");
    let (mut alone, mut beside) = (Side::start(binary, None)?, Side::start(binary, Some(Manner::Hangs))?);
    for nth in 0..=amount.n_pushes {
        // Whoever is first has what the other left in the machine's caches.
        match nth % 2 {
            0 => {
                alone.push()?;
                beside.push()?;
            }
            _ => {
                beside.push()?;
                alone.push()?;
            }
        }
        // The first is to warm up.
        if nth == 0 {
            alone.took.clear();
            beside.took.clear();
        }
    }
    let n_asked = beside.hanging.as_ref().map_or(0, WebhookReceiver::n_received);
    ensure!(n_asked > 0, "the receiver that hangs was asked");
    let case = "deliveries";
    let (_, alone) = figures.times(case, "with receivers that answer", &alone.took);
    let (_, beside) = figures.times(case, "beside one that hangs", &beside.took);
    figures.goal(format!("{case} beside one that hangs, p99"), beside / alone, Bar::AtMost(MOST));
    Ok(())
}

impl Side {
    fn start(binary: &Path, hanging: Option<Manner>) -> Result<Self> {
        let sandbox = Sandbox::new(binary)?;
        let settings = vec![("egress.allow".to_owned(), "127.0.0.0/8".to_owned())];
        let options = ServerOptions { settings, ..ServerOptions::default() };
        let server = Server::start(&sandbox, &options)?;
        let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
        let hakata = |args: &[&str]| run(&mut sandbox.hakata(args))?.expect_success("hakata");
        hakata(&["repo", "create", "alice/tools"])?;
        let quick: Result<Vec<WebhookReceiver>> =
            (0..N_QUICK).map(|_| WebhookReceiver::start(Manner::Answers(&["200 OK"]))).collect();
        let quick = quick?;
        let hanging = hanging.map(WebhookReceiver::start).transpose()?;
        for receiver in quick.iter().chain(&hanging) {
            hakata(&["hook", "add", "alice/tools", &receiver.url("/"), "--events", "push"])?;
        }
        run(&mut alice.git(2, &["init", "--quiet", "t"]))?.expect_success("git init")?;
        let (n_pushes, took) = (0, Vec::new());
        Ok(Self { server, alice, quick, hanging, n_pushes, took, _sandbox: sandbox })
    }

    /// Pushes branches that are new, and waits until both are told of each.
    fn push(&mut self) -> Result<()> {
        let before: Vec<usize> = self.quick.iter().map(WebhookReceiver::n_received).collect();
        let message = format!("push {}", self.n_pushes);
        let commit = ["-C", "t", "commit", "--quiet", "--allow-empty", "--message", &message];
        run(&mut self.alice.git(2, &commit))?.expect_success("git commit")?;
        let refs: Vec<String> =
            (0..N_REFS).map(|nth| format!("HEAD:refs/heads/b{}-{nth}", self.n_pushes)).collect();
        let url = format!("http://{}/alice/tools", self.server.http);
        let mut push = vec!["-C", "t", "push", "--quiet", &url];
        push.extend(refs.iter().map(String::as_str));
        run(&mut self.alice.git(2, &push))?.expect_success("git push")?;
        let pushed = Instant::now();
        for (receiver, before) in self.quick.iter().zip(&before) {
            wait_until("deliveries", LIMIT, || receiver.n_received() >= before + N_REFS)?;
            let received = receiver.received();
            ensure!(received.len() == before + N_REFS, "each branch is told of once");
            let took = received[*before..].iter().map(|one| one.at.saturating_duration_since(pushed));
            self.took.extend(took);
        }
        self.n_pushes += 1;
        Ok(())
    }
}
