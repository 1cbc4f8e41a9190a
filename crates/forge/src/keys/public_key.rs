//! SSH public keys: the line that people paste and the blob in it.
//!
//! Parsed by hand and strictly: every length must fit, nothing may follow, the algorithm named outside
//! must be the one inside. Source: RFC 4253 section 6.6, RFC 5656, RFC 8709, OpenSSH PROTOCOL.u2f.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use super::wire::{Bytes, Malformed};

/// Longest blob of a key in bytes: RSA of 16,384 bits with room.
const MAX_BLOB_BYTES: usize = 4_096;

/// Longest line in bytes.
const MAX_LINE_BYTES: usize = 8_192;

/// Fewest bits of an RSA key.
const MIN_RSA_BITS: usize = 3_072;

/// Most bits of an RSA key: verifying larger ones is a way to burn our time.
const MAX_RSA_BITS: usize = 16_384;

/// A public key that Hakata accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What kind of key it is.
    pub algorithm: KeyAlgorithm,
    /// The key in SSH wire format.
    pub blob: Vec<u8>,
    /// The comment behind the key, as its owner wrote it; may be empty.
    pub comment: String,
}

/// The kinds of key that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA on the NIST curve of 256, 384 or 521 bits.
    Ecdsa {
        /// Bits of the curve.
        bits: u16,
    },
    /// RSA, signed with SHA-2.
    Rsa {
        /// Bits of the modulus.
        bits: u16,
    },
    /// Ed25519 on a security key.
    SkEd25519,
    /// ECDSA P-256 on a security key.
    SkEcdsa,
}

/// Why text is not a key that Hakata accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyError {
    /// Not a line `algorithm base64 [comment]`.
    #[error("this is not an SSH public key: paste the one line of a file such as ~/.ssh/id_ed25519.pub")]
    NotAKey,
    /// Somebody is about to give their secret away.
    #[error("this is a private key: keep it, and paste the line of the .pub file beside it")]
    PrivateKey,
    /// The blob does not hold what it says.
    #[error("the key is damaged: {0}")]
    Malformed(&'static str),
    /// DSA.
    #[error("DSA keys are not accepted; make one with: ssh-keygen -t ed25519")]
    Dsa,
    /// RSA that is too short.
    #[error("this RSA key has {0} bits; at least {MIN_RSA_BITS} are needed (or: ssh-keygen -t ed25519)")]
    SmallRsa(usize),
    /// RSA that is absurdly long.
    #[error("this RSA key has {0} bits; at most {MAX_RSA_BITS} are accepted")]
    HugeRsa(usize),
    /// A certificate is not a key.
    #[error("this is an SSH certificate, not a key; add the public key that it certifies")]
    Certificate,
    /// Something else.
    #[error(
        "keys of the kind '{0}' are not accepted; use ed25519, ecdsa, rsa of {MIN_RSA_BITS} bits, or sk- keys"
    )]
    Unsupported(String),
}

impl From<Malformed> for ParseKeyError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

impl KeyAlgorithm {
    /// Returns the name in a key's line and blob.
    pub const fn wire_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::Ecdsa { bits: 384 } => "ecdsa-sha2-nistp384",
            Self::Ecdsa { bits: 521 } => "ecdsa-sha2-nistp521",
            Self::Ecdsa { .. } => "ecdsa-sha2-nistp256",
            Self::Rsa { .. } => "ssh-rsa",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsa => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "rsa-{bits}"),
            Self::Ecdsa { bits } => write!(f, "ecdsa-{bits}"),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::SkEd25519 => f.write_str("sk-ed25519"),
            Self::SkEcdsa => f.write_str("sk-ecdsa"),
        }
    }
}

impl PublicKey {
    /// Parses the line of a `.pub` file or of `authorized_keys` without options.
    ///
    /// # Errors
    /// Any [`ParseKeyError`].
    pub fn parse(line: &str) -> Result<Self, ParseKeyError> {
        let line = line.trim();
        if line.contains("PRIVATE KEY") {
            return Err(ParseKeyError::PrivateKey);
        }
        if line.is_empty() || line.len() > MAX_LINE_BYTES || line.contains(['\n', '\r', '\0']) {
            return Err(ParseKeyError::NotAKey);
        }
        let mut words = line.splitn(3, [' ', '\t']);
        let (Some(name), Some(base64)) = (words.next(), words.next()) else {
            return Err(ParseKeyError::NotAKey);
        };
        if !is_algorithm_like(name) {
            return Err(ParseKeyError::NotAKey);
        }
        let blob = STANDARD.decode(base64).map_err(|_| ParseKeyError::NotAKey)?;
        let inside = Bytes(&blob).string()?;
        if inside != name.as_bytes() {
            return Err(ParseKeyError::Malformed("it names another algorithm inside"));
        }
        let comment = words.next().unwrap_or_default().trim();
        Self::from_blob(&blob, hakata_names::escape_controls(comment.as_bytes()))
    }

    /// Parses the blob of a key, as a client offers it.
    ///
    /// # Errors
    /// Any [`ParseKeyError`].
    pub fn parse_blob(blob: &[u8]) -> Result<Self, ParseKeyError> {
        Self::from_blob(blob, String::new())
    }

    fn from_blob(blob: &[u8], comment: String) -> Result<Self, ParseKeyError> {
        if blob.len() > MAX_BLOB_BYTES {
            return Err(ParseKeyError::Malformed("it is too long"));
        }
        let algorithm = algorithm_of(blob)?;
        Ok(Self { algorithm, blob: blob.to_vec(), comment })
    }

    /// Returns `SHA256:…`, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// Renders the line again, without the comment.
    pub fn line(&self) -> String {
        format!("{} {}", self.algorithm.wire_name(), STANDARD.encode(&self.blob))
    }
}

/// Returns `SHA256:…` of any blob, accepted or not.
pub fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

fn is_algorithm_like(name: &str) -> bool {
    let shaped = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '@' | '.');
    name.len() <= 64 && name.contains('-') && name.chars().all(shaped)
}

/// Reads a blob to its last byte and names its algorithm.
fn algorithm_of(blob: &[u8]) -> Result<KeyAlgorithm, ParseKeyError> {
    let mut rest = Bytes(blob);
    let name = rest.string()?;
    let algorithm = match name {
        b"ssh-ed25519" => {
            exactly(rest.string()?, 32)?;
            KeyAlgorithm::Ed25519
        }
        b"ecdsa-sha2-nistp256" => ecdsa(&mut rest, b"nistp256", 256)?,
        b"ecdsa-sha2-nistp384" => ecdsa(&mut rest, b"nistp384", 384)?,
        b"ecdsa-sha2-nistp521" => ecdsa(&mut rest, b"nistp521", 521)?,
        b"ssh-rsa" => rsa(&mut rest)?,
        b"sk-ssh-ed25519@openssh.com" => {
            exactly(rest.string()?, 32)?;
            application(&mut rest)?;
            KeyAlgorithm::SkEd25519
        }
        b"sk-ecdsa-sha2-nistp256@openssh.com" => {
            ecdsa(&mut rest, b"nistp256", 256)?;
            application(&mut rest)?;
            KeyAlgorithm::SkEcdsa
        }
        b"ssh-dss" => return Err(ParseKeyError::Dsa),
        name if name.ends_with(b"-cert-v01@openssh.com") => return Err(ParseKeyError::Certificate),
        name => {
            let shown = &name[..name.len().min(64)];
            return Err(ParseKeyError::Unsupported(hakata_names::escape_controls(shown)));
        }
    };
    rest.end()?;
    Ok(algorithm)
}

fn exactly(bytes: &[u8], len: usize) -> Result<(), ParseKeyError> {
    if bytes.len() == len { Ok(()) } else { Err(ParseKeyError::Malformed("a number has the wrong length")) }
}

fn application(rest: &mut Bytes<'_>) -> Result<(), ParseKeyError> {
    let application = rest.string()?;
    if application.is_empty() { Err(ParseKeyError::Malformed("its application is empty")) } else { Ok(()) }
}

/// An uncompressed point of the curve: 0x04 and two coordinates.
fn ecdsa(rest: &mut Bytes<'_>, curve: &[u8], bits: u16) -> Result<KeyAlgorithm, ParseKeyError> {
    if rest.string()? != curve {
        return Err(ParseKeyError::Malformed("it names another curve inside"));
    }
    let point = rest.string()?;
    exactly(point, 1 + 2 * usize::from(bits).div_ceil(8))?;
    if point[0] != 4 {
        return Err(ParseKeyError::Malformed("its point is compressed"));
    }
    Ok(KeyAlgorithm::Ecdsa { bits })
}

fn rsa(rest: &mut Bytes<'_>) -> Result<KeyAlgorithm, ParseKeyError> {
    let exponent = rest.positive_number()?;
    let small = exponent.len() <= 8 && exponent.last().is_some_and(|byte| byte & 1 == 1);
    if !small || exponent == [1] {
        return Err(ParseKeyError::Malformed("its exponent is not a small odd number"));
    }
    let modulus = rest.positive_number()?;
    let top = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    match modulus.len() * 8 - top {
        bits if bits < MIN_RSA_BITS => Err(ParseKeyError::SmallRsa(bits)),
        bits if bits > MAX_RSA_BITS => Err(ParseKeyError::HugeRsa(bits)),
        bits => u16::try_from(bits)
            .map(|bits| KeyAlgorithm::Rsa { bits })
            .map_err(|_| ParseKeyError::HugeRsa(bits)),
    }
}

#[cfg(test)]
mod tests;
