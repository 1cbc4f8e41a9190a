//! What one side reaches and the other does not.

use std::collections::BinaryHeap;

use hakata_names::Oid;

use super::history::{History, Node, NodeMap, UNKNOWN_RANK};
use crate::objects::{ReadError, View};

const LEFT: u8 = 1;
const RIGHT: u8 = 2;
const BOTH: u8 = LEFT | RIGHT;
const QUEUED: u8 = 4;

impl View {
    /// Says of each tip whether it reaches a commit, such as the branches that contain it.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for an unknown commit, and errors of reading.
    pub fn tips_containing(&self, target: &Oid, tips: &[Oid]) -> Result<Vec<bool>, ReadError> {
        let mut history = History::new(self);
        let target = history.node(target)?;
        let tips = history.nodes(tips)?;
        let mut known = NodeMap::<Option<bool>>::new(&history);
        *known.at(target) = Some(true);
        let mut parents = Vec::new();
        let mut answers = Vec::with_capacity(tips.len());
        for tip in tips {
            let mut stack = vec![tip];
            while let Some(node) = stack.last().copied() {
                let rank = history.rank(node);
                let is_below = rank != UNKNOWN_RANK && rank <= history.rank(target);
                if known.get(node).is_some() || is_below {
                    known.at(node).get_or_insert(false);
                    stack.pop();
                    continue;
                }
                parents.clear();
                history.parents(node, &mut parents)?;
                if parents.iter().any(|parent| known.get(*parent) == Some(true)) {
                    *known.at(node) = Some(true);
                } else if let Some(next) = parents.iter().find(|parent| known.get(**parent).is_none()) {
                    stack.push(*next);
                    continue;
                } else {
                    *known.at(node) = Some(false);
                }
                stack.pop();
            }
            answers.push(known.get(tip) == Some(true));
        }
        Ok(answers)
    }
}

/// Finds the commits that `left` reach and `right` do not.
pub(super) fn only_left(
    history: &mut History<'_>,
    left: &[Node],
    right: &[Node],
) -> Result<NodeMap<bool>, ReadError> {
    history.find_ranks(left)?;
    history.find_ranks(right)?;
    let mut colours = Colours::new(history);
    for (nodes, side) in [(left, LEFT), (right, RIGHT)] {
        nodes.iter().for_each(|node| colours.colour(history, *node, side));
    }
    let mut found = NodeMap::new(history);
    let mut parents = Vec::new();
    while let Some((node, side)) = colours.next() {
        *found.at(node) = side == LEFT;
        parents.clear();
        history.parents(node, &mut parents)?;
        parents.iter().for_each(|parent| colours.colour(history, *parent, side));
    }
    Ok(found)
}

/// By which sides commits are reached.
struct Colours {
    flags: NodeMap<u8>,
    /// By rank: when a commit is taken, all its descendants have been.
    queue: BinaryHeap<(u64, Node)>,
    /// Commits in the queue that only one side reaches so far.
    n_single: usize,
}

impl Colours {
    fn new(history: &History<'_>) -> Self {
        Self { flags: NodeMap::new(history), queue: BinaryHeap::new(), n_single: 0 }
    }

    /// Takes the next commit and the sides that reach it, as long as one may come that one side alone reaches.
    fn next(&mut self) -> Option<(Node, u8)> {
        if self.n_single == 0 {
            return None;
        }
        let (_, node) = self.queue.pop()?;
        let side = self.flags.get(node) & BOTH;
        self.n_single -= usize::from(side != BOTH);
        Some((node, side))
    }

    fn colour(&mut self, history: &History<'_>, node: Node, side: u8) {
        let flags = self.flags.at(node);
        let before = *flags;
        *flags |= side | QUEUED;
        if before & QUEUED == 0 {
            self.queue.push((history.rank(node), node));
            self.n_single += usize::from(side != BOTH);
        } else if before & BOTH != BOTH && (before | side) & BOTH == BOTH {
            self.n_single -= 1;
        }
    }
}
