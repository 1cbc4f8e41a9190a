//! The one line of a fence file.
//!
//! ```text
//! hakata-fence 1 standard-7 fence 0001763740800000 pid 0000004711 sum 0123456789abcdef
//! ```
//!
//! Its length is the same for every fence of a worker id, so it is written over in place, and it is shorter than a
//! sector, so a crash leaves the old line or the new one. The sum (FNV-1a, 64 bits) tells if it left neither.

/// A fence and the process that wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) fence_ms: i64,
    pub(super) pid: u32,
}

/// The longest line in bytes.
pub(super) const MAX_LINE: usize = 256;

impl Record {
    /// Writes the line of the worker id called `name`; a fence before 1970 is written as 1970.
    pub(super) fn encode(self, name: &str) -> String {
        let body = format!(
            "hakata-fence 1 {name} fence {:016} pid {:010} sum ",
            self.fence_ms.clamp(0, 9_999_999_999_999_999),
            self.pid
        );
        format!("{body}{:016x}\n", sum(body.as_bytes()))
    }

    /// Reads the line of the worker id called `name`; `None` if it is anything else.
    pub(super) fn parse(line: &[u8], name: &str) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let (body, sum_text) = line.split_at_checked(line.len().checked_sub(16)?)?;
        if u64::from_str_radix(sum_text, 16).ok()? != sum(body.as_bytes()) {
            return None;
        }
        let rest = body.strip_prefix("hakata-fence 1 ")?.strip_prefix(name)?.strip_prefix(" fence ")?;
        let (fence, rest) = rest.split_once(" pid ")?;
        let pid = rest.strip_suffix(" sum ")?;
        Some(Self { fence_ms: fence.parse().ok()?, pid: pid.parse().ok()? })
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: Record = Record { fence_ms: 1_763_740_800_123, pid: 4711 };

    #[test]
    fn lines_of_one_worker_have_one_length() {
        let long = Record { fence_ms: i64::MAX, pid: u32::MAX }.encode("standard-7");
        let short = Record { fence_ms: -5, pid: 0 }.encode("standard-7");
        assert_eq!(long.len(), short.len());
        assert!(Record::default_length("js-safe-63") <= MAX_LINE);
        assert_eq!(Record::parse(RECORD.encode("standard-7").as_bytes(), "standard-7"), Some(RECORD));
        assert_eq!(
            Record::parse(RECORD.encode("standard-7").as_bytes(), "standard-8"),
            None,
            "another's line"
        );
        assert_eq!(
            Record::parse(RECORD.encode("standard-77").as_bytes(), "standard-7"),
            None,
            "nor a longer name's"
        );
    }

    impl Record {
        fn default_length(name: &str) -> usize {
            RECORD.encode(name).len()
        }
    }

    proptest! {
        #[test]
        fn a_damaged_line_is_never_read(at in 0_usize..86, to in any::<u8>(), cut in 0_usize..86) {
            let good = RECORD.encode("standard-7").into_bytes();
            let mut damaged = good.clone();
            damaged[at % good.len()] = to;
            let read = Record::parse(&damaged, "standard-7");
            prop_assert!(damaged == good || read.is_none() || read == Some(RECORD), "{read:?}");
            prop_assert_eq!(Record::parse(&good[..cut % good.len()], "standard-7"), None);
        }
    }
}
