//! The tokens of the service.

use std::sync::Arc;

use hakata_rpc::{Code, Status};
use hakata_runtime::secret::{Secret, equal};

/// Tokens that open the ports; two while one replaces the other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<[Secret<String>]>);

impl Tokens {
    /// Accepts callers that show one of these. Without any, nobody is asked: only for ports that nobody else can reach.
    pub fn new(tokens: Vec<Secret<String>>) -> Self {
        Self(tokens.into())
    }

    /// Says whether callers need to show nothing.
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at what a caller shows; takes as long for a wrong token as for a right one.
    ///
    /// # Errors
    /// UNAUTHENTICATED.
    pub fn check(&self, shown: Option<&str>) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let Some(shown) = shown else {
            return Err(Status::new(Code::Unauthenticated, "the service wants a token"));
        };
        let known = self
            .0
            .iter()
            .fold(false, |known, token| known | equal(token.expose().as_bytes(), shown.as_bytes()));
        if known { Ok(()) } else { Err(Status::new(Code::Unauthenticated, "the token is wrong")) }
    }
}

#[cfg(test)]
mod tests {
    use super::Tokens;
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
    }
}
