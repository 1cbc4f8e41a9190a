//! Passwords: argon2id in the blocking pool, a bounded number at a time.

use std::sync::LazyLock;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::limit::{Bounds, Limit};
use hakata_runtime::secret::{Secret, random_bytes};

use crate::{Error, Kind};

/// Memory in KiB, passes and lanes. Source: OWASP password storage cheat sheet, first choice for argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Shortest password that is accepted, in characters.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// Longest password in bytes: more is no safer and costs memory before login.
pub const MAX_PASSWORD_BYTES: usize = 1_024;

/// A hash that no password has: verified when there is no account, so that the work is the same.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| hash_now(&random_bytes::<32>()).expect("a password of 32 bytes can be hashed"));

/// Hashes and verifies, at most so many at once: each takes 19 MiB and some 20 ms of a core.
#[derive(Debug)]
pub(crate) struct Passwords {
    blocking: Blocking,
    limit: Limit,
}

impl Passwords {
    pub(crate) fn new(blocking: Blocking, at_once: usize) -> Self {
        let bounds = Bounds { permits: at_once, queue: 256, wait: Duration::from_secs(10) };
        Self { blocking, limit: Limit::new("password", bounds) }
    }

    /// Hashes a new password into a PHC string.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is too short or too long, [`Kind::Limited`].
    pub(crate) async fn hash(&self, password: Secret<String>) -> Result<String, Error> {
        check_strength(password.expose())?;
        let _permit = self.limit.acquire().await.map_err(Error::from)?;
        let hashed = self.blocking.run(move || hash_now(password.expose().as_bytes())).await;
        hashed.map_err(Error::from)?.map_err(|error| Error::internal(error.to_string()))
    }

    /// Verifies; without a hash it does the same work and says no.
    ///
    /// # Errors
    /// [`Kind::Limited`] when too many verifications wait.
    pub(crate) async fn verify(&self, password: Secret<String>, hash: Option<String>) -> Result<bool, Error> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let _permit = self.limit.acquire().await.map_err(Error::from)?;
        let verify = move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.clone());
            let Ok(hash) = PasswordHash::new(&hash) else { return false };
            argon2().verify_password(password.expose().as_bytes(), &hash).is_ok() && known
        };
        self.blocking.run(verify).await.map_err(Error::from)
    }
}

fn check_strength(password: &str) -> Result<(), Error> {
    let n_chars = password.chars().count();
    if n_chars < MIN_PASSWORD_CHARS {
        return Err(Error::new(
            Kind::Invalid,
            format!("password must have {MIN_PASSWORD_CHARS} characters or more"),
        ));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::new(Kind::Invalid, format!("password is longer than {MAX_PASSWORD_BYTES} bytes")));
    }
    Ok(())
}

fn argon2() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).expect("the constants are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let hash = argon2().hash_password_with_salt(password, &random_bytes::<16>())?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use hakata_runtime::blocking::Blocking;
    use hakata_runtime::secret::Secret;

    use super::Passwords;
    use crate::Kind;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let passwords = Passwords::new(Blocking::new(2), 2);
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify(secret("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret("correct hors"), Some(hash)).await.unwrap());
        assert!(!passwords.verify(secret("correct horse"), None).await.unwrap());
        assert!(!passwords.verify(secret("x"), Some("no hash".into())).await.unwrap());
    }

    #[tokio::test]
    async fn weak_and_endless_passwords_are_refused() {
        let passwords = Passwords::new(Blocking::new(1), 1);
        for text in ["", "short", &"x".repeat(2_000)] {
            assert_eq!(passwords.hash(secret(text)).await.unwrap_err().kind(), Kind::Invalid);
        }
    }
}
