//! How a time, a worker id and a sequence number share one integer.
//!
//! ```text
//!             63   62                    22 21        12 11         0
//! standard  |  0 | 41 bits of milliseconds | 10 worker  | 12 sequence |
//!
//!             63      53 52              14 13         8 7          0
//! js-safe   |     0     | 39 bits of 10 ms | 6 worker   | 8 sequence  |
//! ```
//!
//! Time counts from 2015-01-01T00:00:00Z. Source: katsubushi, whose ids and converters these are. A tick is one unit
//! of that time; a slot is a tick and a sequence number, the place that one id of one worker takes.

use std::fmt;

/// 2015-01-01T00:00:00Z in milliseconds since 1970.
const EPOCH_UNIX_MS: i64 = 1_420_070_400_000;

/// Where the fields of an id lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Ticks of 1 ms, 1,024 workers, 4,096,000 ids a second each, until September 2084.
    Standard,
    /// Ids below 2^53, exact in JavaScript: ticks of 10 ms, 64 workers, 25,600 ids a second each, until 2189.
    JsSafe,
}

/// The number of a generator, unique among all that issue at the same time; valid in the layout it was made for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId(u16);

/// A tick and a sequence number, as `tick << sequence_bits | sequence`; a later slot is the greater number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Slot(u64);

/// What an id is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts {
    /// Start of its tick, in milliseconds since 1970.
    pub unix_ms: i64,
    /// Who issued it.
    pub worker_id: WorkerId,
    /// Its number within the tick.
    pub sequence: u64,
}

/// A worker id that the layout has no room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("worker id {n} is not in 0..={max}")]
pub struct WorkerIdError {
    /// The number asked for.
    pub n: u64,
    /// The greatest that the layout has room for.
    pub max: u64,
}

/// An integer that is no id of the layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{id} is no id of this layout, whose greatest is {max}")]
pub struct IdError {
    /// The integer.
    pub id: u64,
    /// The greatest id of the layout.
    pub max: u64,
}

/// A time that no id of the layout can carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TimeError {
    /// It lies before 2015.
    #[error("{0} ms since 1970 is before the epoch of ids, 2015-01-01")]
    BeforeEpoch(i64),
    /// It lies behind the last tick.
    #[error("{0} ms since 1970 is after the last time that ids can carry")]
    AfterEnd(i64),
}

impl Layout {
    /// Tells how many milliseconds a tick lasts.
    pub const fn tick_ms(self) -> u64 {
        match self {
            Layout::Standard => 1,
            Layout::JsSafe => 10,
        }
    }

    /// Tells the greatest worker id; the least is 0.
    pub const fn max_worker_id(self) -> WorkerId {
        WorkerId((1 << self.worker_bits()) - 1)
    }

    /// Tells how many ids one worker can issue in a tick.
    pub const fn ids_per_tick(self) -> u64 {
        1 << self.sequence_bits()
    }

    /// Tells the first slot out of range: ids of it would need a bit that the layout does not have.
    pub const fn end(self) -> Slot {
        Slot(1 << self.slot_bits())
    }

    /// Tells the greatest id.
    pub const fn max_id(self) -> u64 {
        (1 << (self.slot_bits() + self.worker_bits())) - 1
    }

    /// Makes the id of a slot.
    ///
    /// `slot` must lie before [`Layout::end`]; of one behind it the surplus bits are cut, never shifted into the sign.
    pub const fn id(self, slot: Slot, worker: WorkerId) -> u64 {
        let sequence = slot.0 & (self.ids_per_tick() - 1);
        let tick = slot.0 >> self.sequence_bits();
        let id = (((tick << self.worker_bits()) | worker.0 as u64) << self.sequence_bits()) | sequence;
        id & self.max_id()
    }

    /// Takes an id apart.
    ///
    /// # Errors
    /// If it is greater than any id of this layout.
    pub fn parts(self, id: u64) -> Result<Parts, IdError> {
        if id > self.max_id() {
            return Err(IdError { id, max: self.max_id() });
        }
        let worker = (id >> self.sequence_bits()) & u64::from(self.max_worker_id().0);
        Ok(Parts {
            unix_ms: self.unix_ms(Slot(id >> self.worker_bits())),
            worker_id: WorkerId::from_bits(worker),
            sequence: id & (self.ids_per_tick() - 1),
        })
    }

    /// Tells the time of an id, in milliseconds since 1970.
    ///
    /// # Errors
    /// If it is no id of this layout.
    pub fn to_time(self, id: u64) -> Result<i64, IdError> {
        self.parts(id).map(|parts| parts.unix_ms)
    }

    /// Tells the least id of the tick that a time lies in: ids from then on are not below it.
    ///
    /// # Errors
    /// If no id can carry the time.
    pub fn to_id(self, unix_ms: i64) -> Result<u64, TimeError> {
        self.slot_at(unix_ms).map(|slot| slot.0 << self.worker_bits())
    }

    /// Tells the first slot of the tick that a time lies in.
    ///
    /// # Errors
    /// If no id can carry the time.
    pub fn slot_at(self, unix_ms: i64) -> Result<Slot, TimeError> {
        let since = unix_ms.checked_sub(EPOCH_UNIX_MS).and_then(|since| u64::try_from(since).ok());
        let tick = since.ok_or(TimeError::BeforeEpoch(unix_ms))? / self.tick_ms();
        if tick >= self.end().0 >> self.sequence_bits() {
            return Err(TimeError::AfterEnd(unix_ms));
        }
        Ok(Slot(tick << self.sequence_bits()))
    }

    /// Tells when the tick of a slot starts, in milliseconds since 1970.
    pub const fn unix_ms(self, slot: Slot) -> i64 {
        EPOCH_UNIX_MS.saturating_add_unsigned((slot.0 >> self.sequence_bits()) * self.tick_ms())
    }

    /// Tells the first slot of the same tick.
    pub const fn tick_start(self, slot: Slot) -> Slot {
        Slot(slot.0 & !(self.ids_per_tick() - 1))
    }

    /// Tells the first slot of the next tick.
    pub const fn next_tick(self, slot: Slot) -> Slot {
        Slot(self.tick_start(slot).0.saturating_add(self.ids_per_tick()))
    }

    /// Tells how many slots pass in a span of time, the started tick included.
    pub fn slots_in(self, span: std::time::Duration) -> u64 {
        let ticks = span.as_millis().div_ceil(u128::from(self.tick_ms()));
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_mul(self.ids_per_tick())
    }

    /// The layout as configuration and file names write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Layout::Standard => "standard",
            Layout::JsSafe => "js-safe",
        }
    }

    pub(crate) const fn slot_bits(self) -> u32 {
        match self {
            Layout::Standard => 41 + 12,
            Layout::JsSafe => 39 + 8,
        }
    }

    const fn worker_bits(self) -> u32 {
        match self {
            Layout::Standard => 10,
            Layout::JsSafe => 6,
        }
    }

    const fn sequence_bits(self) -> u32 {
        match self {
            Layout::Standard => 12,
            Layout::JsSafe => 8,
        }
    }
}

impl WorkerId {
    /// Takes a number that the layout has room for; 0 is one.
    ///
    /// # Errors
    /// If it is too great.
    pub fn new(layout: Layout, n: u64) -> Result<Self, WorkerIdError> {
        let max = layout.max_worker_id();
        u16::try_from(n)
            .ok()
            .map(Self)
            .filter(|worker| *worker <= max)
            .ok_or(WorkerIdError { n, max: u64::from(max.0) })
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Takes the low 16 bits of a number that was a worker id before.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        let [low, high, ..] = bits.to_le_bytes();
        Self(u16::from_le_bytes([low, high]))
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Slot {
    /// The first slot of the epoch, before everything that is ever issued; as a fence it lets nothing pass.
    pub const ZERO: Slot = Slot(0);

    /// Takes a number that [`Slot::get`] told, for example to a file.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The number, `tick << sequence_bits | sequence`.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The slot `n` places later.
    #[must_use]
    pub const fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The slot `n` places earlier, at least [`Slot::ZERO`].
    #[must_use]
    pub const fn minus(self, n: u64) -> Self {
        Self(self.0.saturating_sub(n))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ids_come_apart() {
        let parts = Layout::Standard.parts(354_101_311_794_212_865);
        assert_eq!(parts, Ok(Parts { unix_ms: 1_504_494_731_615, worker_id: WorkerId(999), sequence: 1 }));
    }
}
