//! Our time as a line over the boot clock, which one writer bends and many read without a lock.

use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// How long a correction takes, in nanoseconds of the boot clock; behind it the line runs on without one.
pub(crate) const BEND_NS: i64 = 1_000_000_000;

/// A stretch of the line, all in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stretch {
    /// Where on the boot clock it starts.
    pub(crate) from: i64,
    /// Our time there.
    pub(crate) at: i64,
    /// What our time gains, or loses if negative, over [`BEND_NS`].
    pub(crate) correction: i64,
}

/// The current stretch, and the one before it for those who are still reading it.
///
/// The writer fills the cell that nobody is sent to and then sends readers there, so these neither wait nor see half
/// of a change: a reader whose cell is being written again notices that the turn has moved on.
#[derive(Debug)]
pub(crate) struct Line {
    turn: AtomicU64,
    cells: [Cell; 2],
}

#[derive(Debug)]
struct Cell {
    from: AtomicI64,
    at: AtomicI64,
    correction: AtomicI64,
}

impl Stretch {
    /// Tells our time at a reading of the boot clock; it rises with the reading if the correction is below [`BEND_NS`].
    pub(crate) fn time_at(&self, boot: i64) -> i64 {
        let passed = boot.saturating_sub(self.from).max(0);
        let gained = self.correction.saturating_mul(passed.min(BEND_NS)) / BEND_NS;
        self.at.saturating_add(passed).saturating_add(gained)
    }
}

impl Line {
    pub(crate) fn new(first: Stretch) -> Self {
        Self { turn: AtomicU64::new(0), cells: [Cell::new(first), Cell::new(first)] }
    }

    /// Reads the current stretch. Starts again only if another was published meanwhile, which happens once a second.
    pub(crate) fn read(&self) -> Stretch {
        loop {
            let turn = self.turn.load(Ordering::Acquire);
            let stretch = self.cell(turn).load();
            if self.turn.load(Ordering::Acquire) == turn {
                return stretch;
            }
        }
    }

    /// Replaces the current stretch. There must be one caller at a time.
    pub(crate) fn publish(&self, stretch: Stretch) {
        let turn = self.turn.load(Ordering::Acquire).wrapping_add(1);
        self.cell(turn).store(stretch);
        self.turn.store(turn, Ordering::Release);
    }

    fn cell(&self, turn: u64) -> &Cell {
        let [even, odd] = &self.cells;
        if turn.is_multiple_of(2) { even } else { odd }
    }
}

impl Cell {
    fn new(stretch: Stretch) -> Self {
        Self {
            from: AtomicI64::new(stretch.from),
            at: AtomicI64::new(stretch.at),
            correction: AtomicI64::new(stretch.correction),
        }
    }

    // Acquire and release on each field: who reads one of a later stretch then also reads the later turn.
    fn load(&self) -> Stretch {
        Stretch {
            from: self.from.load(Ordering::Acquire),
            at: self.at.load(Ordering::Acquire),
            correction: self.correction.load(Ordering::Acquire),
        }
    }

    fn store(&self, stretch: Stretch) {
        self.from.store(stretch.from, Ordering::Release);
        self.at.store(stretch.at, Ordering::Release);
        self.correction.store(stretch.correction, Ordering::Release);
    }
}
