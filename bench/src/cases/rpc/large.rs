//! A file that is too large for memory, streamed by the service, against the same servers with the file in memory.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt;
use hakata_rpc::v1::{GetBlobRequest, RepositoryKey, Revision, blob_service};
use hakata_rpc::{grpc, msgpack};
use hakata_runtime::tasks::Tasks;
use tokio::runtime::Runtime;

use super::node::{Given, Node, endpoint};
use super::ours::{Way, refused};
use super::overhead::Floor;
use crate::{Effort, repositories};

/// Most memory that a stream may add to the service.
const MAX_ADDED_KIB: u64 = 16 << 10;

/// Least rate of a stream as a part of the rate from memory.
const AT_LEAST: f64 = 0.8;

/// A transport, and who answers over it.
struct Peers {
    name: &'static str,
    service: Way,
    /// The same server with the file in memory.
    memory: Way,
}

/// Streams one file in all ways; `false` if a goal is missed.
pub(super) fn measure(runtime: &Runtime, folder: &Path, binary: &Path, effort: Effort) -> Result<bool> {
    let size: u64 = if effort == Effort::Quick { 256 << 20 } else { 1 << 30 };
    let path = folder.join("large.git");
    make(&path, size)?;
    let given = Given::new(0, &path);
    let node = Node::start("rpc-large", folder, binary, std::slice::from_ref(&given))?;
    let floor = Floor::start(folder)?;
    let tasks = Tasks::new();
    let memory_grpc = grpc::Grpc::lazy(&endpoint(floor.address("grpc")?))?;
    let memory_msgpack = msgpack::Msgpack::lazy(endpoint(floor.address("msgpack")?), tasks);
    let ways = [
        Peers { name: "gRPC", service: Way::Grpc(node.grpc()?), memory: Way::Grpc(memory_grpc) },
        Peers {
            name: "MessagePack-RPC",
            service: Way::Msgpack(node.msgpack()),
            memory: Way::Msgpack(memory_msgpack),
        },
    ];
    let request = GetBlobRequest {
        repository: Some(RepositoryKey { path: given.name.clone(), id: 0 }),
        revision: Some(Revision::default()),
        path: "large".into(),
        limit_bytes: size,
        ..GetBlobRequest::default()
    };
    println!("\n| stream of {} MiB | MiB/s | from memory MiB/s | part | more memory KiB | |", size >> 20);
    println!("|---|---|---|---|---|---|");
    let mut all_met = true;
    for Peers { name, service, memory } in ways {
        let (mut ours, mut theirs, mut added) = (Duration::MAX, Duration::MAX, 0);
        for _ in 0..effort.rounds() {
            let watch = Watch::start(node.pid())?;
            ours = ours.min(runtime.block_on(stream(&service, &request, size)).with_context(|| name)?);
            added = added.max(watch.added_kib()?);
            theirs = theirs.min(runtime.block_on(stream(&memory, &request, size)).with_context(|| name)?);
        }
        let rate = |took: Duration| (size >> 20) as f64 / took.as_secs_f64();
        let part = rate(ours) / rate(theirs);
        let met = part >= AT_LEAST && added < MAX_ADDED_KIB;
        all_met &= met;
        let word = if met { "met" } else { "MISSED" };
        println!("| {name} | {:.0} | {:.0} | {part:.2} | {added} | {word} |", rate(ours), rate(theirs));
    }
    Ok(all_met)
}

async fn stream(from: &Way, request: &GetBlobRequest, size: u64) -> Result<Duration> {
    let started = Instant::now();
    let mut parts = from.stream::<blob_service::Get>(request.clone());
    let mut n_read = 0;
    while let Some(part) = parts.try_next().await.map_err(refused)? {
        n_read += part.content.len() as u64;
    }
    ensure!(n_read == size, "the whole file comes: {n_read} of {size} bytes");
    Ok(started.elapsed())
}

/// Makes a repository with one large file, which cannot be compressed.
fn make(path: &Path, size: u64) -> Result<()> {
    repositories::git(None, &["init", "--quiet", "--bare", "-b", "main", &path.display().to_string()])?;
    let mut import = Command::new("git");
    import.arg("--git-dir").arg(path).args(["fast-import", "--quiet"]);
    let mut child = import.stdin(Stdio::piped()).spawn().context("starting git")?;
    let mut out = child.stdin.take().context("standard input is piped")?;
    let head = "commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline large\n";
    writeln!(out, "{head}data {size}")?;
    let (mut state, mut piece) = (0x9e37_79b9_7f4a_7c15_u64, Vec::with_capacity(1 << 20));
    for _ in 0..size >> 20 {
        piece.clear();
        while piece.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        out.write_all(&piece)?;
    }
    out.write_all(b"\n")?;
    drop(out);
    ensure!(child.wait()?.success(), "git fast-import failed");
    Ok(())
}

/// Looks all the time at the memory of a process and of those that it started: their own, without the files that they
/// map, which are the page cache's.
struct Watch {
    before_kib: u64,
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Watch {
    fn start(pid: u32) -> Result<Self> {
        let before_kib = memory_kib(pid);
        ensure!(before_kib > 0, "the kernel tells the memory of the service");
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut most = before_kib;
            while !over.load(Ordering::Relaxed) {
                most = most.max(memory_kib(pid));
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        Ok(Self { before_kib, is_over, thread })
    }

    fn added_kib(self) -> Result<u64> {
        self.is_over.store(true, Ordering::Relaxed);
        let most = self.thread.join().map_err(|_| anyhow::anyhow!("watching memory"))?;
        Ok(most - self.before_kib)
    }
}

/// Memory of a process and its children now; 0 of one that is gone.
fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let own: u64 = own.and_then(|kib| kib.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let children = children.map(Result::unwrap_or_default).collect::<Vec<_>>().concat();
    own + children.split_whitespace().filter_map(|pid| Some(memory_kib(pid.parse().ok()?))).sum::<u64>()
}
