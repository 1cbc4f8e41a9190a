//! Repositories with everything that is odd, made by one run of `git fast-import`, the same every time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hakata_names::{ObjectFormat, Oid};

use crate::GitDir;
use crate::objects::{Objects, ReadError, View};
use crate::testing::{self, Bench};

/// Paths whose names git and shells treat in their own ways.
pub(crate) const PATHS: [&[u8]; 14] = [
    b"a",
    b"b.txt",
    b"dir/one",
    b"dir/two",
    b"dir/deep/three",
    b"dir/deep/four",
    b"dir.x",
    b"with space",
    b"new\nline",
    b"\xff\xfe",
    b"-dash",
    b":(glob)*",
    "日本/語".as_bytes(),
    b"q\"uote",
];

/// Files of a commit: mode and content.
pub(crate) type Files = BTreeMap<Vec<u8>, (u32, Vec<u8>)>;

/// A repository and its commits.
pub(crate) struct Zoo {
    pub(crate) bench: Bench,
    pub(crate) dir: GitDir,
    pub(crate) commits: Vec<Oid>,
}

/// A commit that is to be made.
#[derive(Clone, Default)]
pub(crate) struct Made {
    pub(crate) parents: Vec<usize>,
    pub(crate) files: Files,
    pub(crate) message: Vec<u8>,
    pub(crate) encoding: Option<&'static str>,
    pub(crate) author: Option<Vec<u8>>,
    pub(crate) time: u64,
}

impl Zoo {
    /// Makes commits, each with a branch `refs/heads/N`.
    pub(crate) async fn make(format: ObjectFormat, commits: &[Made]) -> Self {
        let bench = Bench::new().await;
        let dir = bench.repository(format);
        let mut stream = Vec::new();
        for (n, commit) in commits.iter().enumerate() {
            write_commit(format, n, commit, &mut stream);
        }
        testing::pipe(&dir, &["fast-import", "--quiet", "--force"], &stream);
        let mut oids = Vec::new();
        let listed =
            testing::git(&dir, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/"]);
        let listed: BTreeMap<&str, &str> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
        for n in 0..commits.len() {
            let oid = listed[&*format!("refs/heads/{n}")];
            oids.push(Oid::parse_hex(oid.as_bytes()).unwrap());
        }
        Self { bench, dir, commits: oids }
    }

    /// Makes a history with merges of every kind, several roots and odd files.
    pub(crate) async fn wild(format: ObjectFormat, n: usize, seed: u64) -> Self {
        Self::make(format, &wild(n, seed)).await
    }

    /// Writes a commit-graph of some of the commits.
    pub(crate) fn write_commit_graph(&self, share: usize) {
        let known: String = self.commits.iter().step_by(share).map(|oid| format!("{oid}\n")).collect();
        let args =
            ["commit-graph", "write", "--stdin-commits", "--changed-paths", "--split", "--no-progress"];
        testing::pipe(&self.dir, &args, known.as_bytes());
    }

    pub(crate) async fn objects(&self) -> Objects {
        self.bench.git.objects(&self.dir, 0).await.unwrap()
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.objects().await.read(work).await
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        testing::git(&self.dir, args)
    }

    /// Runs git for ids, one a line.
    pub(crate) fn oids(&self, args: &[&str]) -> Vec<Oid> {
        self.git(args).lines().map(|line| Oid::parse_hex(line.as_bytes()).unwrap()).collect()
    }
}

/// A generator of numbers that is the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

fn wild(n: usize, seed: u64) -> Vec<Made> {
    let mut dice = Dice(seed);
    let mut commits: Vec<Made> = Vec::new();
    for at in 0..n {
        let n_parents = match dice.roll(20) {
            0 => 0,
            1..=12 => 1,
            13..=18 => 2,
            _ => 4,
        };
        let mut parents: Vec<usize> = (0..n_parents.min(at)).map(|_| at - 1 - dice.roll(at.min(6))).collect();
        parents.dedup();
        let mut seen = Vec::new();
        parents.retain(|parent| {
            !seen.contains(parent) && {
                seen.push(*parent);
                true
            }
        });
        let mut files = Files::new();
        for path in PATHS {
            let from = match parents.len() {
                0 => None,
                // Merges mostly keep one side.
                k => Some(parents[if dice.roll(3) > 0 { k - 1 } else { dice.roll(k) }]),
            };
            if let Some(file) = from.and_then(|parent| commits[parent].files.get(path)) {
                files.insert(path.to_vec(), file.clone());
            }
        }
        for _ in 0..dice.roll(4) {
            change(&mut files, &mut dice, at);
        }
        let message = format!("commit {at}\n\nWith {} files\n\nKey-{at}: value\n", files.len());
        // Dates never fall, and often stay.
        let time = 1_700_000_000 + (at / 3) as u64 * 60;
        commits.push(Made { parents, files, message: message.into_bytes(), time, ..Made::default() });
    }
    commits
}

fn change(files: &mut Files, dice: &mut Dice, at: usize) {
    let path = PATHS[dice.roll(PATHS.len())].to_vec();
    match dice.roll(8) {
        0 => drop(files.remove(&path)),
        1 => drop(files.insert(path, (0o100_755, b"#!/bin/sh\n".to_vec()))),
        2 => drop(files.insert(path, (0o120_000, b"target".to_vec()))),
        3 => drop(files.insert(path, (0o160_000, Vec::new()))),
        // The same content at times, so that changes are undone.
        4 => drop(files.insert(path, (0o100_644, b"often\n".to_vec()))),
        _ => drop(files.insert(path, (0o100_644, format!("{at}\nlines\nof text\n").into_bytes()))),
    }
}

fn write_commit(format: ObjectFormat, n: usize, commit: &Made, out: &mut Vec<u8>) {
    let time = commit.time;
    out.extend_from_slice(format!("commit refs/heads/{n}\nmark :{}\nauthor ", n + 1).as_bytes());
    let author = b"\xc3\x85sa <asa@example.org>".to_vec();
    out.extend_from_slice(commit.author.as_ref().unwrap_or(&author));
    let people = format!(" {time} +0900\ncommitter C O Mitter <c@example.org> {time} -0330\n");
    out.extend_from_slice(people.as_bytes());
    if let Some(encoding) = commit.encoding {
        out.extend_from_slice(format!("encoding {encoding}\n").as_bytes());
    }
    write_data(&commit.message, out);
    for (nth, parent) in commit.parents.iter().enumerate() {
        let word = if nth == 0 { "from" } else { "merge" };
        out.extend_from_slice(format!("{word} :{}\n", parent + 1).as_bytes());
    }
    out.extend_from_slice(b"deleteall\n");
    for (path, (mode, content)) in &commit.files {
        if *mode == 0o160_000 {
            let hex_digits = match content.is_empty() {
                true => "ab".repeat(format.oid_len()),
                false => String::from_utf8_lossy(content).into_owned(),
            };
            out.extend_from_slice(format!("M {mode:o} {hex_digits} {}\n", quote(path)).as_bytes());
        } else {
            out.extend_from_slice(format!("M {mode:o} inline {}\n", quote(path)).as_bytes());
            write_data(content, out);
        }
    }
    out.push(b'\n');
}

fn write_data(content: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("data {}\n", content.len()).as_bytes());
    out.extend_from_slice(content);
    out.push(b'\n');
}

/// Quotes a path as C does. Source: git-fast-import(1).
fn quote(path: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in path {
        let _ = write!(out, "\\{byte:03o}");
    }
    out + "\""
}
