//! One conversation: who may what, and which request is answered by what.

use hakata_forge::lfs::{self, Operation};
use hakata_forge::{Act, Error, Forge, Grant, Kind, Read};
use hakata_names::{LfsOid, RepositoryId};
use hakata_runtime::secret::Secret;
use hakata_service::http::RequestId;
use http::StatusCode;

use super::reply::Reply;
use super::request::{Arguments, Command, Head};
use super::wire::{Wire, WireError};
use super::{Opened, batch, locks, object};
use crate::metrics::SSH_REQUESTS;
use crate::settings::Settings;

/// What is sent before anything is asked.
const CAPABILITIES: [&str; 2] = ["version=1", "locking"];

/// A session of somebody who may have it.
pub(super) struct Session<'a> {
    pub(super) forge: &'a Forge,
    pub(super) settings: &'a Settings,
    pub(super) opened: &'a Opened,
    pub(super) id: RequestId,
    repository: RepositoryId,
}

impl<'a> Session<'a> {
    /// Lets somebody in who may do what the session is for. As over HTTP, who sends the first objects of a repository that
    /// a push would create creates it.
    pub(super) async fn open(
        forge: &'a Forge,
        settings: &'a Settings,
        opened: &'a Opened,
        id: RequestId,
    ) -> Result<Self, Error> {
        let Opened { actor, path, operation, .. } = opened;
        let repository = match operation {
            Operation::Download => forge.grant::<Read>(actor, path).await?.repository(),
            Operation::Upload => lfs::open_upload(forge, actor, path).await?.repository(),
        };
        Ok(Self { forge, settings, opened, id, repository })
    }

    /// Answers one request after the other until the client says that it is done, or leaves between two.
    pub(super) async fn converse(&self, wire: &mut Wire) -> Result<(), WireError> {
        let mut greeting = Vec::new();
        CAPABILITIES.iter().for_each(|line| hakata_pkt_line::encode_text(line, &mut greeting));
        greeting.extend_from_slice(hakata_pkt_line::FLUSH);
        wire.send(&greeting).await?;
        let mut is_agreed = false;
        while let Some(head) = self.head(wire).await? {
            let (label, is_last) = (head.label(), head.command == Ok(Command::Quit));
            let status = match head.command {
                Ok(Command::Version(version)) => {
                    is_agreed = version == "1";
                    let other = || Reply::refuse(StatusCode::BAD_REQUEST, "this server speaks version 1");
                    let reply = if is_agreed { Reply::new(StatusCode::OK) } else { other() };
                    self.reply(wire, reply).await?
                }
                Ok(_) if !is_agreed && !is_last => {
                    let words = "say first which version is to be spoken: version 1";
                    self.reply(wire, Reply::refuse(StatusCode::BAD_REQUEST, words)).await?
                }
                Ok(command) => self.answer(wire, command, &head.arguments).await?,
                Err(reply) => self.reply(wire, reply).await?,
            };
            SSH_REQUESTS.get((label, status.into())).inc();
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Reads the next request; who sends what is none hears that before the end.
    async fn head(&self, wire: &mut Wire) -> Result<Option<Head>, WireError> {
        let head = Head::read(wire).await;
        if let Err(error @ (WireError::Decode(_) | WireError::Odd)) = &head {
            wire.send(&Reply::refuse(StatusCode::BAD_REQUEST, error).encode()).await?;
        }
        head
    }

    async fn answer(
        &self,
        wire: &mut Wire,
        command: Command,
        arguments: &Arguments,
    ) -> Result<StatusCode, WireError> {
        let replied = match command {
            Command::Get(oid) => match object::find(self, &oid, arguments).await {
                Ok(found) => return object::send(self, wire, found).await,
                Err(reply) => Err(reply),
            },
            Command::Put(oid) => object::receive(self, wire, &oid, arguments).await?,
            Command::Batch => batch::answer(self, wire, arguments).await?,
            Command::Verify(oid) => object::verify(self, &oid, arguments).await,
            Command::Lock => locks::lock(self, arguments).await,
            Command::ListLocks => locks::list(self, arguments).await,
            Command::Unlock(id) => locks::unlock(self, id, arguments).await,
            Command::Quit | Command::Version(_) => Ok(Reply::new(StatusCode::OK)),
        };
        self.reply(wire, replied.unwrap_or_else(|reply| reply)).await
    }

    /// Sends an answer behind the end of its request. A request of which too much is left ends the session.
    async fn reply(&self, wire: &mut Wire, reply: Reply) -> Result<StatusCode, WireError> {
        let is_whole = wire.skip(self.settings.max_discard.bytes(), self.settings.discard_time).await;
        let is_whole = match is_whole {
            Err(WireError::Left) => return Err(WireError::Left),
            is_whole => is_whole.unwrap_or(false),
        };
        wire.send(&reply.encode()).await?;
        if is_whole { Ok(reply.status) } else { Err(WireError::Refused(reply.words())) }
    }

    /// Asks for a grant, as for a request of its own: account, key, role and repository may have changed since the last.
    pub(super) async fn grant<A: Act>(&self) -> Result<Grant<A>, Reply> {
        let Opened { actor, path, .. } = self.opened;
        let granted = async {
            self.forge.check_not_revoked(actor).await?;
            let grant = self.forge.grant::<A>(actor, path).await?;
            // Another repository may have its name now.
            let is_same = grant.repository() == self.repository;
            is_same.then_some(grant).ok_or_else(Error::repository_not_found)
        };
        granted.await.map_err(|error| self.refuse(&error))
    }

    /// Refuses what the session was not opened for.
    pub(super) fn expect(&self, operation: Operation) -> Result<(), Reply> {
        if self.opened.operation == operation {
            return Ok(());
        }
        let words = format!("this session is for one thing: {}", self.opened.operation.as_str());
        Err(Reply::refuse(StatusCode::FORBIDDEN, words))
    }

    /// Checks the token of a batch, if it comes back: it must be for this object, and in time. The session itself says who
    /// asks, so that one without a token is no stranger.
    pub(super) async fn check_token(
        &self,
        oid: &LfsOid,
        arguments: &Arguments,
    ) -> Result<Option<u64>, Reply> {
        let Some(token) = arguments.find("token") else { return Ok(None) };
        let bearer = self.forge.sign_in_lfs(&Secret::new(token.to_owned())).await;
        let bearer = bearer.map_err(|error| self.refuse(&error))?;
        let Opened { actor, operation, .. } = self.opened;
        let fits = bearer.repository == self.repository
            && bearer.actor == *actor
            && bearer.right.covers(*operation, Some(oid));
        if !fits {
            return Err(self.refuse(&Error::new(Kind::Forbidden, "this token is for something else")));
        }
        Ok(bearer.right.object.map(|(_, size)| size))
    }

    pub(super) fn refuse(&self, error: &Error) -> Reply {
        Reply::of_forge(error, self.id)
    }
}
