//! Sizes and spans of time as people write them: `5GiB`, `30s`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, written with a unit: `512B`, `64KiB`, `5GiB`, or decimal `10MB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// A span of time, written with units: `250ms`, `30s`, `1h30m`, `7d`; kept to the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Why a value with a unit was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUnitError {
    /// There is no number where one is needed.
    #[error("no number in {0:?}; {1}")]
    NoNumber(String, &'static str),
    /// The unit is absent or not one of ours.
    #[error("no known unit in {0:?}; {1}")]
    UnknownUnit(String, &'static str),
    /// The value does not fit.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

const SIZE_HINT: &str = "write a size like 512B, 64KiB or 5GiB";
const SPAN_HINT: &str = "write a time like 250ms, 30s, 5m or 1h30m";

/// Units of size, largest binary first: display takes the first that divides.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of time in milliseconds, largest first.
const SPANS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl ByteSize {
    /// Wraps a count of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Wraps a count of mebibytes.
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// Tells the count of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        let (number, unit, rest) = split(text, SIZE_HINT)?;
        let factor =
            SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
        match factor {
            Some(factor) if rest.is_empty() => match number.checked_mul(factor) {
                Some(bytes) => Ok(Self(bytes)),
                None => Err(ParseUnitError::TooLarge(text.to_owned())),
            },
            _ => Err(ParseUnitError::UnknownUnit(text.to_owned(), SIZE_HINT)),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SIZES[..4].iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = binary.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Span {
    /// Wraps a duration; what is below a millisecond is dropped.
    pub fn new(duration: Duration) -> Self {
        Self(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Wraps a count of seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Tells the duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        if text == "0" {
            // The one number that needs no unit.
            return Ok(Self(Duration::ZERO));
        }
        let mut total: u64 = 0;
        let mut left = text;
        loop {
            let (number, unit, rest) = split(left, SPAN_HINT)?;
            let factor = SPANS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
            let factor = factor.ok_or_else(|| ParseUnitError::UnknownUnit(text.to_owned(), SPAN_HINT))?;
            let sum = number.checked_mul(factor).and_then(|part| total.checked_add(part));
            total = sum.ok_or_else(|| ParseUnitError::TooLarge(text.to_owned()))?;
            if rest.is_empty() {
                return Ok(Self(Duration::from_millis(total)));
            }
            left = rest;
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in SPANS {
            if left >= factor {
                write!(f, "{}{unit}", left / factor)?;
                left %= factor;
            }
        }
        Ok(())
    }
}

/// Splits `12abc34d` into the number 12, the letters `abc` and the rest `34d`.
fn split<'a>(text: &'a str, hint: &'static str) -> Result<(u64, &'a str, &'a str), ParseUnitError> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Err(ParseUnitError::NoNumber(text.to_owned(), hint));
    }
    let (number, tail) = text.split_at(digits);
    let number = number.parse().map_err(|_| ParseUnitError::TooLarge(text.to_owned()))?;
    let tail = tail.trim_start_matches(' ');
    let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    let (unit, rest) = tail.split_at(letters);
    Ok((number, unit, rest))
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

as_text!(ByteSize);
as_text!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_print() {
        for (text, bytes, shown) in [
            ("0B", 0, "0B"),
            ("5GiB", 5 << 30, "5GiB"),
            ("64 KiB", 65_536, "64KiB"),
            ("10MB", 10_000_000, "10000000B"),
            ("1536kib", 1_572_864, "1536KiB"),
            ("17B", 17, "17B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text} comes back");
        }
        for text in ["", "5", "GiB", "-1B", "5GiB3", "1.5GiB", "99999999999TiB", "5 parsecs"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn spans_parse_and_print() {
        for (text, ms, shown) in [
            ("0s", 0, "0s"),
            ("0", 0, "0s"),
            ("250ms", 250, "250ms"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("7d", 604_800_000, "7d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.duration().as_millis(), span.to_string().as_str()), (ms, shown), "{text}");
        }
        for text in ["", "30", "s", "1y", "-3s", "999999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
