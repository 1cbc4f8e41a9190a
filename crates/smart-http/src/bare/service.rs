//! A service of git by its name on the wire.

use hakata_forge::folder::Program;
use hakata_forge::hosting;
use http::HeaderValue;

/// A program as HTTP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Service(pub(super) Program);

impl Service {
    /// Finds the service of a `service` parameter.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let name = name.strip_prefix(b"git-")?;
        Program::ALL.into_iter().find(|program| program.name().as_bytes() == name).map(Self)
    }

    /// Returns the media type of one side of a conversation: `advertisement`, `request` or `result`.
    pub(super) fn media_type(self, side: &str) -> String {
        format!("application/x-git-{}-{side}", self.0.name())
    }

    /// Returns [`media_type`](Self::media_type) as a header's value.
    pub(super) fn media_value(self, side: &str) -> HeaderValue {
        HeaderValue::from_str(&self.media_type(side)).expect("names of programs are letters and hyphens")
    }

    /// Tells how a request is framed: a push ends in a pack, everything else in a packet.
    pub(super) fn framing(self) -> hosting::Service {
        match self.0 {
            Program::ReceivePack => hosting::Service::ReceivePack,
            Program::UploadPack | Program::UploadArchive => hosting::Service::UploadPack,
        }
    }
}
