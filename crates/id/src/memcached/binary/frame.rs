//! The header of a request, and responses.

/// First byte of a request.
pub(in crate::memcached) const REQUEST: u8 = 0x80;

/// First byte of a response.
const RESPONSE: u8 = 0x81;

/// Length of a header in bytes.
pub(super) const HEADER_BYTES: usize = 24;

/// What a request's header says, as far as anybody here asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) opcode: u8,
    pub(super) n_key: u16,
    pub(super) n_extras: u8,
    pub(super) n_body: u32,
    /// Chosen by the client, given back unread.
    pub(super) opaque: [u8; 4],
}

impl Header {
    /// Reads a header; its first byte is [`REQUEST`].
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [_, opcode, k0, k1, n_extras, _, _, _, b0, b1, b2, b3, o0, o1, o2, o3, ..] = *bytes;
        Self {
            opcode,
            n_key: u16::from_be_bytes([k0, k1]),
            n_extras,
            n_body: u32::from_be_bytes([b0, b1, b2, b3]),
            opaque: [o0, o1, o2, o3],
        }
    }

    /// Whether key and extras fit the body. Both together exceed 16 bits.
    pub(super) fn is_consistent(&self) -> bool {
        u32::from(self.n_key) + u32::from(self.n_extras) <= self.n_body
    }

    /// Whether the body is a key of at most `longest` bytes and so many bytes of extras, and nothing else.
    pub(super) fn is_key_of(&self, longest: usize, n_extras: u8) -> bool {
        self.n_extras == n_extras
            && usize::from(self.n_key) <= longest
            && self.n_body == u32::from(self.n_key) + u32::from(n_extras)
    }
}

/// The status of a response. Source: memcached's protocol_binary.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Success,
    NotFound,
    InvalidArguments,
    UnknownCommand,
    Internal,
    Busy,
    TemporaryFailure,
}

impl Status {
    fn code(self) -> u16 {
        match self {
            Self::Success => 0x0000,
            Self::NotFound => 0x0001,
            Self::InvalidArguments => 0x0004,
            Self::UnknownCommand => 0x0081,
            Self::Internal => 0x0084,
            Self::Busy => 0x0085,
            Self::TemporaryFailure => 0x0086,
        }
    }

    /// The words in the body of a response that says nothing else.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Success => "",
            Self::NotFound => "Not found",
            Self::InvalidArguments => "Invalid arguments",
            Self::UnknownCommand => "Unknown command",
            Self::Internal => "Internal error",
            Self::Busy => "Busy",
            Self::TemporaryFailure => "Temporary failure",
        }
    }
}

/// Appends a response whose body is made of these parts; the CAS is always 0.
pub(super) fn write_response(
    request: &Header,
    status: Status,
    extras: &[u8],
    key: &[u8],
    value: &[u8],
    out: &mut Vec<u8>,
) {
    let n_body = u32::try_from(extras.len() + key.len() + value.len()).unwrap_or(u32::MAX);
    let [k0, k1] = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    let n_extras = u8::try_from(extras.len()).unwrap_or(u8::MAX);
    let [s0, s1] = status.code().to_be_bytes();
    let [b0, b1, b2, b3] = n_body.to_be_bytes();
    let [o0, o1, o2, o3] = request.opaque;
    #[rustfmt::skip]
    let header: [u8; HEADER_BYTES] = [
        RESPONSE, request.opcode, k0, k1, n_extras, 0, s0, s1,
        b0, b1, b2, b3, o0, o1, o2, o3,
        0, 0, 0, 0, 0, 0, 0, 0,
    ];
    for part in [&header[..], extras, key, value] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::Header;

    #[test]
    fn lengths_that_overflow_sixteen_bits_are_seen_through() {
        let header = Header { opcode: 0, n_key: u16::MAX, n_extras: u8::MAX, n_body: 254, opaque: [0; 4] };
        assert!(!header.is_consistent());
        assert!(Header { n_body: 65_790, ..header }.is_consistent());
    }
}
