//! History in git's default order: newest first by the committer's date, ties in the order in which they were
//! met. With paths, history is simplified as `git log` does by default: a commit that has the same files as one
//! of its parents is left out, and only that parent is followed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use hakata_names::{Oid, TreePath};

use super::history::{History, Node, NodeMap};
use super::range::only_left;
use super::same_paths::SamePaths;
use crate::objects::{ReadError, View};

/// Which parents of a merge are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parents {
    /// All of them.
    #[default]
    All,
    /// The first one, as `--first-parent`.
    First,
}

/// Whether merges are listed. They are followed in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merges {
    /// Like other commits.
    #[default]
    Listed,
    /// Left out, as `--no-merges`.
    Omitted,
    /// Nothing else is, as `--merges`.
    Only,
}

/// A question for commits: those that `tips` reach and `hide` do not, and that all filters let pass.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Commits to start from.
    pub tips: Vec<Oid>,
    /// Commits that are left out with all their ancestors.
    pub hide: Vec<Oid>,
    /// Files and directories of which at least one was changed; any without one.
    pub paths: Vec<TreePath>,
    /// Text within `name <mail>` of the author; ASCII letters match in either case.
    pub author: Option<String>,
    /// Text within one line of the message; ASCII letters match in either case.
    pub message: Option<String>,
    /// Committed at this time or later, in seconds since 1970. Older commits are not followed.
    pub since: Option<i64>,
    /// Committed at this time or before.
    pub until: Option<i64>,
    /// Which parents are followed.
    pub parents: Parents,
    /// Whether merges are listed.
    pub merges: Merges,
}

/// Some commits of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The commits.
    pub commits: Vec<Oid>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

impl View {
    /// Gives every commit that is asked for to a sink, until that breaks.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for an unknown commit, [`ReadError::Exhausted`], and errors of reading.
    pub fn log(
        &self,
        query: &LogQuery,
        sink: &mut dyn FnMut(Oid) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let mut history = History::new(self);
        let mut walk = Walk::start(&mut history, query)?;
        while let Some(node) = walk.next(&mut history, query)? {
            if sink(history.oid(node)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Lists a page of at most `limit` commits, behind the last one of the page before. A later page walks over
    /// the earlier ones again, since nothing but all of them says where the walk stood.
    ///
    /// # Errors
    /// As [`log`](Self::log), or [`ReadError::Invalid`] if `after` is not in the listing.
    pub fn log_page(
        &self,
        query: &LogQuery,
        after: Option<&Oid>,
        limit: usize,
    ) -> Result<LogPage, ReadError> {
        let mut page = LogPage::default();
        let mut skipping = after.copied();
        self.log(query, &mut |oid| {
            if let Some(last) = skipping {
                skipping = (last != oid).then_some(last);
                return ControlFlow::Continue(());
            }
            if page.commits.len() == limit {
                page.has_more = true;
                return ControlFlow::Break(());
            }
            page.commits.push(oid);
            ControlFlow::Continue(())
        })?;
        match skipping {
            Some(last) => Err(ReadError::Invalid(format!("commit {last} is not in this listing"))),
            None => Ok(page),
        }
    }

    /// Counts the commits that are asked for.
    ///
    /// # Errors
    /// As [`log`](Self::log).
    pub fn count_commits(&self, query: &LogQuery) -> Result<u64, ReadError> {
        let mut n = 0;
        self.log(query, &mut |_| {
            n += 1;
            ControlFlow::Continue(())
        })?;
        Ok(n)
    }
}

/// The commits that wait, and what has been met.
struct Walk {
    queue: BinaryHeap<(i64, Reverse<u64>, Node)>,
    n_pushed: u64,
    seen: NodeMap<bool>,
    /// What `hide` leaves, if anything is hidden.
    wanted: Option<NodeMap<bool>>,
    /// The commits of `hide` themselves: boundaries at which a change counts.
    boundary: Vec<Node>,
    paths: Option<SamePaths>,
    parents: Vec<Node>,
}

/// How the files of a commit relate to its parents'.
enum Simplified {
    /// They are the same as in this parent, which alone is followed.
    Follow(Node),
    /// They differ from all that count.
    Changed,
    /// They do not differ from any that counts, but all parents are followed.
    Unchanged,
}

impl Walk {
    fn start(history: &mut History<'_>, query: &LogQuery) -> Result<Self, ReadError> {
        let tips = history.nodes(&query.tips)?;
        let boundary = history.nodes(&query.hide)?;
        let wanted = match boundary[..] {
            [] => None,
            _ => Some(only_left(history, &tips, &boundary)?),
        };
        let paths = (!query.paths.is_empty()).then(|| SamePaths::new(history, &query.paths));
        let mut walk = Self {
            queue: BinaryHeap::new(),
            n_pushed: 0,
            seen: NodeMap::new(history),
            wanted,
            boundary,
            paths,
            parents: Vec::new(),
        };
        for tip in tips {
            walk.push(history, tip);
        }
        Ok(walk)
    }

    fn is_wanted(&self, node: Node) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.get(node))
    }

    fn push(&mut self, history: &History<'_>, node: Node) {
        if self.is_wanted(node) && !std::mem::replace(self.seen.at(node), true) {
            self.queue.push((history.time(node), Reverse(self.n_pushed), node));
            self.n_pushed += 1;
        }
    }

    /// Finds the next commit that all filters let pass.
    fn next(&mut self, history: &mut History<'_>, query: &LogQuery) -> Result<Option<Node>, ReadError> {
        while let Some((time, _, node)) = self.queue.pop() {
            if query.since.is_some_and(|since| time < since) {
                continue;
            }
            let mut parents = std::mem::take(&mut self.parents);
            parents.clear();
            history.parents(node, &mut parents)?;
            let n_parents = parents.len();
            if query.parents == Parents::First {
                parents.truncate(1);
            }
            let simplified = self.simplify(history, node, &parents)?;
            match simplified {
                Simplified::Follow(parent) => self.push(history, parent),
                Simplified::Changed | Simplified::Unchanged => {
                    parents.iter().for_each(|parent| self.push(history, *parent));
                }
            }
            self.parents = parents;
            let listed = match query.merges {
                Merges::Listed => true,
                Merges::Omitted => n_parents < 2,
                Merges::Only => n_parents > 1,
            };
            let changed = matches!(simplified, Simplified::Changed);
            let in_time = query.until.is_none_or(|until| time <= until);
            if changed && listed && in_time && says(history, node, query)? {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// Compares the files that are asked for. Source: `try_to_simplify_commit` of git.
    fn simplify(
        &mut self,
        history: &History<'_>,
        node: Node,
        parents: &[Node],
    ) -> Result<Simplified, ReadError> {
        let Some(mut paths) = self.paths.take() else { return Ok(Simplified::Changed) };
        let (mut n_relevant, mut relevant_change, mut other_change) = (0, false, false);
        let mut follow = None;
        for (nth, parent) in parents.iter().enumerate() {
            let is_relevant = self.is_wanted(*parent) || self.boundary.contains(parent);
            n_relevant += usize::from(is_relevant);
            let is_same = paths.unchanged(history, node, nth, *parent)?;
            match (is_same, is_relevant) {
                (true, true) => {
                    follow = Some(*parent);
                    break;
                }
                (true, false) => {}
                (false, true) => relevant_change = true,
                (false, false) => other_change = true,
            }
        }
        let changed = match (parents, n_relevant) {
            ([], _) => paths.any_present(history, node)?,
            (_, 0) => other_change,
            _ => relevant_change,
        };
        self.paths = Some(paths);
        Ok(match follow {
            Some(parent) => Simplified::Follow(parent),
            None if changed => Simplified::Changed,
            None => Simplified::Unchanged,
        })
    }
}

/// Says whether author and message are as asked for.
fn says(history: &History<'_>, node: Node, query: &LogQuery) -> Result<bool, ReadError> {
    if query.author.is_none() && query.message.is_none() {
        return Ok(true);
    }
    let commit = history.view().read_commit(&history.oid(node)?)?;
    if let Some(author) = &query.author {
        let person = [&commit.author.name[..], b" <", &commit.author.email, b">"].concat();
        if !contains(&commit.text(&person), author) {
            return Ok(false);
        }
    }
    Ok(match &query.message {
        Some(message) => commit.text(&commit.message).lines().any(|line| contains(line, message)),
        None => true,
    })
}

fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}
