//! Who visitors are: names and passwords from a file, verified at a bounded cost.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hakata_git::bare::Visitor;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::limit::{Bounds, Limit};
use hakata_runtime::metrics::{Counter, Metric};
use hakata_runtime::secret::{Secret, random_bytes};
use hmac::{Hmac, KeyInit, Mac};
use quick_cache::sync::Cache;
use sha2::Sha256;

use super::htpasswd::Htpasswd;
use super::secrets::Hashed;
use super::{Folder, Kind};
use crate::Error;
use crate::auth::throttle::Throttle;

/// Most names that are remembered to have signed in.
const MAX_LOGINS: usize = 10_000;

/// A hash that stands for every name that is not in the file: verifying it takes as long as a usual one.
const NOBODY: &str = "$2y$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

static REFUSED: Counter = Counter::new(
    "hakata_bare_sign_ins_refused_total",
    "Names and passwords that were not those of the operator's file",
);

/// Lists the metrics of visitors.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&REFUSED]
}

/// What an operator may set about signing in.
#[derive(Clone, Copy, Debug)]
pub struct PeopleSettings {
    /// Wrong passwords a minute per name and per address.
    pub tries_per_minute: u32,
    /// Passwords verified at once.
    pub at_once: usize,
    /// How long a verified password is believed without verifying it again.
    pub remembered_for: Duration,
}

/// The people of a file.
pub struct People {
    file: Arc<Htpasswd>,
    blocking: Blocking,
    clock: Clock,
    limit: Limit,
    throttle: Throttle,
    key: [u8; 32],
    remembered_for: Duration,
    verified: Cache<[u8; 32], Duration>,
}

impl People {
    /// Takes the people of a file.
    pub fn new(file: Htpasswd, settings: PeopleSettings, blocking: Blocking, clock: Clock) -> Self {
        let bounds = Bounds { permits: settings.at_once, ..Bounds::default() };
        Self {
            file: Arc::new(file),
            blocking,
            limit: Limit::new("bare_passwords", bounds),
            throttle: Throttle::new(clock.clone(), settings.tries_per_minute),
            clock,
            key: random_bytes(),
            remembered_for: settings.remembered_for,
            verified: Cache::new(MAX_LOGINS),
        }
    }

    async fn verify(
        &self,
        name: &str,
        secret: &Secret<String>,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        let file = self.file.clone();
        let names = self.blocking.run(move || file.names()).await?;
        let hashed = names.get(name);
        let proof = self.proof(name, secret.expose(), hashed);
        if self.verified.get(&proof).is_some_and(|until| self.clock.monotonic() < until) {
            return Ok(());
        }
        let taken = self.throttle.take(name, address)?;
        let _permit = self.limit.acquire().await?;
        let (is_known, hashed) = (hashed.is_some(), hashed.cloned());
        let password = secret.expose().clone();
        let is_right = self.blocking.run(move || {
            let hashed = hashed.map_or_else(|| Hashed::parse(NOBODY).ok(), Some);
            hashed.is_some_and(|hashed| hashed.verify(password.as_bytes()))
        });
        if !(is_right.await? && is_known) {
            REFUSED.inc();
            return Err(Error::new(Kind::Unauthenticated, "wrong name or password"));
        }
        self.throttle.give_back(&taken);
        if !self.remembered_for.is_zero() {
            self.verified.insert(proof, self.clock.monotonic() + self.remembered_for);
        }
        Ok(())
    }

    /// Digests a name, a password and the hash of the file, so that a change of the file is felt at once.
    fn proof(&self, name: &str, password: &str, hashed: Option<&Hashed>) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        let stored = hashed.map(Hashed::identity).unwrap_or_default();
        for part in [name.as_bytes(), password.as_bytes(), &stored] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl Folder {
    /// Finds out who a visitor is. Where there is no file of people, nobody has a name, whatever they say.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`] when name and password are not those of a line; [`Kind::Limited`].
    pub async fn sign_in(
        &self,
        name: &str,
        secret: &Secret<String>,
        address: Option<IpAddr>,
    ) -> Result<Visitor, Error> {
        let Some(people) = &self.people else { return Ok(Visitor { user: String::new(), address }) };
        people.verify(name, secret, address).await?;
        Ok(Visitor { user: name.to_owned(), address })
    }
}

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "People({} names)", self.file.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hakata_runtime::blocking::Blocking;
    use hakata_runtime::clock::Clock;
    use hakata_runtime::secret::Secret;

    use super::{Htpasswd, Kind, People, PeopleSettings};

    #[tokio::test]
    async fn a_password_is_verified_once_and_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        std::fs::write(&path, "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").unwrap();
        let settings =
            PeopleSettings { tries_per_minute: 3, at_once: 2, remembered_for: Duration::from_secs(60) };
        let file = Htpasswd::open(&path).unwrap();
        let people = People::new(file, settings, Blocking::new(2), Clock::manual(0));
        let sign_in = async |name: &str, password: &str| {
            let secret = Secret::new(password.to_owned());
            people.verify(name, &secret, None).await.map_err(|error| error.kind())
        };
        assert_eq!(sign_in("alice", "secret").await, Ok(()));
        assert_eq!(sign_in("alice", "wrong").await, Err(Kind::Unauthenticated));
        assert_eq!(
            sign_in("Alice", "secret").await,
            Err(Kind::Unauthenticated),
            "names are as they are written"
        );
        assert_eq!(sign_in("nobody", "U*U").await, Err(Kind::Unauthenticated));
        for _ in 0..2 {
            assert_eq!(sign_in("alice", "wrong").await, Err(Kind::Unauthenticated));
        }
        assert_eq!(sign_in("alice", "wrong").await, Err(Kind::Limited));
        assert_eq!(sign_in("alice", "secret").await, Ok(()), "who was let in is remembered");
        std::fs::write(&path, "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
        assert_ne!(sign_in("alice", "secret").await, Ok(()), "and forgotten with the line");
    }
}
