//! Undoing gzip with a bound on what comes out.

use flate2::{Decompress, FlushDecompress, Status};

use crate::request_body::BodyError;

/// The inflated bytes that any gzip body may have before its ratio counts: ref lists compress well.
const FREE_BYTES: u64 = 1 << 20;

/// One gzip member being inflated. Performs no IO and keeps no more than zlib's window.
pub(crate) struct Inflater {
    member: Decompress,
    max_ratio: u64,
    ended: bool,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inflated {
    /// Bytes taken from the input.
    pub(crate) consumed: usize,
    /// Bytes put into the output.
    pub(crate) produced: usize,
}

impl Inflater {
    /// Starts a body whose inflated size may be `max_ratio` times its size on the wire.
    pub(crate) fn new(max_ratio: u64) -> Self {
        // 15: the largest window that deflate has.
        Self { member: Decompress::new_gzip(15), max_ratio, ended: false }
    }

    /// Inflates what fits. Nothing consumed and nothing produced means that it needs more input, or a larger
    /// output than none.
    pub(crate) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Inflated, BodyError> {
        if self.ended {
            return if input.is_empty() {
                Ok(Inflated { consumed: 0, produced: 0 })
            } else {
                Err(BodyError::Trailing)
            };
        }
        let before = (self.member.total_in(), self.member.total_out());
        let status = self.member.decompress(input, output, FlushDecompress::None);
        let (total_in, total_out) = (self.member.total_in(), self.member.total_out());
        match status.map_err(|_| BodyError::NotGzip)? {
            Status::StreamEnd => self.ended = true,
            Status::Ok | Status::BufError => {}
        }
        if total_out > FREE_BYTES && total_out / self.max_ratio > total_in {
            return Err(BodyError::Ratio { max_ratio: self.max_ratio });
        }
        let lengths = (usize::try_from(total_in - before.0), usize::try_from(total_out - before.1));
        let (consumed, produced) = (lengths.0.unwrap_or(input.len()), lengths.1.unwrap_or(output.len()));
        Ok(Inflated { consumed, produced })
    }

    /// Tells whether the member is whole, its checksum included.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::{Inflated, Inflater};
    use crate::request_body::BodyError;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(mut input: &[u8], piece: usize) -> Result<(Vec<u8>, bool), BodyError> {
        let mut inflater = Inflater::new(100);
        let (mut plain, mut output) = (Vec::new(), vec![0; 4096]);
        loop {
            let given = &input[..input.len().min(piece)];
            let Inflated { consumed, produced } = inflater.step(given, &mut output)?;
            plain.extend_from_slice(&output[..produced]);
            input = &input[consumed..];
            if consumed == 0 && produced == 0 {
                return Ok((plain, inflater.ended()));
            }
        }
    }

    #[test]
    fn any_split_inflates_to_the_same_bytes() {
        let plain: Vec<u8> = (0..40_000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let wire = gzip(&plain);
        for piece in [1, 2, 7, 1000, wire.len()] {
            assert!(inflate(&wire, piece).unwrap() == (plain.clone(), true), "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_cut_changed_or_continued_is_noticed() {
        let wire = gzip(b"0000");
        for cut in 0..wire.len() {
            assert!(matches!(inflate(&wire[..cut], 3), Ok((_, false))), "cut at {cut}");
        }
        let mut changed = wire.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(inflate(&changed, 3), Err(BodyError::NotGzip)));
        assert!(matches!(inflate(b"0000", 3), Err(BodyError::NotGzip)));
        assert!(matches!(inflate(&[&wire[..], b"x"].concat(), 3), Err(BodyError::Trailing)));
        assert!(matches!(inflate(&[&wire[..], &wire].concat(), 1000), Err(BodyError::Trailing)));
    }

    #[test]
    fn a_bomb_is_defused_by_its_ratio() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(bomb.len() < 10_000);
        assert!(matches!(inflate(&bomb, 4096), Err(BodyError::Ratio { max_ratio: 100 })));
        let ref_list = b"0000000000000000000000000000000000000000 refs/heads/topic\n".repeat(10_000);
        assert!(inflate(&gzip(&ref_list), 4096).is_ok(), "a list of refs is no bomb");
    }
}
