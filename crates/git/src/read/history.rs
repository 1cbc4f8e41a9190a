//! Commits as nodes of a graph: from the commit-graph where it knows them, from objects where not.
//!
//! Nodes are small numbers, so that sets of commits are vectors: first come the positions of the commit-graph,
//! behind them the other commits in the order in which they were met. All walks are loops over queues; none
//! recurses, however deep a history is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use gix::ObjectId;
use hakata_names::Oid;

use super::changed_paths::Filter;
use super::commit_graph::CommitGraph;
use super::raw_commit::RawCommit;
use crate::objects::{ReadError, View, broken, object_id, our_oid};

/// Rank of commits whose ancestors have not all been looked at: above all known ones.
pub(super) const UNKNOWN_RANK: u64 = u64::MAX;

/// Latest date that counts, in seconds since 1970: far in the future, with room above it for every descendant.
const LATEST: u64 = 1 << 62;

/// A commit of one [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node(u32);

/// The commits that a walk has met.
pub(super) struct History<'v> {
    view: &'v View,
    graph: Option<Arc<CommitGraph>>,
    n_graphed: u32,
    loose: Vec<Loose>,
    by_id: HashMap<ObjectId, Node>,
    buffer: Vec<u8>,
}

/// A commit that the commit-graph does not know.
struct Loose {
    id: ObjectId,
    tree: ObjectId,
    time: i64,
    rank: u64,
    parents: Vec<ObjectId>,
}

impl<'v> History<'v> {
    /// Starts with no commit.
    pub(super) fn new(view: &'v View) -> Self {
        let graph = view.commit_graph().cloned();
        let n_graphed = graph.as_ref().map_or(0, |graph| graph.n_commits());
        Self { view, graph, n_graphed, loose: Vec::new(), by_id: HashMap::new(), buffer: Vec::new() }
    }

    /// Looks a commit up.
    ///
    /// # Errors
    /// [`ReadError::Absent`], or [`ReadError::Object`] if it is no commit or broken.
    pub(super) fn node(&mut self, oid: &Oid) -> Result<Node, ReadError> {
        self.node_of(object_id(oid))
    }

    /// Looks commits up.
    pub(super) fn nodes(&mut self, oids: &[Oid]) -> Result<Vec<Node>, ReadError> {
        oids.iter().map(|oid| self.node(oid)).collect()
    }

    fn node_of(&mut self, id: ObjectId) -> Result<Node, ReadError> {
        if let Some(position) = self.graph.as_ref().and_then(|graph| graph.find(&id)) {
            return Ok(Node(position));
        }
        let next = self.n_graphed + u32::try_from(self.loose.len()).unwrap_or(u32::MAX - self.n_graphed);
        match self.by_id.entry(id) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(place) => {
                self.loose.push(load(self.view, id, &mut self.buffer)?);
                Ok(*place.insert(Node(next)))
            }
        }
    }

    /// Finds the parents of a commit, in order, appending them to a buffer.
    pub(super) fn parents(&mut self, node: Node, into: &mut Vec<Node>) -> Result<(), ReadError> {
        self.view.meter().step()?;
        match self.loose_at(node) {
            Some(at) => {
                for n in 0..self.loose[at].parents.len() {
                    let parent = self.node_of(self.loose[at].parents[n])?;
                    into.push(parent);
                }
            }
            None => {
                for parent in self.graphed(node).iter_parents() {
                    into.push(Node(parent.map_err(|error| ReadError::Walk(error.into()))?.0));
                }
            }
        }
        Ok(())
    }

    /// Returns when a commit was committed, in seconds since 1970.
    pub(super) fn time(&self, node: Node) -> i64 {
        match self.loose_at(node) {
            Some(at) => self.loose[at].time,
            None => i64::try_from(self.graphed(node).committer_timestamp()).unwrap_or(i64::MAX),
        }
    }

    /// Returns a number above those of all parents, or [`UNKNOWN_RANK`]: a date, if there is no reason against it, so that
    /// commits of one time stand together.
    pub(super) fn rank(&self, node: Node) -> u64 {
        match self.loose_at(node) {
            Some(at) => self.loose[at].rank,
            None => self.known_graph().rank(node.0),
        }
    }

    /// Computes the ranks of commits and all their ancestors. Cheap for what the commit-graph knows.
    pub(super) fn find_ranks(&mut self, nodes: &[Node]) -> Result<(), ReadError> {
        let is_dated = self.graph.as_ref().is_none_or(|graph| graph.is_dated());
        let mut stack = nodes.to_vec();
        let mut parents = Vec::new();
        while let Some(node) = stack.last().copied() {
            let Some(at) = self.loose_at(node).filter(|at| self.loose[*at].rank == UNKNOWN_RANK) else {
                stack.pop();
                continue;
            };
            parents.clear();
            self.parents(node, &mut parents)?;
            let n_waiting = stack.len();
            stack.extend(parents.iter().filter(|parent| self.rank(**parent) == UNKNOWN_RANK));
            if stack.len() == n_waiting {
                let above = parents.iter().map(|parent| self.rank(*parent)).max().unwrap_or(0);
                let date = u64::try_from(self.loose[at].time).unwrap_or(0).min(LATEST);
                let least = above.saturating_add(1).min(UNKNOWN_RANK - 1);
                self.loose[at].rank = if is_dated { least.max(date) } else { least };
                stack.pop();
            }
        }
        Ok(())
    }

    /// Returns the root tree of a commit.
    pub(super) fn tree(&self, node: Node) -> ObjectId {
        match self.loose_at(node) {
            Some(at) => self.loose[at].tree,
            None => self.graphed(node).root_tree_id().to_owned(),
        }
    }

    /// Returns the name of a commit.
    pub(super) fn oid(&self, node: Node) -> Result<Oid, ReadError> {
        let id = match self.loose_at(node) {
            Some(at) => self.loose[at].id,
            None => self.graphed(node).id().to_owned(),
        };
        Oid::from_bytes(id.as_slice()).map_err(|error| ReadError::Walk(error.into()))
    }

    /// Reads which paths a commit may have changed against its first parent; `None` if nothing is known.
    pub(super) fn changed_paths(&self, node: Node) -> Option<Filter<'_>> {
        match self.loose_at(node) {
            Some(_) => None,
            None => self.graph.as_ref()?.changed_paths(node.0),
        }
    }

    /// Says whether there is a commit-graph, so that ranks are cheap to find.
    pub(super) fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// Returns the objects it reads from.
    pub(super) fn view(&self) -> &'v View {
        self.view
    }

    fn loose_at(&self, node: Node) -> Option<usize> {
        node.0.checked_sub(self.n_graphed).and_then(|at| usize::try_from(at).ok())
    }

    fn graphed(&self, node: Node) -> gix::commitgraph::file::Commit<'_> {
        self.known_graph().at(node.0)
    }

    fn known_graph(&self) -> &CommitGraph {
        self.graph.as_ref().expect("nodes below n_graphed come from the graph")
    }
}

fn load(view: &View, id: ObjectId, buffer: &mut Vec<u8>) -> Result<Loose, ReadError> {
    use gix::objs::Find;
    let oid = Oid::from_bytes(id.as_slice()).map_err(|error| ReadError::Walk(error.into()))?;
    let object = view.repository().objects.try_find(&id, buffer).map_err(|e| broken(&oid, e))?;
    let object = object.ok_or(ReadError::Absent(oid))?;
    if object.kind != gix::object::Kind::Commit {
        return Err(broken(&oid, "it is no commit"));
    }
    let raw = RawCommit::new(object.data);
    let tree = raw.tree().ok_or_else(|| broken(&oid, "it names no tree"))?;
    our_oid(tree, &oid)?;
    Ok(Loose { id, tree, time: raw.committed_at(), rank: UNKNOWN_RANK, parents: raw.parents().collect() })
}

/// A value for each node that a walk has touched; the default for all others.
pub(super) struct NodeMap<T>(Vec<T>);

impl<T: Copy + Default> NodeMap<T> {
    /// Makes a map in which every node has the default.
    pub(super) fn new(history: &History<'_>) -> Self {
        Self(vec![T::default(); usize::try_from(history.n_graphed).unwrap_or(0)])
    }

    /// Returns the value of a node.
    pub(super) fn get(&self, node: Node) -> T {
        usize::try_from(node.0).ok().and_then(|at| self.0.get(at)).copied().unwrap_or_default()
    }

    /// Returns the place of a node's value.
    pub(super) fn at(&mut self, node: Node) -> &mut T {
        let at = usize::try_from(node.0).expect("a node is an index into memory");
        if at >= self.0.len() {
            self.0.resize(at + 1, T::default());
        }
        &mut self.0[at]
    }
}
