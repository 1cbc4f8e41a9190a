//! `merge_history REPOSITORY [N]`: does the last N merges of a history again, by the trees alone where that is enough, by
//! one process that stays, and by a git of its own for each, compares the trees, and says what all took.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use hakata_git::merge::MergeQuery;
use hakata_git::read::Allowance;
use hakata_git::{Git, GitDir, Settings};
use hakata_names::Oid;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::tasks::Tasks;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: merge_history REPOSITORY [N]")?;
    let n: usize = arguments.next().map_or(Ok(200), |n| n.parse())?;
    let scratch = std::env::temp_dir().join(format!("merge_history-{}", std::process::id()));
    let tasks = Tasks::new();
    let git = Git::find(Settings::new(&scratch), &tasks, Blocking::new(2)).await?;
    let merges = merges(Path::new(&dir), n)?;
    let objects = git.objects(&GitDir::new(&dir), 0).await?;
    let begun = (Instant::now(), children_cpu());
    let mut merging = objects.start_merging(&Allowance::default()).await?;
    let mut ours = Vec::new();
    for (one, other) in &merges {
        let merged = merging.merge(&MergeQuery { base: None, ours: *one, theirs: *other }).await?;
        ours.push((merged.tree.to_string(), merged.is_clean));
    }
    drop(merging);
    tell("one process that stays", merges.len(), begun.0.elapsed(), children_cpu() - begun.1);
    let begun = (Instant::now(), children_cpu());
    let mut checked = Vec::new();
    for (one, other) in &merges {
        let (ours, theirs) = (*one, *other);
        let bases = objects.read(move |view| view.merge_bases(&ours, &[theirs])).await?;
        let base = bases.first().copied().filter(|_| bases.len() == 1);
        let merged = objects.try_merge(&MergeQuery { base, ours, theirs }, &Allowance::default()).await?;
        checked.push((merged.tree.to_string(), merged.is_clean));
    }
    tell("checked, by the trees if possible", merges.len(), begun.0.elapsed(), children_cpu() - begun.1);
    if ours != checked {
        return Err("what is checked is not what is merged".into());
    }
    tasks.drain(Duration::from_secs(10)).await;
    let begun = (Instant::now(), children_cpu());
    let mut n_conflicts = 0;
    for ((one, other), (tree, is_clean)) in merges.iter().zip(&ours) {
        let (theirs, status) = by_itself(&scratch, Path::new(&dir), one, other)?;
        if theirs != *tree || status != *is_clean {
            return Err(format!("{one} {other}: {tree} by us, {theirs} by git").into());
        }
        n_conflicts += usize::from(!is_clean);
    }
    tell("a git for each", merges.len(), begun.0.elapsed(), children_cpu() - begun.1);
    println!("all trees are the same; {n_conflicts} of {} merges conflict", merges.len());
    std::fs::remove_dir_all(&scratch)?;
    Ok(())
}

fn tell(who: &str, n: usize, took: Duration, cpu: Duration) {
    let each = |time: Duration| time.as_secs_f64() * 1_000.0 / n as f64;
    println!("{who}: {n} merges, {:.2} ms and {:.2} ms of processor time each", each(took), each(cpu));
}

/// Lists the parents of the last merges of two.
fn merges(dir: &Path, n: usize) -> Result<Vec<(Oid, Oid)>, Box<dyn Error>> {
    let args = ["rev-list", "--parents", "--min-parents=2", "--max-parents=2", "--all"];
    let output = Command::new("git").arg("-C").arg(dir).args(args).arg(format!("-{n}")).output()?;
    let listed = String::from_utf8(output.stdout)?;
    let parse = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let mut next = || Oid::parse_hex(words.next()?.as_bytes()).ok();
        Some((next()?, next()?))
    };
    Ok(listed.lines().filter_map(parse).collect())
}

/// Merges by a process of its own; what it writes goes elsewhere.
fn by_itself(scratch: &Path, dir: &Path, ours: &Oid, theirs: &Oid) -> Result<(String, bool), Box<dyn Error>> {
    let objects = scratch.join("objects");
    std::fs::create_dir_all(&objects)?;
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["merge-tree", "--write-tree", "--allow-unrelated-histories"])
        .args([ours.to_string(), theirs.to_string()])
        .env("GIT_OBJECT_DIRECTORY", &objects)
        .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", std::path::absolute(dir)?.join("objects"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    Ok((said.lines().next().unwrap_or_default().to_owned(), output.status.success()))
}

/// Returns the processor time of children that have ended, in steps of 10 ms. Source: proc_pid_stat(5).
fn children_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.to_owned()).unwrap_or_default();
    let ticks: u32 =
        fields.split_ascii_whitespace().skip(13).take(2).filter_map(|n| n.parse::<u32>().ok()).sum();
    Duration::from_millis(10) * ticks
}
