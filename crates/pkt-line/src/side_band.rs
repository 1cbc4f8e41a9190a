//! side-band: three streams in one.

use crate::encode::write_length;
use crate::{MAX_PAYLOAD, encode::encode_parts};

/// Longest piece of a stream in one `side-band-64k` packet, in bytes: a payload less the band's byte.
pub const MAX_BAND_PAYLOAD: usize = MAX_PAYLOAD - 1;

/// The stream that a packet belongs to. Source: gitprotocol-pack(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// Band 1: the pack or the report.
    Primary,
    /// Band 2: words for the person, shown as `remote: …`.
    Progress,
    /// Band 3: a fatal error; the connection ends behind it.
    Fatal,
}

impl Band {
    /// Returns the byte that opens the payload.
    pub const fn code(self) -> u8 {
        match self {
            Self::Primary => 1,
            Self::Progress => 2,
            Self::Fatal => 3,
        }
    }

    /// Finds the band of a payload's first byte.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Primary),
            2 => Some(Self::Progress),
            3 => Some(Self::Fatal),
            _ => None,
        }
    }
}

/// Appends `bytes` to a band, in as many packets as they need.
pub fn encode_band(band: Band, bytes: &[u8], out: &mut Vec<u8>) {
    for piece in bytes.chunks(MAX_BAND_PAYLOAD) {
        encode_parts(&[&[band.code()], piece], out);
    }
}

/// Returns the five bytes that go before a piece of `len` bytes, for callers that send the piece itself
/// without copying it.
///
/// # Panics
/// If `len` is larger than [`MAX_BAND_PAYLOAD`].
pub fn encode_band_header(band: Band, len: usize) -> [u8; 5] {
    assert!(len <= MAX_BAND_PAYLOAD, "a piece of {len} bytes does not fit a side-band packet");
    let mut out = Vec::with_capacity(5);
    write_length(len + 5, &mut out);
    [out[0], out[1], out[2], out[3], band.code()]
}

#[cfg(test)]
mod tests {
    use super::{Band, MAX_BAND_PAYLOAD, encode_band, encode_band_header};

    #[test]
    fn long_bytes_are_cut_into_packets() {
        let mut out = Vec::new();
        encode_band(Band::Primary, &vec![9; MAX_BAND_PAYLOAD + 1], &mut out);
        assert_eq!(&out[..5], b"fff0\x01");
        assert_eq!(&out[65_520..], b"0006\x01\x09");
        assert_eq!(&encode_band_header(Band::Primary, MAX_BAND_PAYLOAD), b"fff0\x01");
    }

    #[test]
    fn codes_go_both_ways() {
        for band in [Band::Primary, Band::Progress, Band::Fatal] {
            assert_eq!(Band::from_code(band.code()), Some(band));
        }
        assert_eq!(Band::from_code(0), None);
    }
}
