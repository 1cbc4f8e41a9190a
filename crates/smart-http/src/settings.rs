//! What an operator may set about this face.

use std::time::Duration;

use hakata_runtime::units::ByteSize;

/// Limits of request bodies. The size of a pack is the forge's business.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest request of a fetch, inflated: wants, haves and options.
    pub max_fetch_request: ByteSize,
    /// How many times its own size a gzip body may inflate to, once past one mebibyte. A pack hardly
    /// inflates at all, a list of refs about 20 times, a bomb 1,000 times.
    pub max_inflate_ratio: u64,
    /// How much of a refused request is read to its end, so that its client gets to the answer and may
    /// use the connection again.
    pub max_discard: ByteSize,
    /// How long the reading of a refused request may take.
    pub discard_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_fetch_request: ByteSize::mib(10),
            max_inflate_ratio: 100,
            max_discard: ByteSize::mib(64),
            discard_time: Duration::from_secs(4),
        }
    }
}
