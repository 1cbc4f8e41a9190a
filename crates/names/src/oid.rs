//! Object ids of both formats.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The hash function that names the objects of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// 20-byte ids.
    Sha1,
    /// 32-byte ids.
    Sha256,
}

impl ObjectFormat {
    /// Returns the name that git uses in `object-format` and `extensions.objectFormat`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Finds the format of that name; `None` if git has no such format.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }

    /// Length of an id in bytes.
    pub const fn oid_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Length of an id in hexadecimal digits.
    pub const fn hex_len(self) -> usize {
        self.oid_len() * 2
    }

    /// Returns the zeros that stand for "no object" on the wire.
    pub const fn zero_hex(self) -> &'static str {
        const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
        match self {
            Self::Sha1 => ZEROS.split_at(40).0,
            Self::Sha256 => ZEROS,
        }
    }
}

impl fmt::Display for ObjectFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of an object: the hash of its content. Never all zeros.
///
/// Absence is `Option<Oid>`; the zero id of git's wire format exists only in
/// [`Oid::parse_wire`] and [`Oid::wire_hex`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid {
    bytes: [u8; 32],
    format: ObjectFormat,
}

/// Why bytes are not an object id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseOidError {
    /// The length fits neither format, or not the expected one.
    #[error("object id has {len} characters")]
    Length {
        /// Length seen, in bytes or digits.
        len: usize,
    },
    /// A character is not a lower-case hexadecimal digit.
    #[error("object id has a character that is not a hexadecimal digit")]
    Digit,
    /// All zeros: the wire's "no object" where an object is needed.
    #[error("object id is all zeros")]
    Zero,
}

impl Oid {
    /// Reads an id from its raw bytes; the length (20 or 32) decides the format.
    ///
    /// # Errors
    /// [`ParseOidError::Length`] for any other length, [`ParseOidError::Zero`] for zeros.
    pub fn from_bytes(raw: &[u8]) -> Result<Self, ParseOidError> {
        let format = match raw.len() {
            20 => ObjectFormat::Sha1,
            32 => ObjectFormat::Sha256,
            len => return Err(ParseOidError::Length { len }),
        };
        if raw.iter().all(|byte| *byte == 0) {
            return Err(ParseOidError::Zero);
        }
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Ok(Self { bytes, format })
    }

    /// Reads an id from hexadecimal digits; the length (40 or 64) decides the format. Upper case is refused,
    /// as git never writes it.
    ///
    /// # Errors
    /// Any [`ParseOidError`].
    pub fn parse_hex(hex: &[u8]) -> Result<Self, ParseOidError> {
        if hex.len() != 40 && hex.len() != 64 {
            return Err(ParseOidError::Length { len: hex.len() });
        }
        let mut raw = [0; 32];
        for (byte, digits) in raw.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(digits[0])? << 4 | nibble(digits[1])?;
        }
        Self::from_bytes(&raw[..hex.len() / 2])
    }

    /// Reads an id of one format from the wire, where all zeros mean "no object".
    ///
    /// # Errors
    /// [`ParseOidError::Length`] if it is not an id of `format`, [`ParseOidError::Digit`] for other characters.
    pub fn parse_wire(hex: &[u8], format: ObjectFormat) -> Result<Option<Self>, ParseOidError> {
        if hex.len() != format.hex_len() {
            return Err(ParseOidError::Length { len: hex.len() });
        }
        match Self::parse_hex(hex) {
            Ok(oid) => Ok(Some(oid)),
            Err(ParseOidError::Zero) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an optional id as the wire has it.
    pub fn wire_hex(oid: Option<Self>, format: ObjectFormat) -> String {
        oid.map_or_else(|| format.zero_hex().to_owned(), |oid| oid.to_string())
    }

    /// Returns the raw bytes, 20 or 32 of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.format.oid_len()]
    }

    /// Returns the format, which the length decides.
    pub const fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Appends the hexadecimal digits to a buffer.
    pub fn write_hex(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in self.as_bytes() {
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
        }
    }
}

/// Reads one hexadecimal digit.
pub(crate) fn nibble(digit: u8) -> Result<u8, ParseOidError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ParseOidError::Digit),
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

impl std::str::FromStr for Oid {
    type Err = ParseOidError;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        Self::parse_hex(hex.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectFormat, Oid, ParseOidError};

    #[test]
    fn hex_and_bytes_name_the_same_object() {
        for hex in ["8ab686eafeb1f44702738c8b0f24f2567c36da6d", &"ab".repeat(32)] {
            let oid: Oid = hex.parse().expect("valid hex");
            assert_eq!(oid.to_string(), hex);
            assert_eq!(Oid::from_bytes(oid.as_bytes()), Ok(oid));
            let mut out = Vec::new();
            oid.write_hex(&mut out);
            assert_eq!(out, hex.as_bytes());
        }
    }

    #[test]
    fn odd_input_is_refused() {
        let cases: [(&[u8], ParseOidError); 4] = [
            (b"", ParseOidError::Length { len: 0 }),
            (&[b'a'; 41], ParseOidError::Length { len: 41 }),
            (&[b'A'; 40], ParseOidError::Digit),
            (&[b'0'; 40], ParseOidError::Zero),
        ];
        for (hex, error) in cases {
            assert_eq!(Oid::parse_hex(hex), Err(error), "{hex:?}");
        }
    }

    #[test]
    fn the_wire_has_zeros_for_absence() {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let zero = format.zero_hex();
            assert_eq!(zero.len(), format.hex_len());
            assert_eq!(Oid::parse_wire(zero.as_bytes(), format), Ok(None));
            assert_eq!(Oid::wire_hex(None, format), zero);
        }
        assert!(Oid::parse_wire(&[b'a'; 40], ObjectFormat::Sha256).is_err());
    }
}
