//! Whom the keys belong to and what their owners may do: the forge, or a stand-in for tests of the transport.

use crate::command::GitService;
use hakata_forge::admin::Outcome;
use hakata_forge::hosting::{self, Mode, Protocol, ProtocolVersion};
use hakata_forge::lfs::{self, Operation, Right, Signer};
use hakata_forge::{Actor, Error, Forge, Read, personal};
use hakata_names::RepositoryPath;
use hakata_runtime::secret::Secret;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where logins and commands are decided.
pub(crate) enum Realm {
    /// The real one.
    Forge(Forge),
    /// A stand-in.
    #[cfg(test)]
    Stub(crate::tests::stub::Stub),
}

impl Realm {
    /// Tells whether an offered key may sign in.
    ///
    /// # Errors
    /// When it cannot be looked up.
    pub(crate) async fn is_key_known(&self, blob: &[u8]) -> Result<bool, Error> {
        match self {
            Self::Forge(forge) => forge.is_key_known(blob).await,
            #[cfg(test)]
            Self::Stub(stub) => Ok(stub.find(blob).is_some()),
        }
    }

    /// Signs in by a key whose signature has just been verified.
    ///
    /// # Errors
    /// As [`Forge::sign_in_key`].
    pub(crate) async fn sign_in(&self, blob: &[u8], address: Option<IpAddr>) -> Result<Actor, Error> {
        match self {
            Self::Forge(forge) => forge.sign_in_key(blob, address).await,
            #[cfg(test)]
            Self::Stub(stub) => stub.sign_in(blob),
        }
    }

    /// Runs one of git's server programs from the advertisement to the end.
    ///
    /// The right is derived from the same value that selects the program.
    ///
    /// # Errors
    /// As the functions of [`hosting`].
    pub(crate) async fn run_git<R, W>(
        &self,
        actor: &Actor,
        git: GitCommand<'_>,
        input: R,
        output: W,
    ) -> Result<(), Error>
    where
        R: AsyncRead + Send + Unpin,
        W: AsyncWrite + Send + Unpin,
    {
        let forge = match self {
            Self::Forge(forge) => forge,
            #[cfg(test)]
            Self::Stub(stub) => return stub.run_git(git, input, output).await,
        };
        // Everybody here has shown a key, so nobody is told apart by address.
        let _turn = forge.turn(actor, None).await?;
        let protocol = Protocol { version: git.version, mode: Mode::Stateful };
        let output = &mut hosting::Output::writer(output);
        match git.service {
            GitService::UploadPack => {
                let grant = forge.grant::<Read>(actor, git.path).await?;
                hosting::fetch(forge, &grant, protocol, input, output).await?;
            }
            GitService::ReceivePack => {
                let target = forge.open_push(actor, git.path).await?;
                hosting::receive(forge, target, protocol, input, output).await?;
            }
            GitService::UploadArchive => {
                let grant = forge.grant::<Read>(actor, git.path).await?;
                hosting::archive(forge, &grant, input, output).await?;
            }
        }
        Ok(())
    }

    /// Makes a token for LFS over HTTP.
    ///
    /// # Errors
    /// As [`Forge::grant`].
    pub(crate) async fn sign_in_to_lfs(
        &self,
        actor: &Actor,
        path: &RepositoryPath,
        operation: Operation,
    ) -> Result<SignedIn, Error> {
        let forge = match self {
            Self::Forge(forge) => forge,
            #[cfg(test)]
            Self::Stub(_) => return Err(Error::repository_not_found()),
        };
        let right = Right { operation, object: None };
        match operation {
            Operation::Download => {
                let grant = forge.grant::<Read>(actor, path).await?;
                SignedIn::new(grant.path(), forge.lfs_signer(&grant).await?, right)
            }
            Operation::Upload => {
                let grant = lfs::open_upload(forge, actor, path).await?;
                SignedIn::new(grant.path(), forge.lfs_signer(&grant).await?, right)
            }
        }
    }

    /// Runs a command of a person.
    ///
    /// # Errors
    /// As [`personal::run`].
    pub(crate) async fn run_personal(
        &self,
        actor: &Actor,
        command: personal::Command,
    ) -> Result<Outcome, Error> {
        match self {
            Self::Forge(forge) => personal::run(forge, actor, command).await,
            #[cfg(test)]
            Self::Stub(_) => Ok(crate::tests::stub::outcome(actor, &command)),
        }
    }
}

/// With what to come to LFS over HTTP.
pub(crate) struct SignedIn {
    /// The repository, in its owner's spelling.
    pub(crate) path: RepositoryPath,
    /// The token.
    pub(crate) token: Secret<String>,
    /// How long it is good.
    pub(crate) expires_in: Duration,
}

impl SignedIn {
    fn new(path: &RepositoryPath, signer: Option<Signer<'_>>, right: Right) -> Result<Self, Error> {
        // Everybody here has shown a key.
        let signer = signer.ok_or_else(Error::sign_in)?;
        Ok(Self { path: path.clone(), token: signer.token(right), expires_in: signer.expires_in })
    }
}

/// One of git's server programs on one repository.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GitCommand<'a> {
    /// Which program.
    pub(crate) service: GitService,
    /// Which repository.
    pub(crate) path: &'a RepositoryPath,
    /// Which version of the protocol the client asks for.
    pub(crate) version: ProtocolVersion,
}
