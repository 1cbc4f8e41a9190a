//! The link by which a reader leaves with one click, without signing in. Source: RFC 8058.
//!
//! ```text
//! hkt_mute_ base64url of: version 1 | user 8 bytes | repository 8 bytes (0: all mail) | HMAC-SHA256, first 16 bytes
//! ```
//!
//! Such a link can do nothing but make less mail, so it never ends; it begins as tokens do, so that logs hide it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hakata_names::{RepositoryId, UserId};
use hakata_runtime::secret::{Secret, equal, random_bytes};
use hakata_store::{WatchLevel, readers, settings, watches};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Language;
use crate::auth::TOKEN_PREFIX;
use crate::{Error, Forge};

/// The row of `setting` that holds the key of all links.
const SETTING: &str = "mail_mute_key";
const VERSION: u8 = 1;
const N_HEAD: usize = 17;
const N_MAC: usize = 16;

/// What somebody who follows a link is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Muted {
    /// In which language.
    pub language: Language,
    /// Whether all mail is meant, not that about one repository.
    pub is_all: bool,
}

impl Forge {
    /// Makes the link by which a user leaves the mail about a repository, or all.
    pub(super) async fn mute_token(
        &self,
        user: UserId,
        repository: Option<RepositoryId>,
    ) -> Result<String, Error> {
        let head = head(user, repository);
        let mac = mac(&head, &self.mute_key().await?);
        Ok(format!("{TOKEN_PREFIX}mute_{}", URL_SAFE_NO_PAD.encode([&head[..], &mac].concat())))
    }

    /// Tells what a link would do; `None`: it is none of ours, or its reader is gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read_mute_token(&self, token: &str) -> Result<Option<Muted>, Error> {
        let Some((user, repository)) = self.meant(token).await? else { return Ok(None) };
        let reader = readers::find(&mut self.db().read().await?, user, repository).await?;
        Ok(reader.map(|reader| Muted {
            language: self.language_of(&reader.preference),
            is_all: repository.is_none(),
        }))
    }

    /// Does what a link says: as often as it is followed, with the same result. `None`: it is none of ours.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn mute(&self, token: &str) -> Result<Option<Muted>, Error> {
        let Some(muted) = self.read_mute_token(token).await? else { return Ok(None) };
        let Some((user, repository)) = self.meant(token).await? else { return Ok(None) };
        let mut conn = self.db().write().await?;
        match repository {
            Some(repository) => watches::set(&mut conn, user, repository, WatchLevel::Ignoring).await?,
            None => {
                if let Some(reader) = readers::find(&mut conn, user, None).await? {
                    let wish = readers::Preference { is_on: false, ..reader.preference };
                    readers::prefer(&mut conn, user, &wish).await?;
                }
            }
        }
        Ok(Some(muted))
    }

    async fn meant(&self, token: &str) -> Result<Option<(UserId, Option<RepositoryId>)>, Error> {
        let Some(text) = token.strip_prefix(TOKEN_PREFIX).and_then(|text| text.strip_prefix("mute_")) else {
            return Ok(None);
        };
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return Ok(None) };
        let Some((head, claimed)) = bytes.split_first_chunk::<N_HEAD>() else { return Ok(None) };
        if head[0] != VERSION || !equal(claimed, &mac(head, &self.mute_key().await?)) {
            return Ok(None);
        }
        let number =
            |at: usize| i64::from_be_bytes(head[at..at + 8].try_into().expect("eight bytes of seventeen"));
        let repository = Some(number(9)).filter(|id| *id != 0).map(RepositoryId::new);
        Ok(Some((UserId::new(number(1)), repository)))
    }

    /// Finds the key; the first who asks draws it.
    async fn mute_key(&self) -> Result<Secret<String>, Error> {
        if let Some(kept) = settings::find(&mut self.db().read().await?, SETTING).await? {
            return Ok(kept.into());
        }
        let drawn = URL_SAFE_NO_PAD.encode(random_bytes::<32>());
        Ok(settings::get_or_set(&mut self.db().write().await?, SETTING, &drawn).await?.into())
    }
}

fn head(user: UserId, repository: Option<RepositoryId>) -> [u8; N_HEAD] {
    let mut head = [VERSION; N_HEAD];
    head[1..9].copy_from_slice(&user.get().to_be_bytes());
    head[9..].copy_from_slice(&repository.map_or(0, RepositoryId::get).to_be_bytes());
    head
}

fn mac(head: &[u8; N_HEAD], key: &Secret<String>) -> [u8; N_MAC] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(b"hakata mail mute\0");
    mac.update(head);
    *mac.finalize().into_bytes().first_chunk().expect("32 bytes have 16")
}
