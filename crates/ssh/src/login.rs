//! The state of one login: what was tried, and what the person is told when nothing fits.

use crate::algorithms::{KeyRefusal, judge_signature};
use hakata_forge::keys;
use russh::MethodKind;
use russh::keys::{Algorithm, PublicKey};
use russh::server::Auth;

/// Most keys named in the hint.
const MAX_NAMED: usize = 8;

/// Most requests on one connection: offers of known keys without a signature are no refusals, but not free either.
const MAX_REQUESTS: usize = 64;

/// What one connection has tried. Nothing here says who the client is: only a verified signature does.
#[derive(Debug, Default)]
pub(crate) struct Login {
    user: String,
    tried: Vec<String>,
    n_requests: usize,
    n_refused: usize,
    is_hint_given: bool,
}

/// A key in the form that the forge knows keys by.
#[derive(Debug)]
pub(crate) struct OfferedKey {
    /// The key in SSH wire format.
    pub(crate) blob: Vec<u8>,
    /// `SHA256:…`.
    pub(crate) fingerprint: String,
}

impl OfferedKey {
    /// Encodes a key that the client names.
    pub(crate) fn of(key: &PublicKey) -> Option<Self> {
        let blob = key.to_bytes().ok()?;
        let fingerprint = keys::fingerprint(&blob);
        Some(Self { blob, fingerprint })
    }

    /// Judges the kind of key and signature, before anybody is looked up.
    ///
    /// # Errors
    /// A [`KeyRefusal`].
    pub(crate) fn judge(&self, algorithm: &Algorithm) -> Result<(), KeyRefusal> {
        judge_signature(algorithm)?;
        keys::PublicKey::parse_blob(&self.blob)?;
        Ok(())
    }
}

impl Login {
    /// Notes a request; `false` when there are too many.
    ///
    /// The state starts again when the user name changes, but not the count of refusals: otherwise a client could
    /// try for ever by changing the name.
    #[must_use]
    pub(crate) fn begin(&mut self, user: &str) -> bool {
        if self.user != user {
            user.clone_into(&mut self.user);
            self.tried.clear();
            self.is_hint_given = false;
        }
        self.n_requests += 1;
        self.n_requests <= MAX_REQUESTS
    }

    /// Refuses a key and remembers it for the hint.
    pub(crate) fn refuse_key(&mut self, key: &OfferedKey, reason: Option<KeyRefusal>) -> Auth {
        let line = match reason {
            Some(reason) => format!("{} ({reason})", key.fingerprint),
            None => key.fingerprint.clone(),
        };
        if self.tried.len() < MAX_NAMED && !self.tried.contains(&line) {
            self.tried.push(line);
        }
        self.refuse()
    }

    /// Refuses anything else, such as a password.
    ///
    /// After a refused key the client is offered `keyboard-interactive` once: OpenSSH turns to it when its keys are
    /// used up, and so shows the hint at the end and at no other time. It asks nothing and can never succeed.
    pub(crate) fn refuse(&mut self) -> Auth {
        self.n_refused += 1;
        let mut methods = vec![MethodKind::PublicKey];
        if !self.tried.is_empty() && !self.is_hint_given {
            methods.push(MethodKind::KeyboardInteractive);
        }
        Auth::Reject { proceed_with_methods: Some(methods.as_slice().into()), partial_success: false }
    }

    /// Answers the first request, which asks for the methods: no refusal, as in OpenSSH.
    pub(crate) fn name_methods(&self) -> Auth {
        let methods = [MethodKind::PublicKey];
        Auth::Reject { proceed_with_methods: Some(methods.as_slice().into()), partial_success: false }
    }

    /// Counts refusals on this connection, under whatever user name.
    pub(crate) fn n_refused(&self) -> usize {
        self.n_refused
    }

    /// Gives the hint, once, to a client that has tried keys.
    pub(crate) fn take_hint(&mut self, how_to_add: &str) -> Option<String> {
        if self.tried.is_empty() || std::mem::replace(&mut self.is_hint_given, true) {
            return None;
        }
        Some(self.hint(how_to_add))
    }

    /// Tells which keys were tried and how to add one.
    pub(crate) fn hint(&self, how_to_add: &str) -> String {
        let tried = self.tried.join(", ");
        match self.tried.len() {
            0 => format!("no key was offered; {how_to_add}"),
            1 => format!("this key is not known here: {tried}; {how_to_add}"),
            _ => format!("none of these keys is known here: {tried}; {how_to_add}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Login, MAX_REQUESTS, OfferedKey};
    use russh::MethodKind;
    use russh::server::Auth;

    fn key(fingerprint: &str) -> OfferedKey {
        OfferedKey { blob: Vec::new(), fingerprint: fingerprint.to_owned() }
    }

    fn offers_hint(auth: &Auth) -> bool {
        let Auth::Reject { proceed_with_methods: Some(methods), partial_success: false } = auth else {
            panic!("never anything but a refusal: {auth:?}");
        };
        methods.contains(&MethodKind::KeyboardInteractive)
    }

    #[test]
    fn the_hint_names_each_key_once_and_is_given_once() {
        let mut login = Login::default();
        assert!(login.begin("git"));
        assert!(!offers_hint(&login.name_methods()), "a scanner sees public keys alone");
        assert!(offers_hint(&login.refuse_key(&key("SHA256:a"), None)));
        let _ = login.refuse_key(&key("SHA256:a"), None);
        let _ = login.refuse_key(&key("SHA256:b"), None);
        let hint = login.take_hint("ask alice").unwrap();
        assert_eq!(hint, "none of these keys is known here: SHA256:a, SHA256:b; ask alice");
        assert_eq!(login.take_hint("ask alice"), None);
        assert!(!offers_hint(&login.refuse()));
    }

    #[test]
    fn another_user_name_starts_again_but_refusals_add_up() {
        let mut login = Login::default();
        assert!(login.begin("git"));
        let _ = login.refuse_key(&key("SHA256:a"), None);
        assert!(login.begin("root"));
        assert!(!offers_hint(&login.refuse()), "keys tried under another name are forgotten");
        assert_eq!(login.n_refused(), 2);
    }

    #[test]
    fn requests_are_bounded() {
        let mut login = Login::default();
        assert!((0..MAX_REQUESTS).all(|_| login.begin("git")));
        assert!(!login.begin("git"));
    }
}
