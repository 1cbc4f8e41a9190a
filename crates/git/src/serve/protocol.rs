//! Which dialect of Git's protocol a conversation speaks.

/// Longest `GIT_PROTOCOL` or `Git-Protocol` value that is looked at, in bytes.
const MAX_GIT_PROTOCOL: usize = 256;

/// A service with an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Serves fetches.
    UploadPack,
    /// Serves pushes.
    ReceivePack,
}

impl Service {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// Finds the service of that name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"git-upload-pack" => Some(Self::UploadPack),
            b"git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// The original one.
    #[default]
    V0,
    /// The original one, announced by a line `version 1`.
    V1,
    /// Commands; refs on demand. Pushes have no version 2 and use version 0 instead.
    V2,
}

impl ProtocolVersion {
    /// Reads what a client asks for in `GIT_PROTOCOL` (SSH) or `Git-Protocol` (HTTP): the highest
    /// `version=` of a list parted by colons. Anything unknown, too long or odd is version 0.
    /// Source: git(1), `GIT_PROTOCOL`.
    pub fn parse(value: &[u8]) -> Self {
        if value.len() > MAX_GIT_PROTOCOL {
            return Self::V0;
        }
        let version = |key: &[u8]| match key {
            b"version=1" => Self::V1,
            b"version=2" => Self::V2,
            _ => Self::V0,
        };
        value.split(|byte| *byte == b':').map(version).max().unwrap_or_default()
    }
}

/// Whether the two sides talk over one connection or in requests that stand alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// HTTP: one request, one reply.
    Stateless,
    /// SSH: one connection from the advertisement to the end.
    Stateful,
}

/// The dialect of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol {
    /// The version that the client asked for.
    pub version: ProtocolVersion,
    /// How it travels.
    pub mode: Mode,
}

#[cfg(test)]
mod tests {
    use super::ProtocolVersion;

    #[test]
    fn the_highest_known_version_wins() {
        for (value, version) in [
            (&b""[..], ProtocolVersion::V0),
            (b"version=2", ProtocolVersion::V2),
            (b"version=1", ProtocolVersion::V1),
            (b"version=1:version=2:x=y", ProtocolVersion::V2),
            (b"version=3", ProtocolVersion::V0),
            (b"version=2\n", ProtocolVersion::V0),
            (b"VERSION=2", ProtocolVersion::V0),
        ] {
            assert_eq!(ProtocolVersion::parse(value), version, "{value:?}");
        }
        assert_eq!(
            ProtocolVersion::parse(&[b"version=2:", [b'a'; 300].as_slice()].concat()),
            ProtocolVersion::V0
        );
    }
}
