//! Renames among changes: first of identical files, then of files with a unique name, then the most similar
//! ones, as git looks for them. Source: `diffcore-rename.c` of git.

use std::collections::{HashMap, HashSet};

use hakata_names::Oid;

use super::changes::{Change, ChangeSide, Status};
use super::similarity::{MAX_SCORE, MIN_SCORE, Pieces, may_be_similar};
use crate::objects::{ReadError, View};

/// Most bytes of a file whose content is compared in process.
const MAX_COMPARED: u64 = 1 << 20;

/// Sources that are looked at for one identical file. Source: `find_identical_files` of git.
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
    let mut pairs = find_identical(changes, &sources, &targets);
    let n_identical = pairs.len();
    let paired: HashSet<usize> = pairs.iter().flat_map(|pair| [pair.from, pair.to]).collect();
    sources.retain(|at| !paired.contains(at));
    targets.retain(|at| !paired.contains(at));
    // Names that several files share are told apart by the renames of their directories, which git knows to do.
    if n_identical > 0 && !have_unique_names(changes, &sources, &targets) {
        return Ok(Search::LeftToGit);
    }
    match find_similar(view, changes, (sources, targets), max_pairs)? {
        Some(similar) => pairs.extend(similar),
        None => return Ok(Search::LeftToGit),
    }
    join(changes, &pairs);
    Ok(Search::Complete)
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

fn find_identical(changes: &[Change], sources: &[usize], targets: &[usize]) -> Vec<Pair> {
    let mut by_oid: HashMap<Oid, Vec<usize>> = HashMap::new();
    for at in sources {
        by_oid.entry(old(changes, *at).oid).or_default().push(*at);
    }
    let mut used = HashSet::new();
    let mut pairs = Vec::new();
    for to in targets {
        let target = new(changes, *to);
        let mut best: Option<(usize, bool)> = None;
        let candidates = by_oid.get(&target.oid).into_iter().flatten();
        for from in candidates.take(MAX_IDENTICAL).filter(|from| !used.contains(*from)) {
            let source = old(changes, *from);
            let fits = source.is_regular() && target.is_regular() || source.mode == target.mode;
            let same_name = name(source) == name(target);
            if fits && best.is_none_or(|(_, best)| same_name && !best) {
                best = Some((*from, same_name));
            }
        }
        if let Some((from, _)) = best {
            used.insert(from);
            pairs.push(Pair { from, to: *to, score: MAX_SCORE });
        }
    }
    pairs
}

fn have_unique_names(changes: &[Change], sources: &[usize], targets: &[usize]) -> bool {
    let (mut olds, mut news) = (HashSet::new(), HashSet::new());
    sources.iter().all(|at| olds.insert(name(old(changes, *at))))
        && targets.iter().all(|at| news.insert(name(new(changes, *at))))
}

/// Pairs files by their content; `None` if that is too much to compare here.
fn find_similar(
    view: &View,
    changes: &[Change],
    (mut sources, mut targets): (Vec<usize>, Vec<usize>),
    max_pairs: usize,
) -> Result<Option<Vec<Pair>>, ReadError> {
    if sources.is_empty() || targets.is_empty() {
        return Ok(Some(Vec::new()));
    }
    if sources.len() * targets.len() > max_pairs {
        return Ok(None);
    }
    let mut files = Files { view, sizes: HashMap::new(), pieces: HashMap::new(), is_too_large: false };
    let mut pairs = find_named(&mut files, changes, &sources, &targets)?;
    sources.retain(|at| !pairs.iter().any(|pair| pair.from == *at));
    targets.retain(|at| !pairs.iter().any(|pair| pair.to == *at));
    pairs.extend(find_best(&mut files, changes, &sources, &targets)?);
    Ok((!files.is_too_large).then_some(pairs))
}

/// Pairs files whose name, without directories, only they have.
fn find_named(
    files: &mut Files<'_>,
    changes: &[Change],
    sources: &[usize],
    targets: &[usize],
) -> Result<Vec<Pair>, ReadError> {
    let mut pairs = Vec::new();
    for from in sources {
        let wanted = name(old(changes, *from));
        let same = |at: &&usize| name(old(changes, **at)) == wanted;
        let mut fitting = targets.iter().filter(|at| name(new(changes, **at)) == wanted);
        if let (Some(to), None, 1) = (fitting.next(), fitting.next(), sources.iter().filter(same).count()) {
            let score = files.compare(old(changes, *from), new(changes, *to))?;
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

/// Contents that are compared, each read once.
struct Files<'v> {
    view: &'v View,
    sizes: HashMap<Oid, u64>,
    pieces: HashMap<Oid, Pieces>,
    is_too_large: bool,
}

impl Files<'_> {
    fn compare(&mut self, old: &ChangeSide, new: &ChangeSide) -> Result<u64, ReadError> {
        if !old.is_regular() || !new.is_regular() {
            return Ok(0);
        }
        let (old_size, new_size) = (self.size(&old.oid)?, self.size(&new.oid)?);
        if !may_be_similar(old_size, new_size) {
            return Ok(0);
        }
        if old_size.max(new_size) > MAX_COMPARED {
            self.is_too_large = true;
            return Ok(0);
        }
        for oid in [old.oid, new.oid] {
            if !self.pieces.contains_key(&oid) {
                self.view.meter().take_bytes(self.size(&oid)?)?;
                let pieces = Pieces::new(&self.view.read_blob(&oid, MAX_COMPARED)?);
                self.pieces.insert(oid, pieces);
            }
        }
        Ok(self.pieces[&old.oid].similarity(&self.pieces[&new.oid]))
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
