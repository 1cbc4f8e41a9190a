//! Names of LFS objects.

use std::fmt;
use std::fmt::Write as _;

use crate::oid::nibble;

/// The name of an LFS object: the SHA-256 of its bytes. As text always 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LfsOid([u8; Self::LEN]);

/// Text that names no LFS object: of another length, or with other characters than `0-9a-f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an LFS oid has 64 lower-case hexadecimal digits")]
pub struct ParseLfsOidError;

impl LfsOid {
    /// Its bytes.
    pub const LEN: usize = 32;

    /// Parses the text of a pointer, a request or a URL.
    ///
    /// # Errors
    /// [`ParseLfsOidError`]; upper case is one, as the client never writes it and paths would have two names.
    pub fn parse(text: &[u8]) -> Result<Self, ParseLfsOidError> {
        let mut raw = [0; Self::LEN];
        if text.len() != 2 * Self::LEN {
            return Err(ParseLfsOidError);
        }
        for (byte, pair) in raw.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(raw))
    }

    /// Wraps a SHA-256.
    pub const fn new(raw: [u8; Self::LEN]) -> Self {
        Self(raw)
    }

    /// Takes the bytes that a row holds; `None` if they are not 32.
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        raw.try_into().ok().map(Self)
    }

    /// Returns the SHA-256.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

fn digit(byte: u8) -> Result<u8, ParseLfsOidError> {
    nibble(byte).map_err(|_| ParseLfsOidError)
}

impl fmt::Display for LfsOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = String::with_capacity(2 * Self::LEN);
        for byte in self.0 {
            write!(hex, "{byte:02x}")?;
        }
        f.pad(&hex)
    }
}

impl fmt::Debug for LfsOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LfsOid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::LfsOid;

    #[test]
    fn only_64_lower_case_digits_are_an_oid() {
        let good = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        assert_eq!(LfsOid::parse(good.as_bytes()).unwrap().to_string(), good);
        let upper = good.to_uppercase();
        let (short, long) = (&good[..63], format!("{good}0"));
        let bad = format!("{}g", &good[..63]);
        for text in ["", short, &long, &upper, &bad, "../../../etc/passwd", &"é".repeat(32)] {
            assert!(LfsOid::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
