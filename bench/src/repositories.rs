//! Repositories made the same on every machine.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Effort;

/// A bare repository that every peer serves.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    /// Its name: `small`, `medium`, `refs50k`.
    pub(crate) name: &'static str,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// What a repository is made of.
struct Shape {
    name: &'static str,
    n_commits: u32,
    n_files: u32,
    file_bytes: u32,
    n_branches: u32,
    n_tags: u32,
}

const SMALL: Shape =
    Shape { name: "small", n_commits: 2_000, n_files: 300, file_bytes: 1_500, n_branches: 3, n_tags: 50 };
const MEDIUM: Shape = Shape {
    name: "medium",
    n_commits: 12_000,
    n_files: 3_000,
    file_bytes: 9_000,
    n_branches: 48,
    n_tags: 350,
};
const REFS: Shape = Shape { name: "refs50k", n_tags: 50_051, ..SMALL };

/// Makes the repositories for a run, fully packed as a careful operator would have them.
pub(crate) fn make(folder: &Path, effort: Effort) -> Result<Vec<Repository>> {
    let shapes: &[Shape] = if effort == Effort::Quick { &[SMALL, REFS] } else { &[SMALL, REFS, MEDIUM] };
    std::fs::create_dir(folder.join("repositories"))?;
    shapes.iter().map(|shape| make_one(folder, shape)).collect()
}

fn make_one(folder: &Path, shape: &Shape) -> Result<Repository> {
    let path = folder.join("repositories").join(format!("{}.git", shape.name));
    git(None, &["init", "--quiet", "--bare", "--initial-branch=main", &path.display().to_string()])?;
    let mut import = Command::new("git");
    import.arg("--git-dir").arg(&path).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
    let mut child = import.spawn().context("starting git fast-import")?;
    let mut out = BufWriter::new(child.stdin.take().context("standard input is piped")?);
    write_history(&mut out, shape)?;
    out.flush()?;
    drop(out);
    ensure!(child.wait()?.success(), "git fast-import failed");
    git(Some(&path), &["repack", "-adbq", "--depth=50"])?;
    git(Some(&path), &["pack-refs", "--all"])?;
    git(Some(&path), &["commit-graph", "write", "--reachable", "--changed-paths", "--no-progress"])?;
    for (key, value) in
        [("http.receivepack", "true"), ("receive.autogc", "false"), ("uploadpack.allowFilter", "true")]
    {
        git(Some(&path), &["config", key, value])?;
    }
    std::fs::write(path.join("git-daemon-export-ok"), "")?;
    Ok(Repository { name: shape.name, path })
}

fn write_history(out: &mut impl Write, shape: &Shape) -> Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for commit in 1..=shape.n_commits {
        writeln!(out, "commit refs/heads/main\nmark :{commit}")?;
        writeln!(
            out,
            "committer bench <bench@example.com> {} +0000",
            1_600_000_000 + u64::from(commit) * 600
        )?;
        let message = format!("change {commit}\n");
        write!(out, "data {}\n{message}", message.len())?;
        let n_changes = if commit == 1 { shape.n_files } else { 1 + random.below(3) };
        for change in 0..n_changes {
            let file = if commit == 1 { change } else { random.below(shape.n_files) };
            let text = text(&mut random, shape.file_bytes, file);
            write!(
                out,
                "M 100644 inline d{}/s{}/f{file}.txt\ndata {}\n{text}\n",
                file % 17,
                file % 5,
                text.len()
            )?;
        }
    }
    for branch in 0..shape.n_branches {
        let from = shape.n_commits - branch * (shape.n_commits / (shape.n_branches + 1));
        writeln!(out, "reset refs/heads/topic/{branch:05}\nfrom :{from}\n")?;
    }
    for tag in 0..shape.n_tags {
        writeln!(out, "reset refs/tags/v{tag:06}\nfrom :{}\n", 1 + tag % shape.n_commits)?;
    }
    writeln!(out, "done")?;
    Ok(())
}

/// Text that stays alike between versions of one file, as source does.
fn text(random: &mut Random, length: u32, file: u32) -> String {
    let mut text = String::new();
    let mut line = 0;
    while text.len() < length as usize {
        line += 1;
        let word = if random.below(20) == 0 { random.next() } else { u64::from(line * 31 + file) };
        text.push_str(&format!("line {line} of file {file} says {word:016x}\n"));
    }
    text
}

/// Runs git and returns what it printed.
pub(crate) fn git(repository: Option<&Path>, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    if let Some(path) = repository {
        command.arg("--git-dir").arg(path);
    }
    let output = command.args(arguments).output().context("running git")?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A small generator of numbers that are the same on every machine (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit)).unwrap_or_default()
    }
}
