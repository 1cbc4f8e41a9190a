//! Following the pkt-lines of a request without keeping them, to know a whole one from a cut one.

use hakata_forge::hosting::Service;
use hakata_pkt_line::MAX_PKT_LINE;

use crate::request_body::BodyError;

/// Where a request stands between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    service: Service,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a length: digits read, and their value.
    Length(u8, usize),
    /// In a payload: bytes to come.
    Payload(usize),
    /// Behind the commands of a push: a pack, which is not in pkt-lines.
    Pack,
}

impl Framing {
    /// Starts at the first byte of a request to `service`.
    pub(crate) fn new(service: Service) -> Self {
        Self { service, at: At::Length(0, 0) }
    }

    /// Follows bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), BodyError> {
        while let Some(&first) = bytes.first() {
            match self.at {
                At::Pack => return Ok(()),
                At::Payload(left) => {
                    let n = left.min(bytes.len());
                    bytes = &bytes[n..];
                    self.at = if n == left { At::Length(0, 0) } else { At::Payload(left - n) };
                }
                At::Length(n_digits, value) => {
                    let digit = char::from(first).to_digit(16).ok_or(BodyError::NotPktLine)?;
                    bytes = &bytes[1..];
                    self.at = self.after_digit(n_digits + 1, value << 4 | digit as usize)?;
                }
            }
        }
        Ok(())
    }

    fn after_digit(&self, n_digits: u8, value: usize) -> Result<At, BodyError> {
        match (n_digits, value) {
            (..4, _) => Ok(At::Length(n_digits, value)),
            (_, 0) if self.service == Service::ReceivePack => Ok(At::Pack),
            (_, 0..=2 | 4) => Ok(At::Length(0, 0)),
            (_, 5..=MAX_PKT_LINE) => Ok(At::Payload(value - 4)),
            _ => Err(BodyError::NotPktLine),
        }
    }

    /// Tells whether a request may end here.
    pub(crate) fn may_end(&self) -> bool {
        match (self.service, self.at) {
            (_, At::Pack) => true,
            (Service::UploadPack, At::Length(0, _)) => true,
            (_, At::Length(..) | At::Payload(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use hakata_forge::hosting::Service;

    use super::Framing;
    use crate::request_body::BodyError;

    #[test]
    fn a_request_is_whole_at_the_end_of_a_packet() {
        use Service::{ReceivePack, UploadPack};
        for (service, request, expected) in [
            (UploadPack, &b"0000"[..], Ok(true)),
            (UploadPack, b"0009done\n", Ok(true)),
            (UploadPack, b"0014command=ls-refs\n00010000", Ok(true)),
            (UploadPack, b"0004", Ok(true)),
            (UploadPack, b"000", Ok(false)),
            (UploadPack, b"0009done", Ok(false)),
            (UploadPack, b"0009", Ok(false)),
            (UploadPack, b"0003", Err(BodyError::NotPktLine)),
            (UploadPack, b"fff1", Err(BodyError::NotPktLine)),
            (UploadPack, b"PACK", Err(BodyError::NotPktLine)),
            (UploadPack, b"0009done\nxxxx", Err(BodyError::NotPktLine)),
            (ReceivePack, b"0000", Ok(true)),
            (ReceivePack, b"0000PACK", Ok(true)),
            (ReceivePack, b"0009line\n", Ok(false)),
            (ReceivePack, b"0009line\n0000PACK", Ok(true)),
            (ReceivePack, b"zzzz", Err(BodyError::NotPktLine)),
        ] {
            for piece in [1, 3, 100] {
                let mut framing = Framing::new(service);
                let fed = request.chunks(piece).try_for_each(|piece| framing.feed(piece));
                assert_eq!(fed.map(|()| framing.may_end()), expected, "{service:?} {request:?}");
            }
        }
    }
}
