//! The best common ancestors of commits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hakata_names::Oid;

use super::history::{History, Node, NodeMap, UNKNOWN_RANK};
use crate::objects::{ReadError, View};

const LEFT: u8 = 1;
const RIGHT: u8 = 2;
/// An ancestor of a common ancestor.
const STALE: u8 = 4;
const FOUND: u8 = 8;

impl View {
    /// Finds the best common ancestors of a commit and a hypothetical merge of others, the newest first: none if
    /// histories are unrelated, several after criss-cross merges.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for an unknown commit, and errors of reading.
    pub fn merge_bases(&self, one: &Oid, others: &[Oid]) -> Result<Vec<Oid>, ReadError> {
        let mut history = History::new(self);
        let one = history.node(one)?;
        let others = history.nodes(others)?;
        let mut found = merge_bases(&mut history, one, &others)?;
        found.sort_by_key(|node| Reverse(history.time(*node)));
        found.into_iter().map(|node| history.oid(node)).collect()
    }
}

/// Paints the ancestors of both sides until no common one can come that is not an ancestor of another.
/// Source: `paint_down_to_common` of git, in whose order ties are left too.
fn merge_bases(history: &mut History<'_>, one: Node, others: &[Node]) -> Result<Vec<Node>, ReadError> {
    if others.contains(&one) {
        return Ok(vec![one]);
    }
    // What is to be merged is often up to date or behind, and that is known without walking below the older one:
    // painting goes on to the roots of histories that were merged in from elsewhere.
    if let [other] = others {
        if reaches(history, &[one], *other)? {
            return Ok(vec![*other]);
        }
        if reaches(history, &[*other], one)? {
            return Ok(vec![one]);
        }
    }
    let mut found = paint(history, one, others)?;
    if found.len() > 1 {
        found = remove_ancestors(history, found)?;
    }
    Ok(found)
}

fn paint(history: &mut History<'_>, one: Node, others: &[Node]) -> Result<Vec<Node>, ReadError> {
    let mut flags = NodeMap::<u8>::new(history);
    // With ranks, which are cheap where there is a commit-graph, no commit is taken before its descendants.
    let is_ordered = history.has_graph();
    if is_ordered {
        history.find_ranks(&[one])?;
        history.find_ranks(others)?;
    }
    let waiting = NodeMap::new(history);
    let mut queue = Queue { heap: BinaryHeap::new(), n_pushed: 0, waiting, n_fresh: [0; 4], is_ordered };
    let (mut found, mut parents) = (Vec::new(), Vec::new());
    for (node, side) in std::iter::once((&one, LEFT)).chain(others.iter().map(|node| (node, RIGHT))) {
        *flags.at(*node) |= side;
        queue.push(history, *node, &flags);
    }
    while let Some(node) = queue.pop(&flags) {
        let mut inherited = flags.get(node) & (LEFT | RIGHT | STALE);
        if inherited == LEFT | RIGHT {
            if flags.get(node) & FOUND == 0 {
                *flags.at(node) |= FOUND;
                found.push(node);
            }
            inherited |= STALE;
        }
        parents.clear();
        history.parents(node, &mut parents)?;
        for parent in &parents {
            if flags.get(*parent) & inherited != inherited {
                queue.mark(&mut flags, *parent, inherited);
                queue.push(history, *parent, &flags);
            }
        }
    }
    found.retain(|node| flags.get(*node) & STALE == 0);
    Ok(found)
}

/// Commits by rank, then time. Knows how many of them are not stale.
struct Queue {
    heap: BinaryHeap<(u64, i64, Reverse<u32>, Node)>,
    n_pushed: u32,
    /// Places in the queue of each node.
    waiting: NodeMap<u32>,
    /// Places in the queue of nodes that are not stale, by the sides that reach them.
    n_fresh: [u32; 4],
    is_ordered: bool,
}

/// Returns the sides that reach a node; `None` if it is stale.
fn sides(flags: u8) -> Option<usize> {
    (flags & STALE == 0).then_some(usize::from(flags & (LEFT | RIGHT)))
}

impl Queue {
    fn push(&mut self, history: &History<'_>, node: Node, flags: &NodeMap<u8>) {
        self.heap.push((history.rank(node), history.time(node), Reverse(self.n_pushed), node));
        self.n_pushed = self.n_pushed.wrapping_add(1);
        *self.waiting.at(node) += 1;
        self.count(flags.get(node), |n| *n += 1);
    }

    /// Sets flags of a node, wherever it waits.
    fn mark(&mut self, flags: &mut NodeMap<u8>, node: Node, set: u8) {
        let n_waiting = self.waiting.get(node);
        self.count(flags.get(node), |n| *n -= n_waiting);
        *flags.at(node) |= set;
        self.count(flags.get(node), |n| *n += n_waiting);
    }

    /// Takes the next node, as long as another common ancestor may come.
    fn pop(&mut self, flags: &NodeMap<u8>) -> Option<Node> {
        let [_, left, right, both] = self.n_fresh;
        // A side that has only stale commits left meets the other one in stale commits only.
        let is_one_sided = if self.is_ordered { left == 0 || right == 0 } else { left == 0 && right == 0 };
        if both == 0 && is_one_sided {
            return None;
        }
        let (.., node) = self.heap.pop()?;
        *self.waiting.at(node) -= 1;
        self.count(flags.get(node), |n| *n -= 1);
        Some(node)
    }

    fn count(&mut self, flags: u8, change: impl FnOnce(&mut u32)) {
        if let Some(sides) = sides(flags) {
            change(&mut self.n_fresh[sides]);
        }
    }
}

/// Drops those that another one reaches.
fn remove_ancestors(history: &mut History<'_>, nodes: Vec<Node>) -> Result<Vec<Node>, ReadError> {
    let mut kept = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let others: Vec<Node> =
            nodes.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, other)| *other).collect();
        if !reaches(history, &others, *node)? {
            kept.push(*node);
        }
    }
    Ok(kept)
}

/// Says whether one of `from` has `target` among its ancestors.
fn reaches(history: &mut History<'_>, from: &[Node], target: Node) -> Result<bool, ReadError> {
    let mut seen = NodeMap::<bool>::new(history);
    let mut parents = Vec::new();
    // Ancestors have lower ranks; of commits without one nothing is known.
    let rank = history.rank(target);
    let floor = if rank == UNKNOWN_RANK { rank - 1 } else { rank };
    let mut stack = from.to_vec();
    while let Some(node) = stack.pop() {
        if node == target {
            return Ok(true);
        }
        if std::mem::replace(seen.at(node), true) || history.rank(node) <= floor {
            continue;
        }
        parents.clear();
        history.parents(node, &mut parents)?;
        stack.append(&mut parents);
    }
    Ok(false)
}
