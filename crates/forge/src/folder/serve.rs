//! One service of one repository, granted to one visitor.

use std::io::Cursor;

use bytes::{Bytes, BytesMut};
use hakata_git::bare::{Conversation, Program, Repository, Visitor};
use hakata_git::serve::{Output, ProtocolVersion};
use hakata_runtime::units::ByteSize;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::errors::of_child;
use crate::{Error, Kind};

/// Longest request that is looked at whole before git sees it, in bytes; an `ls-refs` is shorter.
const MAX_LOOK: usize = 64 << 10;

/// Proof that a visitor may use a program of a repository; only [`Opened::allow`](super::Opened::allow) makes one.
#[derive(Clone, Debug)]
pub struct Allowed {
    repository: Repository,
    program: Program,
    visitor: Visitor,
    max_request: ByteSize,
}

impl Allowed {
    pub(super) fn new(
        repository: Repository,
        program: Program,
        visitor: Visitor,
        max_request: ByteSize,
    ) -> Self {
        Self { repository, program, visitor, max_request }
    }

    /// Tells which program.
    pub fn program(&self) -> Program {
        self.program
    }

    /// Tells the largest request in bytes as they come, if the program has a bound.
    pub fn max_request(&self) -> Option<ByteSize> {
        match self.program {
            Program::UploadPack => Some(self.max_request),
            Program::ReceivePack | Program::UploadArchive => None,
        }
    }

    /// Returns git's advertisement; `protocol` is the client's `Git-Protocol`.
    ///
    /// # Errors
    /// When git cannot be asked.
    pub async fn advertise(&self, protocol: Option<&str>) -> Result<Bytes, Error> {
        match self.program {
            Program::UploadPack => {
                Ok(self.repository.fetch_advertisement(protocol_version(protocol)).await?)
            }
            Program::ReceivePack | Program::UploadArchive => {
                self.conversation(protocol).advertise().await.map_err(of_child)
            }
        }
    }

    /// Holds one round of a conversation: an `ls-refs` is answered from what is known, git serves the rest.
    ///
    /// # Errors
    /// When the request breaks off, the client leaves, or git does not run.
    pub async fn converse<R: AsyncRead + Send + Unpin>(
        &self,
        protocol: Option<&str>,
        input: &mut R,
        output: &mut Output<'_>,
    ) -> Result<(), Error> {
        let mut begin = BytesMut::new();
        if self.program == Program::UploadPack && protocol_version(protocol) == ProtocolVersion::V2 {
            let is_whole = look(input, &mut begin).await?;
            if is_whole
                && begin.starts_with(b"0014command=ls-refs\n")
                && let Some(answer) = self.repository.answer_ls_refs(&begin).await?
            {
                return output.send(answer).await.map_err(gone);
            }
        }
        let mut input = Cursor::new(begin).chain(input);
        Ok(self.conversation(protocol).serve(&mut input, output).await?)
    }

    fn conversation<'a>(&'a self, protocol: Option<&'a str>) -> Conversation<'a> {
        Conversation { repository: &self.repository, program: self.program, protocol, visitor: &self.visitor }
    }
}

/// Reads the version that git would speak to a client with this `Git-Protocol`: the highest that it knows among those
/// that are asked for. Source: `determine_protocol_version_server` in protocol.c.
pub fn protocol_version(protocol: Option<&str>) -> ProtocolVersion {
    let of_entry = |entry: &str| match entry {
        "version=1" => ProtocolVersion::V1,
        "version=2" => ProtocolVersion::V2,
        _ => ProtocolVersion::V0,
    };
    protocol.unwrap_or_default().split(':').map(of_entry).max().unwrap_or_default()
}

/// Reads the beginning of a request; tells whether that is all of it.
async fn look<R: AsyncRead + Send + Unpin>(input: &mut R, begin: &mut BytesMut) -> Result<bool, Error> {
    while begin.len() < MAX_LOOK {
        begin.reserve(4 << 10);
        let read = input.read_buf(begin).await;
        let read =
            read.map_err(|broken| Error::new(Kind::Invalid, "the request broke off").with_source(broken))?;
        if read == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn gone(error: std::io::Error) -> Error {
    Error::new(Kind::Unavailable, "the client left").with_source(error)
}

#[cfg(test)]
mod tests {
    use hakata_git::serve::ProtocolVersion::{V0, V1, V2};

    use super::protocol_version;

    #[test]
    fn the_version_is_the_one_that_git_would_speak() {
        let long = format!("{}:version=2", "a".repeat(5_000));
        for (protocol, expected) in [
            (None, V0),
            (Some(""), V0),
            (Some("version=1"), V1),
            (Some("version=2:version=1"), V2),
            (Some("version=3"), V0),
            (Some("version=2, version=2"), V0),
            (Some(long.as_str()), V2),
        ] {
            assert_eq!(protocol_version(protocol), expected, "{protocol:?}");
        }
    }
}
