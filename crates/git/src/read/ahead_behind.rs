//! How far pairs of commits are apart, all pairs in one walk.
//!
//! Each commit on the way carries the set of asked commits that reach it. Histories have few such sets, so each is kept
//! once and a commit carries its number. The walk ends where every set says the same of both sides of all pairs.

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};

use hakata_names::Oid;

use super::history::{History, Node, NodeMap};
use crate::objects::{ReadError, View};

/// Most commits that one walk is about; further ones take another walk.
const MAX_ASKED: usize = 512;

/// Most pairs that one walk is about.
const MAX_PAIRS: usize = 1_024;

/// Sets that are kept before those are dropped that no waiting commit carries.
const MAX_SETS: usize = 64 << 10;

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
        let mut counts = Vec::with_capacity(pairs.len());
        let mut asked = Asked::default();
        for (left, right) in pairs {
            let pair = (history.node(left)?, history.node(right)?);
            if asked.nodes.len() + 2 > MAX_ASKED || asked.pairs.len() == MAX_PAIRS {
                counts.extend(Walk::run(&mut history, &std::mem::take(&mut asked), MAX_SETS)?);
            }
            asked.add(pair);
        }
        counts.extend(Walk::run(&mut history, &asked, MAX_SETS)?);
        Ok(counts)
    }
}

/// Some pairs of commits, each commit numbered once.
#[derive(Default)]
struct Asked {
    nodes: Vec<Node>,
    numbers: HashMap<Node, usize>,
    pairs: Vec<(usize, usize)>,
}

impl Asked {
    fn add(&mut self, (left, right): (Node, Node)) {
        let pair = (self.number(left), self.number(right));
        self.pairs.push(pair);
    }

    fn number(&mut self, node: Node) -> usize {
        let next = self.nodes.len();
        *self.numbers.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            next
        })
    }
}

/// What a commit carries; none before it is met.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    Unmet,
    /// It waits, with a set.
    Waiting(u32),
    /// It and all its descendants were counted.
    Counted,
}

/// A walk that counts.
struct Walk<'a> {
    asked: &'a Asked,
    counts: Vec<AheadBehind>,
    sets: Sets,
    marks: NodeMap<Mark>,
    /// By rank: when a commit is taken, all its descendants have been.
    queue: BinaryHeap<(u64, Node)>,
    /// Commits in the queue that some pair still tells apart.
    n_open: usize,
    /// Sets that are too many.
    max_sets: usize,
}

impl<'a> Walk<'a> {
    fn run(
        history: &mut History<'_>,
        asked: &'a Asked,
        max_sets: usize,
    ) -> Result<Vec<AheadBehind>, ReadError> {
        let mut walk = Self {
            asked,
            counts: vec![AheadBehind::default(); asked.pairs.len()],
            sets: Sets::new(asked.nodes.len()),
            marks: NodeMap::new(history),
            queue: BinaryHeap::new(),
            n_open: 0,
            max_sets,
        };
        history.find_ranks(&asked.nodes)?;
        for (number, node) in asked.nodes.iter().enumerate() {
            let set = walk.sets.of_one(number, asked);
            walk.reach(history, *node, set);
        }
        walk.count(history)?;
        walk.fold();
        Ok(walk.counts)
    }

    fn count(&mut self, history: &mut History<'_>) -> Result<(), ReadError> {
        let mut parents = Vec::new();
        while self.n_open > 0
            && let Some((_, node)) = self.queue.pop()
        {
            let Mark::Waiting(set) = std::mem::replace(self.marks.at(node), Mark::Counted) else { continue };
            if let Some(n_commits) = self.sets.open(set) {
                *n_commits += 1;
                self.n_open -= 1;
            }
            parents.clear();
            history.parents(node, &mut parents)?;
            parents.iter().for_each(|parent| self.reach(history, *parent, set));
            if self.sets.len() > self.max_sets {
                history.view().meter().look()?;
                self.drop_sets();
            }
        }
        Ok(())
    }

    /// Adds a set to what a commit carries.
    fn reach(&mut self, history: &History<'_>, node: Node, set: u32) {
        let mark = self.marks.at(node);
        let after = match *mark {
            Mark::Counted => return,
            Mark::Waiting(before) if before == set => return,
            Mark::Waiting(before) => {
                self.n_open -= usize::from(self.sets.is_open(before));
                self.sets.union(before, set, self.asked)
            }
            Mark::Unmet => {
                self.queue.push((history.rank(node), node));
                set
            }
        };
        *mark = Mark::Waiting(after);
        self.n_open += usize::from(self.sets.is_open(after));
    }

    /// Adds what was counted by sets to the pairs.
    fn fold(&mut self) {
        for (words, n_commits) in self.sets.counted() {
            for ((left, right), count) in self.asked.pairs.iter().zip(&mut self.counts) {
                match (has(words, *left), has(words, *right)) {
                    (true, false) => count.ahead += n_commits,
                    (false, true) => count.behind += n_commits,
                    _ => {}
                }
            }
        }
    }

    /// Keeps only the sets that waiting commits carry.
    fn drop_sets(&mut self) {
        self.fold();
        let old = std::mem::replace(&mut self.sets, Sets::new(self.asked.nodes.len()));
        for (_, node) in &self.queue {
            if let Mark::Waiting(set) = self.marks.at(*node) {
                *set = self.sets.keep(old.words(*set).into(), self.asked);
            }
        }
        // If that many are needed, the next time is far off.
        self.max_sets = self.max_sets.max(self.sets.len() * 2);
    }
}

/// Sets of asked commits, each kept once.
struct Sets {
    /// How many words hold a set.
    width: usize,
    words: Vec<u64>,
    by_words: HashMap<Box<[u64]>, u32>,
    unions: HashMap<(u32, u32), u32>,
    /// Commits counted so far; `None` if no pair tells such commits apart.
    n_commits: Vec<Option<u64>>,
}

impl Sets {
    fn new(n_asked: usize) -> Self {
        let width = n_asked.div_ceil(64).max(1);
        let (by_words, unions) = (HashMap::new(), HashMap::new());
        Self { width, words: Vec::new(), by_words, unions, n_commits: Vec::new() }
    }

    fn len(&self) -> usize {
        self.n_commits.len()
    }

    fn words(&self, set: u32) -> &[u64] {
        let at = place(set) * self.width;
        &self.words[at..at + self.width]
    }

    /// The set of one commit.
    fn of_one(&mut self, number: usize, asked: &Asked) -> u32 {
        let mut words = vec![0; self.width];
        words[number / 64] = 1 << (number % 64);
        self.keep(words.into(), asked)
    }

    fn union(&mut self, one: u32, other: u32, asked: &Asked) -> u32 {
        let both = (one.min(other), one.max(other));
        if let Some(known) = self.unions.get(&both) {
            return *known;
        }
        let words = self.words(one).iter().zip(self.words(other)).map(|(one, other)| one | other).collect();
        let union = self.keep(words, asked);
        self.unions.insert(both, union);
        union
    }

    fn keep(&mut self, words: Box<[u64]>, asked: &Asked) -> u32 {
        let next = u32::try_from(self.n_commits.len()).unwrap_or(u32::MAX);
        match self.by_words.entry(words) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                let words = vacant.key();
                let is_open = asked.pairs.iter().any(|(left, right)| has(words, *left) != has(words, *right));
                self.n_commits.push(is_open.then_some(0));
                self.words.extend_from_slice(words);
                *vacant.insert(next)
            }
        }
    }

    fn is_open(&self, set: u32) -> bool {
        self.n_commits[place(set)].is_some()
    }

    fn open(&mut self, set: u32) -> Option<&mut u64> {
        self.n_commits[place(set)].as_mut()
    }

    /// Lists the sets that commits were counted with.
    fn counted(&self) -> impl Iterator<Item = (&[u64], u64)> {
        let counts = self.n_commits.iter().map(|n_commits| n_commits.unwrap_or(0));
        self.words.chunks_exact(self.width).zip(counts).filter(|(_, n_commits)| *n_commits > 0)
    }
}

/// Where the number of a set leads.
fn place(set: u32) -> usize {
    usize::try_from(set).expect("a set is an index into memory")
}

fn has(words: &[u64], number: usize) -> bool {
    words[number / 64] & 1 << (number % 64) != 0
}

#[cfg(test)]
mod tests {
    use hakata_names::{ObjectFormat, Oid};

    use super::{Asked, History, MAX_ASKED, MAX_SETS, Walk};
    use crate::read::zoo::{Made, Zoo};

    #[tokio::test]
    async fn sets_that_nothing_carries_are_dropped_and_change_no_count() {
        let zoo = Zoo::wild(ObjectFormat::Sha1, 80, 5).await;
        let commits = zoo.commits.clone();
        let read = zoo.read(move |view| {
            let mut history = History::new(view);
            let nodes = history.nodes(&commits)?;
            let mut asked = Asked::default();
            for one in 0..nodes.len() {
                [1, 7, 40].iter().for_each(|n| asked.add((nodes[one], nodes[(one * 3 + n) % nodes.len()])));
            }
            let counts = Walk::run(&mut history, &asked, MAX_SETS)?;
            assert!(counts.iter().any(|count| count.ahead > 0 && count.behind > 0));
            for max_sets in [0, 3, 50] {
                assert_eq!(Walk::run(&mut history, &asked, max_sets)?, counts, "{max_sets} sets are kept");
            }
            Ok(())
        });
        read.await.unwrap();
    }

    #[tokio::test]
    async fn more_commits_than_one_walk_takes_are_counted_all_the_same() {
        let n = MAX_ASKED + 40;
        let parents = |n: usize| n.checked_sub(1).into_iter().collect();
        let made = |n: usize| Made { parents: parents(n), time: n as u64, ..Made::default() };
        let zoo = Zoo::make(ObjectFormat::Sha256, &(0..n).map(made).collect::<Vec<_>>()).await;
        let pairs: Vec<(Oid, Oid)> = zoo.commits.iter().map(|commit| (zoo.commits[n - 1], *commit)).collect();
        let counts = zoo.read(move |view| view.ahead_behind(&pairs)).await.unwrap();
        let expected: Vec<u64> = (0..n as u64).rev().collect();
        assert_eq!(counts.iter().map(|count| count.ahead).collect::<Vec<_>>(), expected);
        assert!(counts.iter().all(|count| count.behind == 0));
    }
}
