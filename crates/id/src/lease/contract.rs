//! What every place must answer, told by the book: for the tests of the places.

use std::fmt::Debug;
use std::time::Duration;

use super::memory::MemoryLease;
use super::{Lease, LeaseError, Term, Wish};

/// How far ahead fences are wanted.
const AHEAD: Duration = Duration::from_secs(10);

/// How many holders take part.
pub const HOLDERS: usize = 3;

/// What happens to a place with one worker id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A holder asks for the id at a time of its own clock.
    Acquire(usize, i64),
    /// A holder renews.
    Renew(usize, i64),
    /// A holder gives the id back, having issued up to a time, or nothing if its term begins later.
    Release(usize, i64),
    /// Whoever holds the id dies, and its time to live passes.
    Expire,
}

/// Plays steps in a place and in the book, and fails where their answers differ.
///
/// # Panics
/// At the first difference.
pub async fn follows_the_book<L: Lease>(
    steps: &[Step],
    mut leases: [L; HOLDERS],
    mut book: [MemoryLease; HOLDERS],
    expire: impl AsyncFn(),
) {
    let mut begun = [i64::MIN; HOLDERS];
    for (at, step) in steps.iter().enumerate() {
        let wish = |now_ms| Wish { now_ms, ahead: AHEAD };
        let (answer, expected) = match *step {
            Step::Acquire(who, now_ms) => {
                let term = leases[who].acquire(|| wish(now_ms)).await;
                begun[who] = term.as_ref().map_or(begun[who], |term| term.from_ms);
                let told = book[who].acquire(|| wish(now_ms)).await;
                let range = |term: Term| (term.from_ms, term.fence_ms);
                (heard(term.map(range)), heard(told.map(range)))
            }
            Step::Renew(who, now_ms) => (
                heard(leases[who].renew(wish(now_ms)).await.map(|renewed| renewed.fence_ms)),
                heard(book[who].renew(wish(now_ms)).await.map(|renewed| renewed.fence_ms)),
            ),
            Step::Release(who, next_ms) => {
                // A generator's next slot never lies before its term, so no release lowers the fence further.
                let next_ms = next_ms.max(begun[who]);
                (heard(leases[who].release(next_ms).await), heard(book[who].release(next_ms).await))
            }
            Step::Expire => {
                expire().await;
                book[0].expire();
                continue;
            }
        };
        assert_eq!(answer, expected, "step {at} of {steps:?}");
    }
}

/// Reduces an answer to what the rules say about it.
fn heard<T: Debug>(answer: Result<T, LeaseError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(LeaseError::Lost(_)) => "lost".to_owned(),
        Err(LeaseError::Taken { .. }) => "taken".to_owned(),
        Err(error) => format!("error: {}", error.chain()),
    }
}

/// Draws steps from bytes, so that a failing run can be repeated: two bytes a step. Clocks differ by up to 25 s.
pub fn steps(bytes: &[u8]) -> Vec<Step> {
    const START: i64 = 1_763_740_800_000;
    let step = |(at, pair): (usize, &[u8])| {
        let who = usize::from(pair[0] % 3);
        let passed = i64::try_from(at).unwrap_or(0) * 700;
        let time = START + passed + i64::from(pair[1]) * 100;
        match pair[0] / 3 % 8 {
            0..=2 => Step::Acquire(who, time),
            3..=5 => Step::Renew(who, time),
            6 => Step::Release(who, time),
            _ => Step::Expire,
        }
    };
    bytes.chunks_exact(2).enumerate().map(step).collect()
}
