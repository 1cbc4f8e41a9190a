//! Secrets of webhooks on their way into rows and back: AES-256-GCM, bound to the webhook's id.
//!
//! ```text
//! 1 byte: version 1 | 12 bytes: nonce | sealed secret | 16 bytes: tag
//! ```

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hakata_names::WebhookId;
use hakata_runtime::secret::{Secret, random_bytes};
use hakata_store::settings;
use sha2::{Digest as _, Sha256};

use crate::{Error, Forge};

/// The row of `setting` that holds the key where no operator has chosen one.
const SETTING: &str = "webhook_seal";
const VERSION: u8 = 1;

/// Why a secret cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("opening the secret of webhook {webhook}: it was sealed with another key")]
struct OpenSecretError {
    webhook: WebhookId,
}

impl Forge {
    /// Seals a secret for its row.
    pub(super) async fn seal(&self, id: WebhookId, secret: &Secret<String>) -> Result<Vec<u8>, Error> {
        let key = self.seal_key().await?;
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = secret.expose().as_bytes().to_vec();
        let sealing = key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(id.get().to_be_bytes()),
            &mut sealed,
        );
        sealing.map_err(|_| Error::internal(OpenSecretError { webhook: id }))?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// Opens a sealed secret.
    pub(super) async fn open_secret(&self, id: WebhookId, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Error> {
        let key = self.seal_key().await?;
        let opened = open(&key, id, sealed);
        opened.ok_or_else(|| Error::internal(OpenSecretError { webhook: id }))
    }

    async fn seal_key(&self) -> Result<LessSafeKey, Error> {
        let chosen = match &self.settings().webhooks.seal {
            Some(chosen) => chosen.clone(),
            None => self.kept_key().await?,
        };
        let digest = Sha256::new().chain_update(b"hakata webhook secrets 1\0").chain_update(chosen.expose());
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

fn open(key: &LessSafeKey, id: WebhookId, sealed: &[u8]) -> Option<Secret<Vec<u8>>> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, rest) = rest.split_at_checked(NONCE_LEN)?;
    if *version != VERSION {
        return None;
    }
    let mut text = rest.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let n = key.open_in_place(nonce, Aad::from(id.get().to_be_bytes()), &mut text).ok()?.len();
    text.truncate(n);
    Some(Secret::new(text))
}
