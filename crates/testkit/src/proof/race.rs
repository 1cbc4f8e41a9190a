//! Many writers on one ref.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{Person, Sandbox, Server, ServerOptions, run};

/// How much of the race proof to run.
#[derive(Clone, Debug)]
pub struct Race {
    /// Writers in each round.
    pub n_writers: usize,
    /// Rounds.
    pub n_rounds: usize,
    /// The server's configuration.
    pub options: ServerOptions,
}

/// Lets many clients push different commits onto the same tip of one branch at once.
///
/// Each round must have exactly one winner, whose commit is the new tip; so after all rounds the branch holds
/// one commit a round.
///
/// # Errors
/// If a round has another number of winners, or an update is lost.
pub fn race(binary: &Path, proof: &Race) -> Result<()> {
    Sandbox::prove(binary, |sandbox| rounds(sandbox, proof))
}

fn rounds(sandbox: &Sandbox, proof: &Race) -> Result<()> {
    let server = Server::start(sandbox, &proof.options)?;
    let alice = Person::with_account(sandbox, "alice", &[], &proof.options)?;
    let create = ["repo", "create", "alice/tools"];
    run(sandbox.hakata(&create).envs(proof.options.environment()))?.expect_success("hakata repo create")?;
    let url = format!("http://{}/alice/tools", server.http);
    run(&mut alice.git(2, &["init", "--quiet", "t"]))?.expect_success("git init")?;
    let mut tip = commit(&alice, "root", None)?;
    push(&alice, &url, &tip)?.expect_success("the first push")?;
    for round in 0..proof.n_rounds {
        let commits =
            (0..proof.n_writers).map(|writer| commit(&alice, &format!("{round}-{writer}"), Some(&tip)));
        let commits = commits.collect::<Result<Vec<_>>>()?;
        let winners = race_once(&alice, &url, &commits)?;
        ensure!(winners.len() == 1, "round {round} has {} winners", winners.len());
        let found = listed(&alice, &url)?;
        ensure!(found == winners[0], "round {round}: main is {found}, the winner pushed {}", winners[0]);
        tip = found;
    }
    let count = run(&mut alice.git(2, &["-C", "t", "rev-list", "--count", &tip]))?.stdout;
    ensure!(
        count.trim() == (proof.n_rounds + 1).to_string(),
        "{} commits on main, one a round expected",
        count.trim()
    );
    Ok(())
}

/// Pushes all commits at once and returns those that were accepted.
fn race_once(alice: &Person, url: &str, commits: &[String]) -> Result<Vec<String>> {
    let pushes: Vec<_> = std::thread::scope(|scope| {
        let start = |oid: &String| {
            let oid = oid.clone();
            scope.spawn(move || push(alice, url, &oid).map(|output| (oid, output)))
        };
        let running: Vec<_> = commits.iter().map(start).collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a writer panicked")))
            .collect()
    });
    let mut winners = Vec::new();
    for pushed in pushes {
        let (oid, output) = pushed??;
        if output.success() {
            winners.push(oid);
        }
    }
    Ok(winners)
}

fn push(alice: &Person, url: &str, oid: &str) -> Result<crate::Output> {
    run(&mut alice.git(2, &["-C", "t", "push", "--quiet", url, &format!("{oid}:refs/heads/main")]))
}

fn commit(alice: &Person, message: &str, parent: Option<&str>) -> Result<String> {
    let tree = run(&mut alice.git(2, &["-C", "t", "hash-object", "-wt", "tree", "/dev/null"]))?;
    let tree = tree.expect_success("git hash-object")?.stdout;
    let mut arguments = vec!["-C", "t", "commit-tree", "-m", message, tree.trim()];
    arguments.extend(parent.iter().flat_map(|parent| ["-p", parent]));
    let output = run(&mut alice.git(2, &arguments))?.expect_success("git commit-tree")?;
    Ok(output.stdout.trim().to_owned())
}

fn listed(alice: &Person, url: &str) -> Result<String> {
    let listing =
        run(&mut alice.git(2, &["ls-remote", url, "refs/heads/main"]))?.expect_success("git ls-remote")?;
    listing.stdout.split('\t').next().map(str::to_owned).context("main is listed")
}
