//! The commit-graph: parents, dates, trees and changed paths of commits without reading objects.
//!
//! It is a cache that git writes. One that cannot be read is left aside, which costs time only.
//! Source: gitformat-commit-graph(5).

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use gix::ObjectId;
use gix::commitgraph::{File, Graph, Position};

use super::changed_paths::{ChangedPaths, Filter};
use super::corrected_dates::{CorrectedDates, TOO_FAR};
use super::graph_file::GraphFile;

/// Longest chain file that is read, in bytes; git merges layers long before.
const MAX_CHAIN: u64 = 64 << 10;

/// An open commit-graph.
pub(crate) struct CommitGraph {
    stamp: Stamp,
    graph: Graph,
    layers: Vec<Layer>,
    is_dated: OnceLock<bool>,
}

/// One file of a chain, from the oldest on.
struct Layer {
    /// Position of its first commit.
    first: u32,
    /// Position after its last commit.
    end: u32,
    file: Option<GraphFile>,
    changed_paths: Option<ChangedPaths>,
    dates: Option<CorrectedDates>,
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
            let (first, n_commits) = (end, file.num_commits());
            end = first.checked_add(n_commits).ok_or("it has too many commits")?;
            let own = GraphFile::open(path);
            let changed_paths = own.as_ref().and_then(|own| ChangedPaths::open(own, n_commits));
            let dates = own.as_ref().and_then(|own| CorrectedDates::read(own, n_commits));
            layers.push(Layer { first, end, file: own, changed_paths, dates });
            files.push(file);
        }
        Ok(Self { stamp, graph: Graph::new(files)?, layers, is_dated: OnceLock::new() })
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

    /// Says whether ranks are corrected dates; else they are levels. Looks at all dates, once.
    pub(crate) fn is_dated(&self) -> bool {
        *self.is_dated.get_or_init(|| {
            // Dates of some layers would not compare with levels of others.
            if self.layers.iter().any(|layer| layer.dates.is_none()) {
                return false;
            }
            let date = |position| self.at(position).committer_timestamp();
            let range = |(first, last): (u64, u64), date: u64| (first.min(date), last.max(date));
            let (first, last) = (0..self.n_commits()).map(date).fold((u64::MAX, 0), range);
            last.saturating_sub(first) < TOO_FAR
        })
    }

    /// Returns the corrected date of a commit in seconds since 1970, or the length of its longest way to a root commit: in
    /// either case more than of each of its parents.
    pub(crate) fn rank(&self, position: u32) -> u64 {
        let commit = self.at(position);
        match self.layer(position).and_then(|layer| Some((layer.first, layer.dates.as_ref()?))) {
            Some((first, dates)) if self.is_dated() => {
                commit.committer_timestamp().saturating_add(dates.offset(position - first))
            }
            _ => u64::from(commit.generation()),
        }
    }

    /// Reads which paths a commit may have changed against its first parent; `None` if nothing is known.
    pub(crate) fn changed_paths(&self, position: u32) -> Option<Filter<'_>> {
        let layer = self.layer(position)?;
        layer.changed_paths.as_ref()?.filter(layer.file.as_ref()?, position - layer.first)
    }

    /// Finds the file of a commit.
    fn layer(&self, position: u32) -> Option<&Layer> {
        // There are few, and mostly one.
        self.layers.iter().find(|layer| position < layer.end)
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
