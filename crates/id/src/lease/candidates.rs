//! Which worker id to try first.

use hakata_runtime::secret::random_bytes;

use crate::layout::WorkerId;

/// A worker id that nobody holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The worker id.
    pub worker_id: WorkerId,
    /// Its fence; `None` if it has none.
    pub fence_ms: Option<i64>,
}

/// Puts candidates into the order in which to try them: first those whose fence has passed, at random, so that those who
/// ask at the same time hardly meet; then the others, the shortest wait first.
pub fn in_order(mut candidates: Vec<Candidate>, now_ms: i64) -> Vec<WorkerId> {
    shuffle(&mut candidates);
    // The sort is stable: equals stay shuffled.
    candidates.sort_by_key(|candidate| candidate.fence_ms.unwrap_or(i64::MIN).max(now_ms));
    candidates.into_iter().map(|candidate| candidate.worker_id).collect()
}

/// Shuffles by Fisher and Yates; the bias of the remainder is no concern of ours.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let random = usize::try_from(u32::from_le_bytes(random_bytes())).unwrap_or(0);
        items.swap(last, random % (last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use std::collections::BTreeSet;

    fn candidate(n: u64, fence_ms: Option<i64>) -> Candidate {
        Candidate { worker_id: WorkerId::new(Layout::Standard, n).unwrap(), fence_ms }
    }

    #[test]
    fn passed_fences_come_first_and_short_waits_before_long_ones() {
        let now = 1_000;
        let all = vec![
            candidate(1, Some(9_000)),
            candidate(2, Some(1_001)),
            candidate(3, Some(1_000)),
            candidate(4, None),
            candidate(5, Some(5)),
        ];
        let mut firsts = BTreeSet::new();
        for _ in 0..200 {
            let order: Vec<u16> = in_order(all.clone(), now).into_iter().map(WorkerId::get).collect();
            assert_eq!(order[3..], [2, 1], "those with a wait are last");
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 5, "nobody is lost");
            firsts.insert(order[0]);
        }
        assert_eq!(firsts.into_iter().collect::<Vec<_>>(), [3, 4, 5], "each of the others is first at times");
    }
}
