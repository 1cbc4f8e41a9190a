//! What one side reaches and the other does not.

use std::collections::BinaryHeap;

use hakata_names::Oid;

use super::history::{History, Node, NodeMap, UNKNOWN_LEVEL};
use crate::objects::{ReadError, View};

const LEFT: u8 = 1;
const RIGHT: u8 = 2;
const BOTH: u8 = LEFT | RIGHT;
const QUEUED: u8 = 4;

/// How far two commits are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AheadBehind {
    /// Commits that only the first one reaches.
    pub ahead: u64,
    /// Commits that only the second one reaches.
    pub behind: u64,
}

impl View {
    /// Counts for each pair the commits that only one of the two reaches.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for an unknown commit, and errors of reading.
    pub fn ahead_behind(&self, pairs: &[(Oid, Oid)]) -> Result<Vec<AheadBehind>, ReadError> {
        let mut history = History::new(self);
        let mut colours = Colours::new(&history);
        let mut counts = Vec::with_capacity(pairs.len());
        for (left, right) in pairs {
            let (left, right) = (history.node(left)?, history.node(right)?);
            let mut count = AheadBehind::default();
            colours.walk(&mut history, &[left], &[right], |_, side| match side {
                LEFT => count.ahead += 1,
                _ => count.behind += 1,
            })?;
            counts.push(count);
        }
        Ok(counts)
    }

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
                let level = history.level(node);
                let is_below = level != UNKNOWN_LEVEL && level <= history.level(target);
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
    let mut found = NodeMap::new(history);
    Colours::new(history).walk(history, left, right, |node, side| *found.at(node) = side == LEFT)?;
    Ok(found)
}

/// By which sides commits are reached. Empty between walks.
struct Colours {
    flags: NodeMap<u8>,
    touched: Vec<Node>,
    /// By level: when a commit is taken, all its descendants have been.
    queue: BinaryHeap<(u32, Node)>,
    /// Commits in the queue that only one side reaches so far.
    n_single: usize,
}

impl Colours {
    fn new(history: &History<'_>) -> Self {
        Self { flags: NodeMap::new(history), touched: Vec::new(), queue: BinaryHeap::new(), n_single: 0 }
    }

    /// Visits every commit that one side alone reaches.
    fn walk(
        &mut self,
        history: &mut History<'_>,
        left: &[Node],
        right: &[Node],
        mut visit: impl FnMut(Node, u8),
    ) -> Result<(), ReadError> {
        history.find_levels(left)?;
        history.find_levels(right)?;
        for (nodes, side) in [(left, LEFT), (right, RIGHT)] {
            nodes.iter().for_each(|node| self.colour(history, *node, side));
        }
        let mut parents = Vec::new();
        while self.n_single > 0
            && let Some((_, node)) = self.queue.pop()
        {
            let side = self.flags.get(node) & BOTH;
            if side != BOTH {
                self.n_single -= 1;
                visit(node, side);
            }
            parents.clear();
            history.parents(node, &mut parents)?;
            parents.iter().for_each(|parent| self.colour(history, *parent, side));
        }
        self.queue.clear();
        self.n_single = 0;
        for node in self.touched.drain(..) {
            *self.flags.at(node) = 0;
        }
        Ok(())
    }

    fn colour(&mut self, history: &History<'_>, node: Node, side: u8) {
        let flags = self.flags.at(node);
        let before = *flags;
        *flags |= side | QUEUED;
        if before & QUEUED == 0 {
            self.touched.push(node);
            self.queue.push((history.level(node), node));
            self.n_single += usize::from(side != BOTH);
        } else if before & BOTH != BOTH && (before | side) & BOTH == BOTH {
            self.n_single -= 1;
        }
    }
}
