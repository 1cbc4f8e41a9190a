//! The tokens of the service.

use std::sync::Arc;

use hakata_rpc::{Code, Status};
use hakata_runtime::secret::{Secret, equal};
use hakata_service::tls::ClientCertificate;

/// Tokens that open the ports; two while one replaces the other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    tokens: Arc<[Secret<String>]>,
    names: Arc<[String]>,
}

/// Who showed what: what is kept for one is nothing to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody who showed anything.
    Anybody,
    /// Whoever shows the token of this number.
    Token(usize),
    /// Whoever has a certificate of this name.
    Name(String),
}

impl Tokens {
    /// Accepts callers that show one of these. Without any, nobody is asked: only for ports that nobody else can reach.
    pub fn new(tokens: Vec<Secret<String>>) -> Self {
        Self { tokens: tokens.into(), names: Arc::default() }
    }

    /// Lets callers in without a token whose certificate has one of these names.
    #[must_use]
    pub fn or_names(self, names: Vec<String>) -> Self {
        Self { names: names.into(), ..self }
    }

    /// Says whether callers need to show nothing.
    pub fn are_none(&self) -> bool {
        self.tokens.is_empty() && self.names.is_empty()
    }

    /// Says whether a caller needs to show nothing but this certificate.
    pub(crate) fn know(&self, certificate: Option<&ClientCertificate>) -> bool {
        let is_named = |certificate: &ClientCertificate| certificate.named(&self.names).is_some();
        !self.names.is_empty() && certificate.is_some_and(is_named)
    }

    /// Names whoever needs to show nothing but this certificate.
    pub(crate) fn owner_by(&self, certificate: Option<&ClientCertificate>) -> Option<Owner> {
        let name = certificate.and_then(|certificate| certificate.named(&self.names));
        let anybody = self.are_none().then_some(Owner::Anybody);
        name.map(|name| Owner::Name(name.to_owned())).or(anybody)
    }

    /// Names whoever shows this token.
    pub(crate) fn owner(&self, shown: Option<&str>) -> Owner {
        let shown = shown.unwrap_or_default().as_bytes();
        let of =
            |(at, token): (usize, &Secret<String>)| equal(token.expose().as_bytes(), shown).then_some(at);
        self.tokens.iter().enumerate().filter_map(of).next_back().map_or(Owner::Anybody, Owner::Token)
    }

    /// Looks at what a caller shows; takes as long for a wrong token as for a right one.
    ///
    /// # Errors
    /// UNAUTHENTICATED.
    pub fn check(&self, shown: Option<&str>) -> Result<(), Status> {
        if self.are_none() {
            return Ok(());
        }
        let Some(shown) = shown else {
            return Err(Status::new(Code::Unauthenticated, "the service wants a token"));
        };
        let known = self
            .tokens
            .iter()
            .fold(false, |known, token| known | equal(token.expose().as_bytes(), shown.as_bytes()));
        if known { Ok(()) } else { Err(Status::new(Code::Unauthenticated, "the token is wrong")) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, Tokens};
    use hakata_runtime::secret::Secret;

    #[test]
    fn two_tokens_are_good_while_one_replaces_the_other() {
        let tokens = Tokens::new(vec![Secret::new("old".to_owned()), Secret::new("new".to_owned())]);
        for shown in [Some("old"), Some("new")] {
            assert!(tokens.check(shown).is_ok());
        }
        for shown in [None, Some(""), Some("ol"), Some("oldnew")] {
            assert!(tokens.check(shown).is_err(), "{shown:?}");
        }
        assert!(Tokens::new(Vec::new()).check(None).is_ok());
        let names = Tokens::new(Vec::new()).or_names(vec!["web".to_owned()]);
        assert!(names.check(None).is_err() && names.check(Some("")).is_err(), "only a certificate opens");
    }

    #[test]
    fn what_is_kept_belongs_to_who_showed_the_token() {
        let tokens = Tokens::new(vec![Secret::new("old".to_owned()), Secret::new("new".to_owned())]);
        assert_eq!(tokens.owner(Some("old")), Owner::Token(0));
        assert_eq!(tokens.owner(Some("new")), Owner::Token(1));
        assert_eq!(tokens.owner_by(None), None, "a token is wanted");
        assert_eq!(Tokens::new(Vec::new()).owner_by(None), Some(Owner::Anybody));
        assert_eq!(Tokens::new(Vec::new()).or_names(vec!["web".to_owned()]).owner_by(None), None);
    }
}
