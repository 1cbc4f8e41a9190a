//! Secrets of others on their way into rows and back: AES-256-GCM, bound to what they belong to.
//!
//! ```text
//! 1 byte: version 1 | 12 bytes: nonce | sealed secret | 16 bytes: tag
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hakata_names::{ImportId, MirrorId, WebhookId};
use hakata_runtime::secret::{Secret, random_bytes};
use hakata_store::settings;
use sha2::{Digest as _, Sha256};

use crate::{Error, Forge};

/// The row of `setting` that holds the key where no operator has chosen one.
const SETTING: &str = "webhook_seal";
const VERSION: u8 = 1;

/// What a secret belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    Webhook(WebhookId),
    Mirror(MirrorId),
    Import(ImportId),
}

/// Why a secret cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("opening the secret of {bearer}: it was sealed with another key")]
struct OpenSecretError {
    bearer: Bearer,
}

impl Forge {
    /// Seals a secret for its row.
    pub(crate) async fn seal(
        &self,
        bearer: impl Into<Bearer>,
        secret: &Secret<String>,
    ) -> Result<Vec<u8>, Error> {
        let bearer = bearer.into();
        let key = self.seal_key(bearer).await?;
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = secret.expose().as_bytes().to_vec();
        let sealing = key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bearer.id().to_be_bytes()),
            &mut sealed,
        );
        sealing.map_err(|_| Error::internal(OpenSecretError { bearer }))?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// Opens a sealed secret.
    pub(crate) async fn open_secret(
        &self,
        bearer: impl Into<Bearer>,
        sealed: &[u8],
    ) -> Result<Secret<Vec<u8>>, Error> {
        let bearer = bearer.into();
        let key = self.seal_key(bearer).await?;
        let opened = open(&key, bearer, sealed);
        opened.ok_or_else(|| Error::internal(OpenSecretError { bearer }))
    }

    async fn seal_key(&self, bearer: Bearer) -> Result<LessSafeKey, Error> {
        let chosen = match &self.settings().webhooks.seal {
            Some(chosen) => chosen.clone(),
            None => self.kept_key().await?,
        };
        let digest = Sha256::new().chain_update(bearer.label()).chain_update(chosen.expose());
        let key = UnboundKey::new(&AES_256_GCM, &digest.finalize());
        Ok(LessSafeKey::new(key.expect("a digest of SHA-256 has the length of the key")))
    }

    /// Finds the key of an installation whose operator has chosen none; the first who asks draws it.
    async fn kept_key(&self) -> Result<Secret<String>, Error> {
        if let Some(kept) = settings::find(&mut self.db().read().await?, SETTING).await? {
            return Ok(kept.into());
        }
        let drawn: String = random_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(settings::get_or_set(&mut self.db().write().await?, SETTING, &drawn).await?.into())
    }
}

impl Bearer {
    fn id(self) -> i64 {
        match self {
            Self::Webhook(id) => id.get(),
            Self::Mirror(id) => id.get(),
            Self::Import(id) => id.get(),
        }
    }

    /// Keeps the keys of families apart.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Webhook(_) => b"hakata webhook secrets 1\0",
            Self::Mirror(_) => b"hakata mirror logins 1\0",
            Self::Import(_) => b"hakata import logins 1\0",
        }
    }
}

impl fmt::Display for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(id) => write!(f, "webhook {id}"),
            Self::Mirror(id) => write!(f, "mirror {id}"),
            Self::Import(id) => write!(f, "import {id}"),
        }
    }
}

impl From<WebhookId> for Bearer {
    fn from(id: WebhookId) -> Self {
        Self::Webhook(id)
    }
}

impl From<MirrorId> for Bearer {
    fn from(id: MirrorId) -> Self {
        Self::Mirror(id)
    }
}

impl From<ImportId> for Bearer {
    fn from(id: ImportId) -> Self {
        Self::Import(id)
    }
}

fn open(key: &LessSafeKey, bearer: Bearer, sealed: &[u8]) -> Option<Secret<Vec<u8>>> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, rest) = rest.split_at_checked(NONCE_LEN)?;
    if *version != VERSION {
        return None;
    }
    let mut text = rest.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let n = key.open_in_place(nonce, Aad::from(bearer.id().to_be_bytes()), &mut text).ok()?.len();
    text.truncate(n);
    Some(Secret::new(text))
}
