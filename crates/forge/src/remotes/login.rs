//! Logins at other hosts: given once, kept sealed, never shown.

use hakata_git::remote::Login;
use hakata_runtime::secret::Secret;

use crate::seal::Bearer;
use crate::{Error, Forge, Kind};

/// The longest name or password, in bytes.
const MAX: usize = 1_024;

/// A login as somebody gives it.
#[derive(Clone, Debug)]
pub(crate) struct LoginWish {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret<String>>,
}

impl LoginWish {
    /// Checks a login; none at all is one for repositories that anybody may read.
    pub(crate) fn check(self) -> Result<Option<Login>, Error> {
        let refuse = |words: &'static str| Err(Error::new(Kind::Invalid, words));
        let Some(password) = self.password else {
            return match self.user {
                Some(_) => refuse("a user needs a password or a token"),
                None => Ok(None),
            };
        };
        // Hosts that take tokens want no name beside them, or any.
        let user = self.user.unwrap_or_else(|| "git".to_owned());
        let is_odd = |text: &str| text.is_empty() || text.len() > MAX || text.chars().any(char::is_control);
        if is_odd(&user) || user.contains(':') || is_odd(password.expose()) {
            return refuse(
                "user and password have 1 to 1,024 bytes and no control characters, the user no colon",
            );
        }
        Ok(Some(Login { user, password }))
    }
}

impl Forge {
    /// Seals a login for its row.
    pub(crate) async fn seal_login(&self, bearer: Bearer, login: &Login) -> Result<Vec<u8>, Error> {
        let pair = Secret::new(format!("{}:{}", login.user, login.password.expose()));
        self.seal(bearer, &pair).await
    }

    /// Opens a sealed login.
    pub(crate) async fn open_login(
        &self,
        bearer: Bearer,
        sealed: Option<&[u8]>,
    ) -> Result<Option<Login>, Error> {
        let Some(sealed) = sealed else { return Ok(None) };
        let opened = self.open_secret(bearer, sealed).await?;
        let pair = std::str::from_utf8(opened.expose()).map_err(Error::internal)?;
        Ok(pair.split_once(':').map(|(user, password)| Login {
            user: user.to_owned(),
            password: Secret::new(password.to_owned()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::LoginWish;
    use crate::testing::World;

    #[test]
    fn a_login_is_whole_or_there_is_none() {
        let wish = |user: Option<&str>, password: Option<&str>| {
            LoginWish { user: user.map(str::to_owned), password: password.map(|text| text.to_owned().into()) }
                .check()
        };
        assert!(wish(None, None).unwrap().is_none());
        assert_eq!(wish(None, Some("token")).unwrap().unwrap().user, "git");
        assert!(wish(Some("bot"), None).is_err());
        assert!(wish(Some("a:b"), Some("x")).is_err());
        assert!(wish(Some("bot"), Some("x\nInjected: y")).is_err());
    }

    #[tokio::test]
    async fn logins_are_sealed_for_their_bearer() {
        let world = World::new().await;
        let wish = LoginWish { user: Some("bot".into()), password: Some("p:w".to_owned().into()) };
        let login = wish.check().unwrap().unwrap();
        let (one, two) = (hakata_names::MirrorId::new(1), hakata_names::ImportId::new(1));
        let sealed = world.forge.seal_login(one.into(), &login).await.unwrap();
        assert!(!sealed.windows(3).any(|window| window == b"p:w"));
        let opened = world.forge.open_login(one.into(), Some(&sealed)).await.unwrap().unwrap();
        assert_eq!((opened.user.as_str(), opened.password.expose().as_str()), ("bot", "p:w"));
        assert!(world.forge.open_login(two.into(), Some(&sealed)).await.is_err(), "not another family's");
    }
}
