//! The reading engine beside the git command, operation by operation, on the same warm repository.
//!
//! Hakata's side is a whole call: the hop to the blocking pool included. git's side is what a server would start.
//! Before an operation is measured, both answers are compared; a wrong one ends the run.

mod answers;
mod large;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hakata_git::objects::Objects;
use hakata_git::{Git, GitDir, Settings};
use hakata_names::Oid;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::tasks::Tasks;

use crate::{Effort, repositories};

/// One operation on both sides.
struct Operation {
    name: &'static str,
    /// How many times faster than the git command it has to be.
    at_least: f64,
    /// git's arguments; several commands are run one after another.
    commands: Vec<Vec<String>>,
    /// Writes the answer as git prints it.
    ours: answers::Answer,
}

/// What is read.
pub(crate) struct Subject {
    pub(crate) objects: Objects,
    pub(crate) tip: Oid,
}

/// Measures all operations on the given repositories, or on one that is made; `false` if a goal is missed.
pub(crate) fn measure(folder: &Path, given: &[PathBuf], effort: Effort) -> Result<bool> {
    let mut paths = given.to_vec();
    if paths.is_empty() {
        let folder = folder.join("read");
        std::fs::create_dir(&folder)?;
        let made = repositories::make(&folder, effort)?;
        paths.extend(made.iter().map(|repository| repository.path.clone()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("\n| repository | operation | hakata ms | git ms | times faster | at least | |");
    println!("|---|---|---|---|---|---|---|");
    runtime.block_on(async {
        let tasks = Tasks::new();
        let git = Git::find(Settings::new(folder.join("scratch")), &tasks, Blocking::new(4)).await?;
        let mut all_met = true;
        for path in paths {
            all_met &= measure_one(&git, &path, effort).await?;
        }
        Ok(all_met & large::measure(folder, &git, effort).await?)
    })
}

async fn measure_one(git: &Git, path: &Path, effort: Effort) -> Result<bool> {
    let objects = git.objects(&GitDir::new(path), 0).await?;
    let tip = run(path, &["rev-parse".into(), "HEAD".into()])?;
    let tip = Oid::parse_hex(tip.trim_ascii())?;
    let subject = Subject { objects, tip };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut all_met = true;
    for operation in answers::operations(path, &subject)? {
        all_met &= compare(&name, path, &subject, operation, effort).await?;
    }
    Ok(all_met)
}

async fn compare(
    repository: &str,
    path: &Path,
    subject: &Subject,
    operation: Operation,
    effort: Effort,
) -> Result<bool> {
    let name = operation.name;
    let ask_git = || -> Result<Vec<u8>> {
        let answers: Result<Vec<Vec<u8>>> = operation.commands.iter().map(|args| run(path, args)).collect();
        Ok(answers?.concat())
    };
    let ours = (operation.ours)(subject).await.with_context(|| name)?;
    let theirs = ask_git()?;
    ensure!(ours == theirs, "{name}: the answers differ: {}", difference(&ours, &theirs));
    let (mut best_ours, mut best_theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..effort.rounds() {
        for _ in 0..3 {
            let started = Instant::now();
            (operation.ours)(subject).await?;
            best_ours = best_ours.min(started.elapsed());
        }
        let started = Instant::now();
        ask_git()?;
        best_theirs = best_theirs.min(started.elapsed());
    }
    let times = best_theirs.as_secs_f64() / best_ours.as_secs_f64();
    let met = times >= operation.at_least;
    println!(
        "| {repository} | {name} | {:.3} | {:.3} | {times:.1} | {:.1} | {} |",
        best_ours.as_secs_f64() * 1e3,
        best_theirs.as_secs_f64() * 1e3,
        operation.at_least,
        if met { "met" } else { "MISSED" }
    );
    Ok(met)
}

/// Names the first line that differs.
fn difference(ours: &[u8], theirs: &[u8]) -> String {
    let lines = |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let at = ours.iter().zip(&theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
    format!("line {}: {:?} and {:?}", at + 1, ours.get(at), theirs.get(at))
}

/// Runs git and returns what it printed.
pub(crate) fn run(path: &Path, args: &[String]) -> Result<Vec<u8>> {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(path)
        .args(args)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
        .stderr(Stdio::inherit())
        .output()
        .context("running git")?;
    ensure!(output.status.success(), "git {args:?} failed");
    Ok(output.stdout)
}
