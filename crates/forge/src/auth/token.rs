//! The text of access tokens.
//!
//! ```text
//! hkt_ 43 characters base64url of 32 random bytes, 8 digits of a checksum
//! ```
//!
//! The prefix lets scanners find a leaked token; the checksum (the first four bytes of SHA-256 over all
//! before it, in hex) lets them, and us, drop what is none without asking the database. Rows hold the
//! SHA-256 of the whole text: 256 random bits need no slow hash.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hakata_runtime::secret::{Secret, random_bytes};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// What every token starts with.
pub const TOKEN_PREFIX: &str = "hkt_";

const N_BODY: usize = 43;
const N_CHECKSUM: usize = 8;

/// Characters of a token that are kept to tell tokens apart: the prefix and four more.
const N_HINT: usize = 8;

/// A token just made: shown once, then only its digest is known.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) text: Secret<String>,
    pub(crate) digest: [u8; 32],
    pub(crate) hint: String,
}

/// Makes a token.
pub(crate) fn make() -> NewToken {
    let mut text = String::from(TOKEN_PREFIX);
    text.push_str(&URL_SAFE_NO_PAD.encode(random_bytes::<32>()));
    let checksum = checksum(&text);
    text.push_str(&checksum);
    let digest = Sha256::digest(text.as_bytes()).into();
    NewToken { hint: text[..N_HINT].to_owned(), text: Secret::new(text), digest }
}

/// Whether a credential claims to be a token; a password never starts so.
pub(crate) fn looks_like(text: &str) -> bool {
    text.starts_with(TOKEN_PREFIX)
}

/// Reads a token and returns the digest to look for; `None` if it cannot be one of ours.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    let wanted = TOKEN_PREFIX.len() + N_BODY + N_CHECKSUM;
    if !looks_like(text) || text.len() != wanted || !text.is_ascii() {
        return None;
    }
    let (front, claimed) = text.split_at(wanted - N_CHECKSUM);
    (checksum(front) == claimed).then(|| Sha256::digest(text.as_bytes()).into())
}

fn checksum(front: &str) -> String {
    let digest = Sha256::digest(front.as_bytes());
    digest[..N_CHECKSUM / 2].iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::{TOKEN_PREFIX, digest, looks_like, make};

    #[test]
    fn a_made_token_is_read_back_and_differs_from_the_next() {
        let token = make();
        let text = token.text.expose();
        assert_eq!(text.len(), 55, "{text}");
        assert!(text.starts_with(TOKEN_PREFIX) && text.starts_with(&token.hint));
        assert_eq!(digest(text), Some(token.digest));
        assert_ne!(make().digest, token.digest);
    }

    #[test]
    fn typos_and_junk_never_reach_the_database() {
        let good = make().text.expose().clone();
        let mut typo = good.clone().into_bytes();
        typo[10] = if typo[10] == b'A' { b'B' } else { b'A' };
        let typo = String::from_utf8(typo).unwrap();
        let longer = format!("{good}0");
        for text in
            ["", "hkt_", "hunter2", &good[..54], &longer, &typo, &good.to_uppercase(), &"é".repeat(40)]
        {
            assert_eq!(digest(text), None, "{text}");
        }
        assert!(looks_like("hkt_x") && !looks_like("hunter2"));
    }
}
