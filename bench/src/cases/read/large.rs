//! A file that is too large for memory, streamed.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hakata_git::objects::Objects;
use hakata_git::read::{Allowance, BlobRange};
use hakata_git::{Git, GitDir};
use hakata_names::Oid;

use crate::Effort;
use crate::repositories;

/// Most memory that a stream may add to the process.
const MAX_ADDED_KIB: u64 = 16 << 10;

/// Least rate of a stream as a part of what git itself writes into a pipe.
const AT_LEAST: f64 = 0.8;

/// Streams one file both ways; `false` if a goal is missed.
pub(super) async fn measure(folder: &Path, git: &Git, effort: Effort) -> Result<bool> {
    let n_mib = if effort == Effort::Quick { 256 } else { 1_024 };
    let path = folder.join("large.git");
    repositories::git(None, &["init", "--quiet", "--bare", &path.display().to_string()])?;
    let blob = import(&path, n_mib)?;
    let objects = git.objects(&GitDir::new(&path), 0).await?;
    let size = n_mib << 20;
    let (mut ours, mut theirs, mut added) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..effort.rounds() {
        let before = resident_kib()?;
        let (took, most) = stream(&objects, blob, size).await?;
        ours = ours.min(took);
        added = added.max(most.saturating_sub(before));
        theirs = theirs.min(cat_file(&path, blob, size)?);
    }
    let part = theirs.as_secs_f64() / ours.as_secs_f64();
    let met = part >= AT_LEAST && added < MAX_ADDED_KIB;
    println!(
        "| large | stream of {n_mib} MiB, {added} KiB more memory | {:.0} | {:.0} | {part:.2} | {AT_LEAST} | {} |",
        ours.as_secs_f64() * 1e3,
        theirs.as_secs_f64() * 1e3,
        if met { "met" } else { "MISSED" }
    );
    Ok(met)
}

/// Writes the file; returns its id.
fn import(path: &Path, n_mib: u64) -> Result<Oid> {
    let mut import = Command::new("git");
    import.arg("--git-dir").arg(path).args(["-c", "core.compression=0", "hash-object", "-w", "--stdin"]);
    let mut child = import.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting git")?;
    let mut out = child.stdin.take().context("standard input is piped")?;
    let mut piece = vec![0; 1 << 20];
    for mib in 0..n_mib {
        for (at, byte) in piece.iter_mut().enumerate() {
            *byte = (at as u64 * 7 + mib * 13 + (at as u64 >> 7)).to_le_bytes()[0];
        }
        out.write_all(&piece)?;
    }
    drop(out);
    let said = child.wait_with_output()?;
    ensure!(said.status.success(), "git hash-object failed");
    Ok(Oid::parse_hex(said.stdout.trim_ascii())?)
}

async fn stream(objects: &Objects, blob: Oid, size: u64) -> Result<(Duration, u64)> {
    let started = Instant::now();
    let mut stream = objects.open_blob(blob, BlobRange::default(), &Allowance::default()).await?;
    let (mut n_read, mut most, mut n_pieces) = (0, 0, 0_u64);
    while let Some(piece) = stream.next().await? {
        n_read += piece.len() as u64;
        n_pieces += 1;
        if n_pieces.is_multiple_of(512) {
            most = most.max(resident_kib()?);
        }
    }
    ensure!(n_read == size, "the whole file comes");
    Ok((started.elapsed(), most))
}

fn cat_file(path: &Path, blob: Oid, size: u64) -> Result<Duration> {
    let started = Instant::now();
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(path).args(["cat-file", "blob", &blob.to_string()]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting git")?;
    let mut stdout = child.stdout.take().context("standard output is piped")?;
    let (mut n_read, mut piece) = (0, vec![0; 128 << 10]);
    loop {
        match stdout.read(&mut piece)? {
            0 => break,
            n => n_read += n as u64,
        }
    }
    ensure!(child.wait()?.success() && n_read == size, "git reads the whole file");
    Ok(started.elapsed())
}

/// Memory that this process has now.
fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel tells VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
