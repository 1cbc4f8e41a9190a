//! Who answers how fast, in turns.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use super::git_command::GitCommand;
use super::libgit2::Libgit2;
use super::node::{Here, Node};
use super::ours::{Ours, Way};
use super::peers::Peer;
use super::plain_gix::PlainGix;
use super::question::Question;
use super::subject::Subject;
use crate::Effort;

/// The variable of the environment that chooses questions, by their names with semicolons between.
const QUESTIONS: &str = "HAKATA_BENCH_QUESTIONS";

/// Whoever takes longer for one answer is not asked again.
const PATIENCE: Duration = Duration::from_secs(4);

/// Time that one peer gets in a round, if its answers are that quick.
const TURN: Duration = Duration::from_millis(15);

/// Answers that one peer gives in a round at most.
const MAX_ANSWERS: usize = 20;

/// What two runs of the same code differ by here: a peer is no faster if it is faster by less.
const NOISE: f64 = 1.05;

/// What one peer said, and how fast it was at best.
struct Measured<'a> {
    peer: &'a dyn Peer,
    /// `None` if it cannot answer.
    best: Option<Duration>,
    words: Vec<u8>,
    is_patient: bool,
}

pub(super) fn print_head() {
    println!(
        "\n| repository | operation | local ms | gRPC ms | MessagePack ms | git ms | libgit2 ms | gix ms \
         | × git (at least) | × best other | |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
}

/// Measures all operations on one repository; `false` if a goal is missed.
pub(super) fn measure(
    runtime: &Runtime,
    node: &Node,
    here: &Here,
    subject: &Subject,
    effort: Effort,
) -> Result<bool> {
    let scratch = tempfile::tempdir().context("making a folder for trees")?;
    let ours = |name, to, fresh| Ours { name, runtime, to, fresh };
    let (grpc, msgpack) = (node.grpc()?, node.msgpack());
    let local =
        ours("local", Way::Local(here.operations()), Some(Box::new(|| Way::Local(here.operations()))));
    let grpc = ours("gRPC", Way::Grpc(grpc), None);
    let msgpack = ours("MessagePack", Way::Msgpack(msgpack), None);
    let git = GitCommand { scratch: scratch.path() };
    let libgit2 = Libgit2::open(&subject.path)?;
    let gix = PlainGix::open(&subject.path)?;
    let peers: [&dyn Peer; 6] = [&local, &grpc, &msgpack, &git, &libgit2, &gix];
    let mut all_met = true;
    let chosen = std::env::var(QUESTIONS).unwrap_or_default();
    for question in Question::ALL {
        if is_chosen(question, &chosen) && is_asked(question, subject) {
            all_met &= compare(&peers, question, subject, effort)
                .with_context(|| format!("{} of {}", question.name(), subject.shown))?;
        }
    }
    Ok(all_met)
}

/// Says whether a question is among those that were chosen; without a choice all are.
fn is_chosen(question: Question, chosen: &str) -> bool {
    chosen.is_empty() || chosen.split(';').any(|name| name == question.name())
}

/// Says whether the repository has what the question is about.
fn is_asked(question: Question, subject: &Subject) -> bool {
    match question {
        Question::Revision => subject.n_commits > 10,
        Question::MergeBases | Question::Merges => !subject.merges.is_empty(),
        Question::AheadBehind => !subject.compared.is_empty(),
        Question::SmallDiff => subject.small.is_some(),
        Question::Diffs => !subject.diffs.is_empty(),
        _ => true,
    }
}

fn compare(peers: &[&dyn Peer; 6], question: Question, subject: &Subject, effort: Effort) -> Result<bool> {
    let mut all = Vec::new();
    for peer in peers {
        all.push(Measured::first(*peer, question, subject)?);
    }
    for _ in 0..effort.rounds() {
        for measured in &mut all {
            measured.turn(question, subject)?;
        }
    }
    Ok(print(&all, question, subject))
}

impl<'a> Measured<'a> {
    /// Asks once, to warm up and to hear what the answer is.
    fn first(peer: &'a dyn Peer, question: Question, subject: &Subject) -> Result<Self> {
        let started = Instant::now();
        let Some(answer) = peer.ask(question, subject) else {
            return Ok(Self { peer, best: None, words: Vec::new(), is_patient: false });
        };
        let answer = answer.with_context(|| format!("asking {}", peer.name()))?;
        let took = started.elapsed();
        let words = answer().with_context(|| format!("reading what {} says", peer.name()))?;
        Ok(Self { peer, best: Some(took), words, is_patient: took < PATIENCE })
    }

    fn turn(&mut self, question: Question, subject: &Subject) -> Result<()> {
        let begun = Instant::now();
        for _ in 0..MAX_ANSWERS {
            if !self.is_patient || begun.elapsed() > TURN {
                break;
            }
            let started = Instant::now();
            let Some(answer) = self.peer.ask(question, subject) else { break };
            drop(answer.with_context(|| format!("asking {}", self.peer.name()))?);
            let took = started.elapsed();
            self.best = self.best.map(|best| best.min(took));
        }
        Ok(())
    }
}

/// Prints a row; `false` if a goal is missed.
fn print(all: &[Measured<'_>], question: Question, subject: &Subject) -> bool {
    let ms = |measured: &Measured<'_>| measured.best.map(|best| best.as_secs_f64() * 1e3);
    let truth = &all[3].words;
    let cell = |measured: &Measured<'_>| {
        let differs = if measured.words == *truth { "" } else { " ≠" };
        ms(measured).map_or("–".to_owned(), |ms| format!("{ms:.3}{differs}"))
    };
    let cells: Vec<String> = all.iter().map(cell).collect();
    let local = ms(&all[0]).unwrap_or(f64::NAN);
    let than_git = ms(&all[3]).unwrap_or(f64::NAN) / local;
    let best_other = all[3..].iter().filter_map(ms).fold(f64::INFINITY, f64::min) / local;
    let is_right = all[..3].iter().all(|ours| ours.best.is_none() || ours.words == *truth);
    if !is_right {
        for ours in all[..3].iter().filter(|ours| ours.best.is_some() && ours.words != *truth) {
            eprintln!("{} of {}: {}", question.name(), ours.peer.name(), difference(&ours.words, truth));
        }
    }
    let at_least = question.bar().than_git;
    let met = is_right && than_git >= at_least && best_other * NOISE >= 1.0;
    println!(
        "| {} | {} | {} | {than_git:.1} ({at_least}) | {best_other:.2} | {} |",
        subject.shown,
        question.name(),
        cells.join(" | "),
        if met { "met" } else { "MISSED" }
    );
    met
}

/// Names the first line that differs.
fn difference(ours: &[u8], theirs: &[u8]) -> String {
    let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let at = ours.iter().zip(&theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
    format!("line {}: {:?}, git says {:?}", at + 1, ours.get(at), theirs.get(at))
}
