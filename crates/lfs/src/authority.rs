//! Who asks, and by what right: an account, or the token of an action.

use hakata_forge::lfs::{self, Bearer, LFS_TOKEN_PREFIX, Operation};
use hakata_forge::{Act, Actor, Error, Forge, Grant, Kind, Write};
use hakata_names::{LfsOid, RepositoryPath};
use hakata_service::http::{Credentials, RequestFacts};
use http::HeaderMap;

use crate::refusal::Refusal;

/// Who asks.
pub(crate) enum Authority {
    /// Whoever signed in, or nobody.
    Actor(Actor),
    /// Who was given an action, for what it is good for.
    Bearer(Bearer),
}

impl Authority {
    /// Signs in by the credentials of a request.
    pub(crate) async fn sign_in(
        forge: &Forge,
        headers: &HeaderMap,
        facts: &RequestFacts,
    ) -> Result<Self, Refusal> {
        let refuse = |error: Error| Refusal::of_forge(&error, facts.id);
        let actor = match Credentials::parse(headers)? {
            Credentials::Anonymous => Ok(Actor::Anonymous),
            Credentials::Token(token) if token.expose().starts_with(LFS_TOKEN_PREFIX) => {
                return forge.sign_in_lfs(&token).await.map(Self::Bearer).map_err(refuse);
            }
            Credentials::Token(token) => forge.sign_in_token(token, facts.client).await,
            Credentials::Basic { name, secret } => forge.sign_in_basic(&name, secret, facts.client).await,
        };
        actor.map(Self::Actor).map_err(refuse)
    }

    pub(crate) fn actor(&self) -> &Actor {
        match self {
            Self::Actor(actor) => actor,
            Self::Bearer(bearer) => &bearer.actor,
        }
    }

    /// Tells the length that the token of an action was made for.
    pub(crate) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::Actor(_) => None,
            Self::Bearer(bearer) => bearer.right.object.map(|(_, size)| size),
        }
    }

    /// Asks for the grant of a batch of uploads, which may create the repository.
    pub(crate) async fn open_upload(
        &self,
        forge: &Forge,
        path: &RepositoryPath,
    ) -> Result<Grant<Write>, Error> {
        match self {
            Self::Actor(actor) => lfs::open_upload(forge, actor, path).await,
            Self::Bearer(_) => self.grant(forge, path, Operation::Upload, None).await,
        }
    }

    /// Asks for a grant. The token of an action must be for this repository, operation and object; what its holder may do
    /// is decided anew.
    pub(crate) async fn grant<A: Act>(
        &self,
        forge: &Forge,
        path: &RepositoryPath,
        operation: Operation,
        oid: Option<&LfsOid>,
    ) -> Result<Grant<A>, Error> {
        let grant = forge.grant::<A>(self.actor(), path).await?;
        match self {
            Self::Actor(_) => Ok(grant),
            Self::Bearer(bearer) => {
                let fits = bearer.repository == grant.repository() && bearer.right.covers(operation, oid);
                if fits {
                    Ok(grant)
                } else {
                    Err(Error::new(Kind::Forbidden, "this link is for something else"))
                }
            }
        }
    }
}
