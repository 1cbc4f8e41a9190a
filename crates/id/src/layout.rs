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

    /// Makes the id of a slot; `None` if the slot or the worker id does not fit, so that no id is ever cut to another.
    pub const fn id(self, slot: Slot, worker: WorkerId) -> Option<u64> {
        if slot.0 >= self.end().0 || worker.0 > self.max_worker_id().0 {
            return None;
        }
        let tick = slot.0 >> self.sequence_bits();
        let sequence = slot.0 & (self.ids_per_tick() - 1);
        Some((((tick << self.worker_bits()) | worker.0 as u64) << self.sequence_bits()) | sequence)
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

    /// Tells how many slots of whole ticks fit into a span of time.
    pub fn slots_within(self, span: std::time::Duration) -> u64 {
        let ticks = span.as_millis() / u128::from(self.tick_ms());
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_mul(self.ids_per_tick()).min(self.end().get())
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

    const NOVEMBER_2026: i64 = 1_795_309_323_456;

    fn worker(layout: Layout, n: u64) -> WorkerId {
        WorkerId::new(layout, n).expect("a worker id of the layout")
    }

    #[test]
    fn ids_of_katsubushi_come_apart_and_together() {
        for (layout, id, unix_ms, worker_id, sequence) in [
            (Layout::Standard, 354_101_311_794_212_865, 1_504_494_731_615, 999, 1),
            (Layout::Standard, 354_103_658_909_954_052, 1_504_495_291_211, 999, 4),
            (Layout::Standard, 1_573_866_117_611_388_927, NOVEMBER_2026, 1_023, 4_095),
            (Layout::JsSafe, 614_791_452_196_863, NOVEMBER_2026 - 6, 63, 255),
            (Layout::Standard, 0, EPOCH_UNIX_MS, 0, 0),
            (Layout::JsSafe, 0, EPOCH_UNIX_MS, 0, 0),
        ] {
            let worker_id = worker(layout, worker_id);
            assert_eq!(layout.parts(id), Ok(Parts { unix_ms, worker_id, sequence }), "{layout:?} {id}");
            assert_eq!(layout.to_time(id), Ok(unix_ms), "{layout:?} {id}");
            let slot = layout.slot_at(unix_ms).expect("a time in range").plus(sequence);
            assert_eq!(layout.id(slot, worker_id), Some(id), "{layout:?} {id}");
        }
    }

    #[test]
    fn a_time_becomes_the_least_id_of_its_tick() {
        for (layout, unix_ms, id) in [
            (Layout::Standard, 1_465_276_650_000, 189_608_755_200_000_000),
            (Layout::Standard, 1_465_276_650_777, 189_608_758_458_974_208),
            (Layout::JsSafe, 1_465_276_650_000, 74_065_920_000_000),
            (Layout::JsSafe, 1_465_276_650_777, 74_065_921_261_568),
            (Layout::JsSafe, 1_465_276_650_770, 74_065_921_261_568),
        ] {
            assert_eq!(layout.to_id(unix_ms), Ok(id), "{layout:?} {unix_ms}");
            let before = layout.parts(id - 1).expect("an id");
            assert!(before.unix_ms < unix_ms, "the id below belongs to an earlier tick");
        }
    }

    #[test]
    fn the_range_ends_in_2084_and_2189_without_a_sign() {
        for (layout, end_ms, greatest) in [
            (Layout::Standard, 3_619_093_655_552, i64::MAX.unsigned_abs()),
            (Layout::JsSafe, 6_917_628_538_880, (1 << 53) - 1),
        ] {
            let last = layout.end().minus(1);
            assert_eq!(
                layout.id(last, layout.max_worker_id()),
                Some(greatest),
                "{layout:?}: its greatest id"
            );
            assert_eq!(layout.id(layout.end(), worker(layout, 0)), None, "{layout:?}: nothing at the end");
            assert_eq!(
                layout.id(Slot::new(u64::MAX), worker(layout, 0)),
                None,
                "{layout:?}: nothing behind it"
            );
            assert!(layout.parts(greatest).is_ok());
            let above = IdError { id: greatest + 1, max: greatest };
            assert_eq!(layout.parts(greatest + 1), Err(above), "{layout:?}: the sign bit is no time");
            assert_eq!(layout.slot_at(end_ms), Err(TimeError::AfterEnd(end_ms)), "{layout:?}");
            assert_eq!(layout.slot_at(end_ms - 1), Ok(layout.tick_start(last)), "{layout:?}");
            assert_eq!(layout.unix_ms(layout.end()), end_ms, "{layout:?}");
        }
    }

    #[test]
    fn times_before_the_epoch_and_beyond_all_numbers_have_no_slot() {
        for unix_ms in [i64::MIN, -1, 0, EPOCH_UNIX_MS - 1] {
            assert_eq!(Layout::Standard.slot_at(unix_ms), Err(TimeError::BeforeEpoch(unix_ms)));
        }
        assert_eq!(Layout::JsSafe.to_id(i64::MAX), Err(TimeError::AfterEnd(i64::MAX)));
        assert_eq!(Layout::Standard.slot_at(EPOCH_UNIX_MS), Ok(Slot::ZERO));
    }

    #[test]
    fn worker_ids_run_from_zero_to_the_layouts_greatest() {
        for (layout, max) in [(Layout::Standard, 1_023), (Layout::JsSafe, 63)] {
            assert_eq!(WorkerId::new(layout, 0).map(WorkerId::get), Ok(0), "0 is a worker id like any other");
            assert_eq!(WorkerId::new(layout, max), Ok(layout.max_worker_id()));
            for n in [max + 1, 65_535, 65_536, u64::MAX] {
                assert_eq!(WorkerId::new(layout, n), Err(WorkerIdError { n, max }), "{layout:?} {n}");
            }
        }
    }

    #[test]
    fn a_worker_id_of_another_layout_makes_no_id() {
        let slot = Layout::JsSafe.slot_at(NOVEMBER_2026).expect("a time in range");
        assert_eq!(
            Layout::JsSafe.id(slot, worker(Layout::Standard, 999)),
            None,
            "it would spill into the time"
        );
    }

    #[test]
    fn spans_count_the_started_tick() {
        let spans = |layout: Layout, ms| layout.slots_in(std::time::Duration::from_millis(ms));
        assert_eq!((spans(Layout::Standard, 0), spans(Layout::Standard, 10_000)), (0, 10_000 << 12));
        assert_eq!((spans(Layout::JsSafe, 1), spans(Layout::JsSafe, 3_000)), (1 << 8, 300 << 8));
        assert_eq!(Layout::Standard.slots_in(std::time::Duration::MAX), u64::MAX);
    }

    #[test]
    fn whole_ticks_fit_into_spans() {
        let within = |layout: Layout, us| layout.slots_within(std::time::Duration::from_micros(us));
        assert_eq!((within(Layout::Standard, 999), within(Layout::Standard, 2_999)), (0, 2 << 12));
        assert_eq!((within(Layout::JsSafe, 9_999), within(Layout::JsSafe, 29_999)), (0, 2 << 8));
        assert_eq!(Layout::Standard.slots_within(std::time::Duration::MAX), Layout::Standard.end().get());
    }
}
