//! Passwords: argon2id in the blocking pool, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::blocking::Blocking;
use hakata_runtime::limit::{Bounds, Limit};
use hakata_runtime::secret::Secret;

use super::hashing::Hashing;
use crate::{Error, Kind};

/// Shortest password that is accepted, in characters.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// Longest password in bytes: more is no safer and costs memory before login.
pub const MAX_PASSWORD_BYTES: usize = 1_024;

/// Hashes and verifies, at most so many at once: each takes 19 MiB, which stay, and some 20 ms of a core.
#[derive(Debug)]
pub(crate) struct Passwords {
    blocking: Blocking,
    limit: Limit,
    hashing: Arc<Hashing>,
}

impl Passwords {
    pub(crate) fn new(blocking: Blocking, at_once: usize) -> Self {
        let bounds = Bounds { permits: at_once, queue: 256, wait: Duration::from_secs(10) };
        Self { blocking, limit: Limit::new("password", bounds), hashing: Arc::new(Hashing::new()) }
    }

    /// Hashes a new password into a PHC string.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is too short or too long, [`Kind::Limited`].
    pub(crate) async fn hash(&self, password: Secret<String>) -> Result<String, Error> {
        check_strength(password.expose())?;
        let hashed = self.alone(move |hashing| hashing.hash(password.expose().as_bytes())).await;
        hashed?.map_err(|error| Error::internal(error.to_string()))
    }

    /// Verifies; without a hash it does the same work and says no.
    ///
    /// # Errors
    /// [`Kind::Limited`] when too many verifications wait.
    pub(crate) async fn verify(&self, password: Secret<String>, hash: Option<String>) -> Result<bool, Error> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        self.alone(move |hashing| hashing.verify(password.expose().as_bytes(), hash.as_deref())).await
    }

    /// Runs the work when there is room for it. Its place is taken until it ends, not until its caller leaves.
    async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Hashing) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.limit.acquire().await.map_err(Error::from)?;
        let hashing = self.hashing.clone();
        let run = move || {
            let _permit = permit;
            work(&hashing)
        };
        self.blocking.run(run).await.map_err(Error::from)
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
    async fn a_flood_of_logins_needs_no_more_memory_than_those_at_once() {
        let passwords = Passwords::new(Blocking::new(8), 2);
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        let mut logins = Vec::new();
        for n in 0..24_u64 {
            let login = passwords.verify(secret(&format!("guess {n}")), Some(hash.clone()));
            // Clients that leave while their password is checked do not make room for others.
            logins.push(tokio::time::timeout(std::time::Duration::from_millis(n % 3), login));
        }
        futures_util::future::join_all(logins).await;
        assert!(passwords.verify(secret("correct horse"), Some(hash)).await.unwrap());
        assert!(passwords.hashing.n_kept() <= 2, "{} pieces of memory", passwords.hashing.n_kept());
    }

    #[tokio::test]
    async fn weak_and_endless_passwords_are_refused() {
        let passwords = Passwords::new(Blocking::new(1), 1);
        for text in ["", "short", &"x".repeat(2_000)] {
            assert_eq!(passwords.hash(secret(text)).await.unwrap_err().kind(), Kind::Invalid);
        }
    }
}
