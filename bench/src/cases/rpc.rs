//! The repository service beside all who could answer in its place: the git command, libgit2, and gix used plainly.
//!
//! Ours is asked in three ways, by the same typed requests: in this process, over gRPC and over MessagePack-RPC. All
//! peers read one directory, that of the service, and so have the same packs, the same commit-graph and the same index
//! over packs. They take turns within a round; the best time of all rounds counts, since this machine is never alone.
//! Before anything is measured, all answers are compared with git's: another answer of ours misses the goal, another
//! one of a peer is marked, and its time counts all the same.

mod echo;
mod git_command;
mod large;
mod libgit2;
mod memory;
mod merges;
mod node;
mod ours;
mod overhead;
mod peers;
mod plain_gix;
mod question;
mod rounds;
mod subject;

use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::cases::Parts;
use crate::{Effort, repositories};
use node::{Given, Here, Node};
use subject::Subject;

pub(crate) use echo::{ARGUMENT as FLOOR, serve as serve_floor};

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Every operation, by every peer.
    Operations,
    /// Calls that do nothing.
    Overhead,
    /// A file that is too large for memory.
    Large,
}

/// Names of cases, and what is measured for each.
pub(crate) const CASES: Parts<Part> = &[
    ("rpc", &[Part::Operations, Part::Overhead, Part::Large]),
    ("rpc-overhead", &[Part::Overhead]),
    ("rpc-large", &[Part::Large]),
];

/// Measures parts of what is to be known about the service, on the given repositories or on some that are made; `false`
/// if a goal is missed.
pub(crate) fn measure(
    folder: &Path,
    binary: &Path,
    given: &[PathBuf],
    (parts, effort): (&[Part], Effort),
) -> Result<bool> {
    let folder = folder.join("rpc");
    std::fs::create_dir(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Clients have tasks, which live on the runtime.
    let _entered = runtime.enter();
    let mut all_met = true;
    if parts.contains(&Part::Operations) {
        all_met &= operations(&runtime, &folder, binary, (given, effort))?;
    }
    if parts.contains(&Part::Overhead) {
        eprintln!("measuring overhead");
        let node = Node::start("rpc-empty", &folder, binary, &[])?;
        all_met &= overhead::measure(&runtime, &folder, &node, effort)?;
    }
    if parts.contains(&Part::Large) {
        eprintln!("measuring a large file");
        all_met &= large::measure(&runtime, &folder, binary, effort)?;
    }
    Ok(all_met)
}

fn operations(
    runtime: &Runtime,
    folder: &Path,
    binary: &Path,
    (given, effort): (&[PathBuf], Effort),
) -> Result<bool> {
    let mut paths = given.to_vec();
    if paths.is_empty() {
        let made = folder.join("made");
        std::fs::create_dir(&made)?;
        paths.extend(repositories::make(&made, effort)?.into_iter().map(|repository| repository.path));
    }
    let given: Vec<Given> = paths.iter().enumerate().map(|(n, path)| Given::new(n, path)).collect();
    eprintln!("importing repositories");
    let node = Node::start("rpc-node", folder, binary, &given)?;
    let here = runtime.block_on(Here::open(&node, folder, &given))?;
    let mut all_met = true;
    rounds::print_head();
    for given in &given {
        eprintln!("measuring operations on {}", given.shown);
        let subject = Subject::of(given, here.place(given)?)?;
        all_met &= rounds::measure(runtime, &node, &here, &subject, effort)?;
        all_met &= merges::measure(runtime, &node, &subject)?;
    }
    runtime.block_on(here.close());
    Ok(all_met)
}
