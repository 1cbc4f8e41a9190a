//! Argon2id in memory that is used again.
//!
//! Each hash takes 19 MiB. An allocator that serves many threads keeps such a piece for every thread that ever hashed,
//! so the pieces are kept here, as many as there are hashes at once.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use hakata_runtime::secret::random_bytes;

/// Memory in KiB, passes and lanes. Source: OWASP password storage cheat sheet, first choice for argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Bytes of a hash.
const N_OUTPUT: usize = 32;

/// Pieces of memory that nobody hashes in.
#[derive(Debug)]
pub(super) struct Hashing {
    free: Mutex<Vec<Vec<Block>>>,
    /// A hash that no password has: verified when there is no account, so that the work is the same.
    nobody: PasswordHash,
}

impl Hashing {
    pub(super) fn new() -> Self {
        let hash = Output::new(&random_bytes::<N_OUTPUT>()).expect("32 bytes are an output");
        let nobody = written(&random_bytes(), hash).expect("argon2's own words can be written");
        Self { free: Mutex::default(), nobody }
    }

    /// Hashes a new password into a PHC string. Blocks the thread for some 20 ms.
    pub(super) fn hash(&self, password: &[u8]) -> Result<String, argon2::password_hash::Error> {
        let salt = random_bytes::<16>();
        let mut out = [0; N_OUTPUT];
        self.fill(&argon2(Algorithm::Argon2id, Version::V0x13, params()), password, &salt, &mut out)?;
        Ok(written(&salt, Output::new(&out)?)?.to_string())
    }

    /// Verifies a password; without a hash it does the same work and says no. Blocks the thread for some 20 ms.
    pub(super) fn verify(&self, password: &[u8], hash: Option<&str>) -> bool {
        let Some(hash) = hash else {
            let _ = self.is_of(password, &self.nobody);
            return false;
        };
        PasswordHash::new(hash).is_ok_and(|hash| self.is_of(password, &hash).unwrap_or(false))
    }

    fn is_of(&self, password: &[u8], hash: &PasswordHash) -> Result<bool, argon2::password_hash::Error> {
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else { return Ok(false) };
        let algorithm = Algorithm::try_from(hash.algorithm.as_str())?;
        let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
        let mut buffer = [0; Output::MAX_LENGTH];
        let out = &mut buffer[..expected.len()];
        self.fill(&argon2(algorithm, version, Params::try_from(hash)?), password, salt, out)?;
        // An output compares itself in constant time.
        Ok(Output::new(out)? == *expected)
    }

    fn fill(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> Result<(), argon2::Error> {
        let n_blocks = argon2.params().block_count();
        let mut blocks = self.free().pop().unwrap_or_default();
        blocks.resize(n_blocks, Block::new());
        let filled = argon2.hash_password_into_with_memory(password, salt, out, &mut blocks);
        self.free().push(blocks);
        filled
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the pieces of memory that are kept.
    #[cfg(test)]
    pub(super) fn n_kept(&self) -> usize {
        self.free().len()
    }
}

fn params() -> Params {
    let (memory, passes, lanes) = COST;
    Params::new(memory, passes, lanes, None).expect("the constants are within argon2's bounds")
}

fn argon2(algorithm: Algorithm, version: Version, params: Params) -> Argon2<'static> {
    Argon2::new(algorithm, version, params)
}

/// Writes a hash as it is stored.
fn written(salt: &[u8; 16], hash: Output) -> Result<PasswordHash, argon2::password_hash::Error> {
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: (&params()).try_into()?,
        salt: Some(Salt::new(salt)?),
        hash: Some(hash),
    })
}

#[cfg(test)]
mod tests {
    use super::Hashing;
    use argon2::password_hash::PasswordVerifier;

    #[test]
    fn memory_that_was_used_gives_the_hashes_of_fresh_memory() {
        let hashing = Hashing::new();
        for password in ["correct horse", "battery staple", ""] {
            let hash = hashing.hash(password.as_bytes()).unwrap();
            assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
            let verified = argon2::Argon2::default().verify_password(password.as_bytes(), hash.as_str());
            assert!(verified.is_ok(), "as argon2 itself verifies {password:?}");
            assert!(hashing.verify(password.as_bytes(), Some(&hash)) && !hashing.verify(b"x", Some(&hash)));
        }
        assert!(!hashing.verify(b"", None));
        assert_eq!(hashing.n_kept(), 1, "one at a time needs one piece");
    }

    #[test]
    fn hashes_of_another_cost_are_verified_at_theirs() {
        let hashing = Hashing::new();
        let cheap = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQxMjM0$";
        assert!(!hashing.verify(b"x", Some(cheap)), "no hash");
        let params = argon2::Params::new(64, 1, 1, None).unwrap();
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2d, argon2::Version::V0x10, params);
        let hash =
            argon2::password_hash::PasswordHasher::hash_password_with_salt(&argon2, b"x", b"some salt")
                .unwrap();
        assert!(hashing.verify(b"x", Some(&hash.to_string())));
        assert!(!hashing.verify(b"y", Some(&hash.to_string())));
    }
}
