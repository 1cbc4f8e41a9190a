//! The commit-graph: parents, dates, trees and changed paths of commits without reading objects.
//!
//! It is a cache that git writes. One that cannot be read is left aside, which costs time only.
//! Source: gitformat-commit-graph(5).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use gix::ObjectId;
use gix::commitgraph::{File, Graph, Position};

use super::changed_paths::{ChangedPaths, Filter};

/// Longest chain file that is read, in bytes; git merges layers long before.
const MAX_CHAIN: u64 = 64 << 10;

/// An open commit-graph.
pub(crate) struct CommitGraph {
    stamp: Stamp,
    graph: Graph,
    layers: Vec<Layer>,
}

/// One file of a chain, from the oldest on.
struct Layer {
    /// Position after its last commit.
    end: u32,
    changed_paths: Option<ChangedPaths>,
}

/// By which a change of the files is noticed: git replaces them by renaming.
type Stamp = [Option<(SystemTime, u64, u64)>; 2];

impl std::fmt::Debug for CommitGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CommitGraph({} commits)", self.n_commits())
    }
}

impl CommitGraph {
    /// Opens the commit-graph below `info`, or returns the known one if it is still the same.
    pub(crate) fn open(info: &Path, hash: gix::hash::Kind, known: Option<Arc<Self>>) -> Option<Arc<Self>> {
        let (single, chain) = (info.join("commit-graph"), info.join("commit-graphs/commit-graph-chain"));
        let stamp = [stamp(&single), stamp(&chain)];
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Some(known);
        }
        let paths = match stamp {
            [Some(_), _] => vec![single],
            [None, Some(_)] => read_chain(&chain)?,
            [None, None] => return None,
        };
        match Self::read(&paths, hash, stamp) {
            Ok(graph) => Some(Arc::new(graph)),
            Err(error) => {
                let path = info.display();
                tracing::warn!(error = &*error as &dyn std::error::Error, %path, "unreadable commit-graph");
                None
            }
        }
    }

    fn read(
        paths: &[PathBuf],
        hash: gix::hash::Kind,
        stamp: Stamp,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let (mut files, mut layers, mut end) = (Vec::new(), Vec::new(), 0_u32);
        for path in paths {
            let file = File::at(path)?;
            if file.object_hash() != hash {
                return Err("it is of another hash function".into());
            }
            end = end.checked_add(file.num_commits()).ok_or("it has too many commits")?;
            layers.push(Layer { end, changed_paths: ChangedPaths::open(path, file.num_commits()) });
            files.push(file);
        }
        Ok(Self { stamp, graph: Graph::new(files)?, layers })
    }

    /// Returns the library's own graph.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the number of commits; positions are below it.
    pub(crate) fn n_commits(&self) -> u32 {
        self.layers.last().map_or(0, |layer| layer.end)
    }

    /// Finds the position of a commit.
    pub(crate) fn find(&self, id: &ObjectId) -> Option<u32> {
        self.graph.lookup(id).map(|position| position.0)
    }

    /// Returns the commit at a position.
    pub(crate) fn at(&self, position: u32) -> gix::commitgraph::file::Commit<'_> {
        self.graph.commit_at(Position(position))
    }

    /// Reads which paths a commit may have changed against its first parent; `None` if nothing is known.
    pub(crate) fn changed_paths(&self, position: u32) -> Option<Filter<'_>> {
        let mut first = 0;
        for layer in &self.layers {
            if position < layer.end {
                return layer.changed_paths.as_ref()?.filter(position - first);
            }
            first = layer.end;
        }
        None
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// Names the files of a chain, from the oldest on.
fn read_chain(chain: &Path) -> Option<Vec<PathBuf>> {
    use std::io::Read;
    let mut lines = String::new();
    std::fs::File::open(chain).ok()?.take(MAX_CHAIN).read_to_string(&mut lines).ok()?;
    let is_hash = |line: &str| line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let paths = lines.lines().map(|line| {
        let hash = Some(line).filter(|line| is_hash(line))?;
        Some(chain.with_file_name(format!("graph-{hash}.graph")))
    });
    paths.collect()
}
