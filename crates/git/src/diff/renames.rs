//! Renames among changes: first of identical files, then of files with a unique name, then the most similar
//! ones, as git looks for them. Source: `diffcore-rename.c` of git.

use std::collections::{HashMap, HashSet, VecDeque};

use hakata_names::Oid;

use super::changes::{Change, ChangeSide, Status};
use super::similarity::{MAX_SCORE, MIN_SCORE, Pieces, may_be_similar};
use crate::objects::{ReadError, View};

/// Most bytes of a file whose content is compared in process.
const MAX_COMPARED: u64 = 8 << 20;

/// Pairs of files beyond which git does not look for the most similar ones. Source: the default of `diff.renameLimit`,
/// squared.
const MAX_PAIRS: usize = 1_000 * 1_000;

/// Free sources that are looked at for one identical file. Source: `find_identical_files` of git.
const MAX_IDENTICAL: usize = 100;

/// Least measure for files that share a unique name. Source: `GIT_BASENAME_FACTOR` of git.
const MIN_NAME_SCORE: u64 = MIN_SCORE + (MAX_SCORE - MIN_SCORE) / 2;

/// How far the search came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// All renames are found.
    Complete,
    /// Only git can tell: too much content would have to be compared here.
    LeftToGit,
}

/// A deletion and an addition that are one change.
struct Pair {
    from: usize,
    to: usize,
    score: u64,
}

/// Replaces deletions and additions by renames. Changes stay as they are if the search is left to git.
/// At most `max_pairs` pairs of files are compared.
pub(super) fn find_renames(
    view: &View,
    changes: &mut Vec<Change>,
    max_pairs: usize,
) -> Result<Search, ReadError> {
    let indexes = |status| {
        let all = changes.iter().enumerate().filter(move |(_, change)| change.status == status);
        all.map(|(at, _)| at).collect::<Vec<usize>>()
    };
    let (mut sources, mut targets) = (indexes(Status::Deleted), indexes(Status::Added));
    if sources.is_empty() || targets.is_empty() {
        return Ok(Search::Complete);
    }
    let mut files = Files { view, sizes: HashMap::new(), pieces: HashMap::new(), is_too_large: false };
    let mut pairs = find_identical(view, changes, &sources, &targets)?;
    leave_paired(&pairs, &mut sources, &mut targets);
    let named = find_named(&mut files, changes, &sources, &targets)?;
    leave_paired(&named, &mut sources, &mut targets);
    pairs.extend(named);
    let n_pairs = sources.len().saturating_mul(targets.len());
    if n_pairs <= max_pairs {
        pairs.extend(find_best(&mut files, changes, &sources, &targets)?);
    }
    let is_for_git = max_pairs < n_pairs && n_pairs <= MAX_PAIRS;
    if is_for_git || files.is_too_large {
        return Ok(Search::LeftToGit);
    }
    join(changes, &pairs);
    Ok(Search::Complete)
}

/// Takes out what is paired.
fn leave_paired(pairs: &[Pair], sources: &mut Vec<usize>, targets: &mut Vec<usize>) {
    let paired: HashSet<usize> = pairs.iter().flat_map(|pair| [pair.from, pair.to]).collect();
    sources.retain(|at| !paired.contains(at));
    targets.retain(|at| !paired.contains(at));
}

/// Joins pairs to one change each, at the place of the addition.
fn join(changes: &mut Vec<Change>, pairs: &[Pair]) {
    for pair in pairs {
        let old = changes[pair.from].old.take();
        let change = &mut changes[pair.to];
        change.old = old;
        change.status = Status::Renamed(u8::try_from(pair.score * 100 / MAX_SCORE).unwrap_or(100));
    }
    changes.retain(|change| change.old.is_some() || change.new.is_some());
}

fn old(changes: &[Change], at: usize) -> &ChangeSide {
    changes[at].old.as_ref().expect("a deletion has an old side")
}

fn new(changes: &[Change], at: usize) -> &ChangeSide {
    changes[at].new.as_ref().expect("an addition has a new side")
}

fn name(side: &ChangeSide) -> &[u8] {
    side.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn find_identical(
    view: &View,
    changes: &[Change],
    sources: &[usize],
    targets: &[usize],
) -> Result<Vec<Pair>, ReadError> {
    // Those that are still free, in order.
    let mut by_oid: HashMap<Oid, VecDeque<usize>> = HashMap::new();
    for at in sources {
        by_oid.entry(old(changes, *at).oid).or_default().push_back(*at);
    }
    let mut pairs = Vec::new();
    for to in targets {
        let target = new(changes, *to);
        let Some(free) = by_oid.get_mut(&target.oid) else { continue };
        let fits = |from: usize| {
            let source = old(changes, from);
            source.is_regular() && target.is_regular() || source.mode == target.mode
        };
        let mut best: Option<usize> = None;
        let fitting = free.iter().enumerate().filter(|(_, from)| fits(**from));
        for (place, from) in fitting.take(MAX_IDENTICAL) {
            view.meter().step()?;
            if name(old(changes, *from)) == name(target) {
                best = Some(place);
                break;
            }
            best = best.or(Some(place));
        }
        if let Some(from) = best.and_then(|place| free.remove(place)) {
            pairs.push(Pair { from, to: *to, score: MAX_SCORE });
        }
    }
    Ok(pairs)
}

/// Places by names, without directories, that only one of them has.
fn by_unique_name<'c>(
    all: &[usize],
    side: impl Fn(usize) -> &'c ChangeSide,
) -> HashMap<&'c [u8], Option<usize>> {
    let mut by_name = HashMap::new();
    for at in all {
        by_name.entry(name(side(*at))).and_modify(|only| *only = None).or_insert(Some(*at));
    }
    by_name
}

/// Pairs files whose name, without directories, only they have.
fn find_named(
    files: &mut Files<'_>,
    changes: &[Change],
    sources: &[usize],
    targets: &[usize],
) -> Result<Vec<Pair>, ReadError> {
    let olds = by_unique_name(sources, |at| old(changes, at));
    let news = by_unique_name(targets, |at| new(changes, at));
    let mut pairs = Vec::new();
    for from in sources {
        let source = old(changes, *from);
        let name = name(source);
        if let (Some(Some(_)), Some(Some(to))) = (olds.get(name), news.get(name)) {
            let score = files.compare_once(source, new(changes, *to))?;
            if score >= MIN_NAME_SCORE {
                pairs.push(Pair { from: *from, to: *to, score });
            }
        }
    }
    Ok(pairs)
}

/// Pairs the most similar files first; of equal ones those of the same name.
fn find_best(
    files: &mut Files<'_>,
    changes: &[Change],
    sources: &[usize],
    targets: &[usize],
) -> Result<Vec<Pair>, ReadError> {
    /// Candidates that are kept for each target. Source: `NUM_CANDIDATE_PER_DST` of git.
    const MAX_CANDIDATES: usize = 4;
    let mut all = Vec::new();
    for to in targets {
        let target = new(changes, *to);
        let mut kept: Vec<(u64, bool, Pair)> = Vec::new();
        for from in sources {
            let source = old(changes, *from);
            let score = files.compare(source, target)?;
            let candidate = (score, name(source) == name(target), Pair { from: *from, to: *to, score });
            if kept.len() < MAX_CANDIDATES {
                kept.push(candidate);
                continue;
            }
            let worst = (0..kept.len()).min_by_key(|at| (kept[*at].0, kept[*at].1));
            if let Some(worst) = worst.filter(|at| (kept[*at].0, kept[*at].1) < (candidate.0, candidate.1)) {
                kept[worst] = candidate;
            }
        }
        all.extend(kept);
    }
    all.sort_by_key(|(score, same_name, _)| std::cmp::Reverse((*score, *same_name)));
    let mut used = HashSet::new();
    let mut pairs = Vec::new();
    for (_, _, pair) in all.into_iter().filter(|(score, ..)| *score >= MIN_SCORE) {
        if !used.contains(&pair.from) && !used.contains(&pair.to) {
            used.extend([pair.from, pair.to]);
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

/// Contents that are compared.
struct Files<'v> {
    view: &'v View,
    sizes: HashMap<Oid, u64>,
    pieces: HashMap<Oid, Pieces>,
    is_too_large: bool,
}

impl Files<'_> {
    /// Measures how similar two files are; each is read once, however often it is compared.
    fn compare(&mut self, old: &ChangeSide, new: &ChangeSide) -> Result<u64, ReadError> {
        if !self.may_be_similar(old, new)? {
            return Ok(0);
        }
        for oid in [old.oid, new.oid] {
            if !self.pieces.contains_key(&oid) {
                let pieces = self.read(&oid)?;
                self.pieces.insert(oid, pieces);
            }
        }
        Ok(self.pieces[&old.oid].similarity(&self.pieces[&new.oid]))
    }

    /// As [`compare`](Self::compare), for two of very many, of which nothing is kept.
    fn compare_once(&mut self, old: &ChangeSide, new: &ChangeSide) -> Result<u64, ReadError> {
        if !self.may_be_similar(old, new)? {
            return Ok(0);
        }
        Ok(self.read(&old.oid)?.similarity(&self.read(&new.oid)?))
    }

    /// Says whether the contents of two files have to be looked at.
    fn may_be_similar(&mut self, old: &ChangeSide, new: &ChangeSide) -> Result<bool, ReadError> {
        self.view.meter().step()?;
        if !old.is_regular() || !new.is_regular() {
            return Ok(false);
        }
        let (old_size, new_size) = (self.size(&old.oid)?, self.size(&new.oid)?);
        if !may_be_similar(old_size, new_size) {
            return Ok(false);
        }
        let is_too_large = old_size.max(new_size) > MAX_COMPARED;
        self.is_too_large |= is_too_large;
        Ok(!is_too_large)
    }

    fn read(&mut self, oid: &Oid) -> Result<Pieces, ReadError> {
        self.view.meter().take_bytes(self.size(oid)?)?;
        Ok(Pieces::new(&self.view.read_blob(oid, MAX_COMPARED)?))
    }

    fn size(&mut self, oid: &Oid) -> Result<u64, ReadError> {
        if let Some(size) = self.sizes.get(oid) {
            return Ok(*size);
        }
        let size = self.view.header(oid)?.ok_or(ReadError::Absent(*oid))?.size_bytes;
        self.sizes.insert(*oid, size);
        Ok(size)
    }
}
