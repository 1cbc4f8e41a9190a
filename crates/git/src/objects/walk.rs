//! Reachability, with the commit-graph's help.

use std::collections::BinaryHeap;

use gix::ObjectId;
use hakata_names::Oid;

use super::{ReadError, View, object_id};

/// Generation of commits that the commit-graph does not know: above all that it knows.
const UNKNOWN: u32 = u32::MAX;

/// Says of each target whether it is reachable from any of `from`.
///
/// Newest first by generation, then time. The commit-graph holds the ancestors of all it holds, so nothing in
/// it leads to a target outside of it, and nothing leads to a target of the same or a higher generation.
pub(super) fn reachable(view: &View, targets: &[Oid], from: &[Oid]) -> Result<Vec<bool>, ReadError> {
    let walk = |source: gix::Error| ReadError::Walk(source.into());
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let known = view.commit_graph().map(|known| known.graph());
    let mut graph: gix::revwalk::Graph<'_, '_, ()> = view.repository().revision_graph(known);
    let mut missing: std::collections::HashSet<ObjectId> = targets.iter().map(object_id).collect();
    let mut floor = UNKNOWN;
    for target in &missing {
        let commit = graph.try_lookup(target).map_err(walk)?;
        floor = floor.min(commit.and_then(|commit| commit.generation()).unwrap_or(UNKNOWN));
    }
    let mut queue = BinaryHeap::new();
    let mut next: Vec<ObjectId> = from.iter().map(object_id).collect();
    loop {
        for id in next.drain(..) {
            if graph.insert(id, ()).is_some() {
                continue;
            }
            missing.remove(&id);
            if let Some(commit) = graph.try_lookup(&id).map_err(walk)? {
                let (generation, time) = commit.generation_and_timestamp().map_err(walk)?;
                let generation = generation.unwrap_or(UNKNOWN);
                if generation > floor || generation == UNKNOWN {
                    queue.push((generation, time, id));
                }
            }
        }
        let Some((_, _, id)) = queue.pop().filter(|_| !missing.is_empty()) else { break };
        if let Some(commit) = graph.try_lookup(&id).map_err(walk)? {
            next = commit.iter_parents().collect::<Result<_, _>>().map_err(walk)?;
        }
    }
    Ok(targets.iter().map(|target| !missing.contains(&object_id(target))).collect())
}
