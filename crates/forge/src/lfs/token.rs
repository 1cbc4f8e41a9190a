//! Tokens of actions: short-lived, for one repository and one thing to do there.
//!
//! ```text
//! hkl_ base64url( 1 version | 1 operation | 8 repository | 1 proof | 8 user or key | 8 proof's row | 1 scopes
//!                 | 8 version of credentials | 1 has object | 32 oid | 8 size | 8 end, ms | 32 HMAC-SHA256 )
//! ```
//!
//! A token says who asked and what for, and no more than that: whoever shows one is looked up again, and the rules
//! decide as they are then. One that was not made here, has ended, or whose account, token or key is gone, opens nothing.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hakata_names::{KeyId, LfsOid, RepositoryId, TokenId, UserId};
use hakata_runtime::secret::{Secret, random_bytes};
use hakata_store::{OwnerState, settings};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::access::Grant;
use crate::{Actor, Error, Forge, Kind, Scopes, Via};

/// What every such token starts with.
pub const LFS_TOKEN_PREFIX: &str = "hkl_";

/// The row of `setting` that holds the key; the first who asks draws it.
const SETTING: &str = "lfs_signing_key";
const VERSION: u8 = 1;
const N_BODY: usize = 1 + 1 + 8 + 1 + 8 + 8 + 1 + 8 + 1 + 32 + 8 + 8;
const N_MAC: usize = 32;

/// What may be done with objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Fetch them.
    Download,
    /// Send them.
    Upload,
}

impl Operation {
    /// Finds the operation of its word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "download" => Some(Self::Download),
            "upload" => Some(Self::Upload),
            _ => None,
        }
    }

    /// Returns the word, as in batches.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }
}

/// What a token is good for, in one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The operation; whoever may send objects may also ask what is there.
    pub operation: Operation,
    /// The only object and its length in bytes; `None`: every request about the repository.
    pub object: Option<(LfsOid, u64)>,
}

impl Right {
    /// Tells whether the right covers this object, or requests of every sort if none is named.
    pub fn covers(&self, operation: Operation, oid: Option<&LfsOid>) -> bool {
        let of_object = match (&self.object, oid) {
            (None, _) => true,
            (Some((own, _)), Some(oid)) => own == oid,
            (Some(_), None) => false,
        };
        // Who signed in for uploads also asks for batches of downloads and lists locks.
        of_object
            && (self.operation == operation || self.object.is_none() && operation == Operation::Download)
    }
}

/// Makes tokens for one actor in one repository.
#[derive(Debug)]
pub struct Signer<'a> {
    key: &'a SigningKey,
    repository: RepositoryId,
    proof: Proof,
    credentials_version: i64,
    /// How long they are good.
    pub expires_in: Duration,
    /// Until when, in ms.
    pub expires_at_ms: i64,
}

impl Signer<'_> {
    /// Makes a token.
    pub fn token(&self, right: Right) -> Secret<String> {
        let Self { repository, proof, credentials_version, expires_at_ms, .. } = *self;
        let claims = Claims { repository, right, proof, credentials_version, expires_at: expires_at_ms };
        Secret::new(claims.sign(self.key))
    }
}

/// Who showed a token, and what for.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Whose token it is.
    pub actor: Actor,
    /// The only repository it is good for.
    pub repository: RepositoryId,
    /// What it is good for there.
    pub right: Right,
}

/// The key that tokens are signed with, the same on every node.
pub(crate) struct SigningKey([u8; 32]);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claims {
    repository: RepositoryId,
    right: Right,
    proof: Proof,
    /// Of the account when the token was made.
    credentials_version: i64,
    expires_at: i64,
}

/// Who asked, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Password(UserId),
    Token(UserId, TokenId, Scopes),
    Key(UserId, KeyId),
    DeployKey(KeyId, bool),
}

impl Forge {
    /// Prepares to make tokens for the holder of a grant; `None` for strangers, who need none where they may read.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lfs_signer<A>(&self, grant: &Grant<A>) -> Result<Option<Signer<'_>>, Error> {
        let Some(proof) = Proof::of(grant.actor()) else { return Ok(None) };
        let credentials_version = match grant.actor().user() {
            Some(user) => self.account(user).await?.map_or(0, |user| user.credentials_version),
            None => 0,
        };
        let expires_in = self.settings().lfs.action_time;
        let lasts = i64::try_from(expires_in.as_millis()).unwrap_or(i64::MAX);
        let expires_at_ms = self.clock().now_ms().saturating_add(lasts);
        let (key, repository) = (self.lfs_signing_key().await?, grant.repository());
        Ok(Some(Signer { key, repository, proof, credentials_version, expires_in, expires_at_ms }))
    }

    /// Signs in by a token of an action.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], by which clients know that they must ask for a new one, if it is none of ours, has ended,
    /// or was made for somebody who could not sign in now.
    pub async fn sign_in_lfs(&self, token: &Secret<String>) -> Result<Bearer, Error> {
        let now = self.clock().now_ms();
        let claims = Claims::verify(token.expose(), self.lfs_signing_key().await?);
        let claims = claims.filter(|claims| now < claims.expires_at).ok_or_else(ended)?;
        let actor = self.holder_of(&claims).await?.ok_or_else(ended)?;
        match self.check_not_revoked(&actor).await {
            Err(error) if error.kind() == Kind::Unauthenticated => return Err(ended()),
            checked => checked?,
        }
        Ok(Bearer { actor, repository: claims.repository, right: claims.right })
    }

    /// Finds who stands behind a token now.
    async fn holder_of(&self, claims: &Claims) -> Result<Option<Actor>, Error> {
        let (id, via) = match claims.proof {
            Proof::Password(id) => (id, Via::Password),
            Proof::Token(id, token, scopes) => (id, Via::Token { id: token, scopes }),
            Proof::Key(id, key) => (id, Via::Key { id: key }),
            Proof::DeployKey(key, can_write) => {
                return Ok(Some(Actor::DeployKey { key, repository: claims.repository, can_write }));
            }
        };
        let Some(user) = self.account(id).await? else { return Ok(None) };
        // A password that was changed since proves nothing; tokens and keys are looked up themselves.
        let is_stale = via == Via::Password && user.credentials_version != claims.credentials_version;
        if is_stale || user.owner.state != OwnerState::Active {
            return Ok(None);
        }
        Ok(Some(Actor::User { id, name: user.owner.name.clone(), is_admin: user.is_admin, via }))
    }

    async fn lfs_signing_key(&self) -> Result<&SigningKey, Error> {
        self.inner.lfs.signing_key.get_or_try_init(|| self.read_signing_key()).await
    }

    async fn read_signing_key(&self) -> Result<SigningKey, Error> {
        let found = settings::find(&mut self.db().read().await?, SETTING).await?;
        let text = match found {
            Some(text) => text,
            None => {
                let drawn = URL_SAFE_NO_PAD.encode(random_bytes::<32>());
                settings::get_or_set(&mut self.db().write().await?, SETTING, &drawn).await?
            }
        };
        let digest = Sha256::new().chain_update(b"hakata lfs actions 1\0").chain_update(text.as_bytes());
        Ok(SigningKey(digest.finalize().into()))
    }
}

fn ended() -> Error {
    Error::new(Kind::Forbidden, "this link has ended, or its right was taken away; ask for a new one")
}

impl Proof {
    fn of(actor: &Actor) -> Option<Self> {
        match actor {
            Actor::User { id, via, .. } => Some(match via {
                Via::Password => Self::Password(*id),
                Via::Token { id: token, scopes } => Self::Token(*id, *token, *scopes),
                Via::Key { id: key } => Self::Key(*id, *key),
            }),
            Actor::DeployKey { key, can_write, .. } => Some(Self::DeployKey(*key, *can_write)),
            Actor::Anonymous | Actor::System => None,
        }
    }

    /// The tag, whose it is, the row of the proof, and a byte more.
    fn encode(self) -> (u8, i64, i64, u8) {
        match self {
            Self::Password(user) => (0, user.get(), 0, 0),
            Self::Token(user, token, scopes) => (1, user.get(), token.get(), scopes.bits()),
            Self::Key(user, key) => (2, user.get(), key.get(), 0),
            Self::DeployKey(key, can_write) => (3, 0, key.get(), u8::from(can_write)),
        }
    }

    fn decode((tag, whose, row, more): (u8, i64, i64, u8)) -> Option<Self> {
        Some(match tag {
            0 => Self::Password(UserId::new(whose)),
            1 => Self::Token(UserId::new(whose), TokenId::new(row), Scopes::from_bits(more)?),
            2 => Self::Key(UserId::new(whose), KeyId::new(row)),
            3 => Self::DeployKey(KeyId::new(row), more == 1),
            _ => return None,
        })
    }
}

impl Claims {
    fn sign(&self, key: &SigningKey) -> String {
        let (tag, whose, row, more) = self.proof.encode();
        let mut body = Vec::with_capacity(N_BODY + N_MAC);
        body.extend([VERSION, u8::from(self.right.operation == Operation::Upload)]);
        body.extend(self.repository.get().to_be_bytes());
        body.push(tag);
        body.extend(whose.to_be_bytes());
        body.extend(row.to_be_bytes());
        body.push(more);
        body.extend(self.credentials_version.to_be_bytes());
        let (oid, size) = self.right.object.unwrap_or((LfsOid::new([0; 32]), 0));
        body.push(u8::from(self.right.object.is_some()));
        body.extend(oid.as_bytes());
        body.extend(size.to_be_bytes());
        body.extend(self.expires_at.to_be_bytes());
        let mac = hmac(key, &body).finalize().into_bytes();
        body.extend(mac);
        format!("{LFS_TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(body))
    }

    fn verify(text: &str, key: &SigningKey) -> Option<Self> {
        let encoded = text.strip_prefix(LFS_TOKEN_PREFIX)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok().filter(|bytes| bytes.len() == N_BODY + N_MAC)?;
        let (body, mac) = bytes.split_at(N_BODY);
        hmac(key, body).verify_slice(mac).ok()?;
        Self::decode(body)
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let mut body = Fields(body);
        let [version, operation] = body.take()?;
        let repository = RepositoryId::new(body.int()?);
        let [tag] = body.take()?;
        let (whose, row) = (body.int()?, body.int()?);
        let [more] = body.take()?;
        let credentials_version = body.int()?;
        let [has_object] = body.take()?;
        let (oid, size) = (LfsOid::new(body.take()?), u64::from_be_bytes(body.take()?));
        let operation = if operation == 1 { Operation::Upload } else { Operation::Download };
        let right = Right { operation, object: (has_object == 1).then_some((oid, size)) };
        let proof = Proof::decode((tag, whose, row, more))?;
        let expires_at = body.int()?;
        (version == VERSION).then_some(Self { repository, right, proof, credentials_version, expires_at })
    }
}

/// What is left of a body.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn int(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }
}

fn hmac(key: &SigningKey, body: &[u8]) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    hmac.update(body);
    hmac
}

#[cfg(test)]
mod tests {
    use hakata_names::{KeyId, LfsOid, RepositoryId, TokenId, UserId};

    use super::{Claims, LFS_TOKEN_PREFIX, Operation, Proof, Right, SigningKey};
    use crate::{Scope, Scopes};

    const KEY: SigningKey = SigningKey([7; 32]);

    fn claims(proof: Proof) -> Claims {
        let right = Right { operation: Operation::Upload, object: Some((LfsOid::new([9; 32]), 123)) };
        Claims {
            repository: RepositoryId::new(5),
            right,
            proof,
            credentials_version: 3,
            expires_at: 1_700_000_000_000,
        }
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let scopes = Scopes::NONE.with(Scope::RepoWrite);
        for proof in [
            Proof::Password(UserId::new(1)),
            Proof::Token(UserId::new(1), TokenId::new(2), scopes),
            Proof::Key(UserId::new(1), KeyId::new(2)),
            Proof::DeployKey(KeyId::new(2), true),
            Proof::DeployKey(KeyId::new(2), false),
        ] {
            let claims = claims(proof);
            let session = Claims { right: Right { object: None, ..claims.right }, ..claims.clone() };
            for claims in [claims, session] {
                assert_eq!(Claims::verify(&claims.sign(&KEY), &KEY), Some(claims));
            }
        }
    }

    /// Every character of a token is covered by its signature.
    #[test]
    fn nothing_in_a_token_can_be_changed() {
        let text = claims(Proof::Password(UserId::new(1))).sign(&KEY);
        assert!(Claims::verify(&text, &SigningKey([8; 32])).is_none(), "another installation's");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(Claims::verify(&changed, &KEY).is_none(), "character {at}");
        }
        for text in ["", LFS_TOKEN_PREFIX, "hkt_x", &text[..text.len() - 1], &format!("{text}A")] {
            assert!(Claims::verify(text, &KEY).is_none(), "{text}");
        }
    }

    #[test]
    fn a_right_covers_its_object_and_operation_only() {
        let oid = LfsOid::new([9; 32]);
        let (other, own) = (LfsOid::new([8; 32]), Some(&oid));
        let upload = claims(Proof::Password(UserId::new(1))).right;
        assert!(upload.covers(Operation::Upload, own));
        assert!(!upload.covers(Operation::Upload, Some(&other)) && !upload.covers(Operation::Download, own));
        assert!(!upload.covers(Operation::Upload, None), "an object's token is no sign-in");
        let session = Right { operation: Operation::Download, object: None };
        assert!(session.covers(Operation::Download, None) && session.covers(Operation::Download, own));
        assert!(!session.covers(Operation::Upload, None), "who came to fetch does not push");
        let session = Right { operation: Operation::Upload, ..session };
        assert!(session.covers(Operation::Upload, own) && session.covers(Operation::Download, None));
    }
}
