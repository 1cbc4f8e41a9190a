//! Verifying passwords as `htpasswd` hashes them: bcrypt, Apache's MD5, SHA-1.
//!
//! The last two are weak; they are here because the files are there. Source: Apache's "Password Formats".

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blowfish::Blowfish;
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// The text that bcrypt encrypts. Source: Provos and Mazières, "A Future-Adaptable Password Scheme".
const BCRYPT_TEXT: &[u8; 24] = b"OrpheanBeholderScryDoubt";

/// Digits of bcrypt's own base 64.
const BCRYPT_DIGITS: base64::alphabet::Alphabet = base64::alphabet::BCRYPT;

/// Digits of crypt's base 64.
const CRYPT_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The costliest bcrypt that is taken: some seconds of a core.
const MAX_BCRYPT_COST: u32 = 16;

/// Rounds of Apache's MD5.
const MD5_ROUNDS: usize = 1_000;

/// A password's hash, parsed.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Hashed {
    /// `$2y$`, `$2b$` or `$2a$`.
    Bcrypt { cost: u32, salt: [u8; 16], hash: [u8; 23] },
    /// `$apr1$`.
    Md5 { salt: Vec<u8>, hash: Vec<u8> },
    /// `{SHA}`.
    Sha1 { hash: Vec<u8> },
}

/// Why a hash is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is of another kind, such as crypt or plain text.
    #[error("its password is hashed in a way that is not taken")]
    Kind,
    /// It is of a kind that is taken, and not well formed.
    #[error("its password hash is not well formed")]
    Malformed,
    /// Verifying it would take seconds.
    #[error("its bcrypt cost is above {MAX_BCRYPT_COST}")]
    Costly,
}

impl Hashed {
    /// Reads a hash as it stands behind a name.
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        if let Some(rest) = ["$2y$", "$2b$", "$2a$"].iter().find_map(|kind| text.strip_prefix(kind)) {
            return bcrypt_from(rest);
        }
        if let Some(rest) = text.strip_prefix("$apr1$") {
            let (salt, hash) = rest.split_once('$').ok_or(HashError::Malformed)?;
            if salt.len() > 8 || hash.len() != 22 {
                return Err(HashError::Malformed);
            }
            return Ok(Self::Md5 { salt: salt.into(), hash: hash.into() });
        }
        if let Some(rest) = text.strip_prefix("{SHA}") {
            let hash = STANDARD.decode(rest).ok().filter(|hash| hash.len() == 20);
            return Ok(Self::Sha1 { hash: hash.ok_or(HashError::Malformed)? });
        }
        Err(HashError::Kind)
    }

    /// Verifies a password. Blocks the thread: bcrypt is slow by design.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt { cost, salt, hash } => bcrypt(*cost, salt, password)[..23].ct_eq(hash).into(),
            Self::Md5 { salt, hash } => apache_md5(salt, password).ct_eq(hash).into(),
            Self::Sha1 { hash } => Sha1::digest(password).as_slice().ct_eq(hash).into(),
        }
    }

    /// Returns bytes that no other hash has.
    pub(super) fn identity(&self) -> Vec<u8> {
        match self {
            Self::Bcrypt { cost, salt, hash } => [&cost.to_be_bytes()[..], salt, hash].concat(),
            Self::Md5 { salt, hash } => [b"m", &salt[..], b"$", hash].concat(),
            Self::Sha1 { hash } => [b"s", &hash[..]].concat(),
        }
    }

    /// Tells whether the kind is one that Apache's own documents advise against.
    pub(super) fn is_weak(&self) -> bool {
        !matches!(self, Self::Bcrypt { .. })
    }
}

impl std::fmt::Debug for Hashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashed(..)")
    }
}

fn bcrypt_from(rest: &str) -> Result<Hashed, HashError> {
    let malformed = HashError::Malformed;
    let (cost, rest) = rest.split_once('$').ok_or(malformed)?;
    let cost: u32 = cost.parse().map_err(|_| malformed)?;
    if cost > MAX_BCRYPT_COST {
        return Err(HashError::Costly);
    }
    let (salt, hash) = rest.split_at_checked(22).filter(|_| cost >= 4).ok_or(malformed)?;
    // The last digit has bits to spare, which some writers fill.
    let settings = base64::engine::GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    let engine = base64::engine::GeneralPurpose::new(&BCRYPT_DIGITS, settings);
    let decode = |text: &str| engine.decode(text).map_err(|_| malformed);
    let salt = decode(salt)?.try_into().map_err(|_| malformed)?;
    let hash = decode(hash)?.try_into().map_err(|_| malformed)?;
    Ok(Hashed::Bcrypt { cost, salt, hash })
}

fn bcrypt(cost: u32, salt: &[u8; 16], password: &[u8]) -> [u8; 24] {
    // 72 bytes with the zero at the end are all that the cipher's key holds.
    let mut key = password[..password.len().min(72)].to_vec();
    key.push(0);
    key.truncate(72);
    let mut cipher: Blowfish = Blowfish::bc_init_state();
    cipher.salted_expand_key(salt, &key);
    for _ in 0..1_u32 << cost {
        cipher.bc_expand_key(&key);
        cipher.bc_expand_key(salt);
    }
    let mut out = [0; 24];
    for (plain, sealed) in BCRYPT_TEXT.chunks_exact(8).zip(out.chunks_exact_mut(8)) {
        let word = |at: usize| u32::from_be_bytes([plain[at], plain[at + 1], plain[at + 2], plain[at + 3]]);
        let mut pair = [word(0), word(4)];
        for _ in 0..64 {
            pair = cipher.bc_encrypt(pair);
        }
        sealed[..4].copy_from_slice(&pair[0].to_be_bytes());
        sealed[4..].copy_from_slice(&pair[1].to_be_bytes());
    }
    out
}

/// The MD5 of FreeBSD's crypt under Apache's name. Source: `apr_md5_encode` in apr_md5.c.
fn apache_md5(salt: &[u8], password: &[u8]) -> Vec<u8> {
    let alternate = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(b"$apr1$").chain_update(salt);
    for piece in password.chunks(16) {
        first.update(&alternate[..piece.len()]);
    }
    let mut length = password.len();
    while length > 0 {
        first.update(if length & 1 == 1 { &[0] } else { &password[..1] });
        length >>= 1;
    }
    let mut hash = first.finalize();
    for round in 0..MD5_ROUNDS {
        let mut next = Md5::new();
        next.update(if round & 1 == 1 { password } else { hash.as_slice() });
        next.update(if round % 3 == 0 { b"" } else { salt });
        next.update(if round % 7 == 0 { b"" } else { password });
        next.update(if round & 1 == 1 { hash.as_slice() } else { password });
        hash = next.finalize();
    }
    let mut out = Vec::with_capacity(22);
    let mut write = |value: u32, n_digits: u32| {
        let digit = |at: u32| CRYPT_DIGITS[usize::try_from(value >> (6 * at) & 63).unwrap_or(0)];
        out.extend((0..n_digits).map(digit));
    };
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        write(u32::from(hash[a]) << 16 | u32::from(hash[b]) << 8 | u32::from(hash[c]), 4);
    }
    write(u32::from(hash[11]), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::{HashError, Hashed};

    #[test]
    fn hashes_of_other_programs_are_verified() {
        for (hash, password) in [
            // Source: the test vectors of Openwall's crypt_blowfish.
            ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
            ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"),
            ("$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"),
            ("$2y$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", ""),
            // Made by `openssl passwd -apr1`.
            ("$apr1$abcdefgh$pbw6n7VauJlQ.KqCgnDKk0", "héllo wörld"),
            ("$apr1$xy$94JxxwMvxqQwA3Iid6OL9.", "secret"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret"),
        ] {
            let hashed = Hashed::parse(hash).unwrap();
            assert!(hashed.verify(password.as_bytes()), "{hash}");
            assert!(!hashed.verify(format!("{password}x").as_bytes()), "{hash}");
        }
    }

    #[test]
    fn what_is_not_taken_is_named() {
        for (hash, error) in [
            ("secret", HashError::Kind),
            ("rqXexS6ZhobKA", HashError::Kind),
            ("$5$salt$hash", HashError::Kind),
            ("", HashError::Kind),
            ("$apr1$abc", HashError::Malformed),
            ("$apr1$toolongsalt$pbw6n7VauJlQ.KqCgnDKk0", HashError::Malformed),
            ("{SHA}abc", HashError::Malformed),
            ("$2y$05$short", HashError::Malformed),
            ("$2y$xx$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", HashError::Malformed),
            ("$2y$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", HashError::Malformed),
            ("$2y$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", HashError::Costly),
        ] {
            assert_eq!(Hashed::parse(hash), Err(error), "{hash}");
        }
    }
}
