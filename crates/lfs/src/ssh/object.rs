//! Objects: sent, received, and looked for.

use hakata_forge::lfs::{self, Content, Operation, Transfer};
use hakata_forge::{Read, Write};
use hakata_names::LfsOid;
use hakata_pkt_line::DELIM;
use http::StatusCode;

use super::reply::Reply;
use super::request::Arguments;
use super::session::Session;
use super::wire::{Wire, WireError};

/// An object that is about to be sent.
pub(super) struct Found {
    content: Content,
    size_bytes: u64,
    _turn: Transfer,
}

/// `get-object`, up to its first byte.
pub(super) async fn find(session: &Session<'_>, oid: &LfsOid, arguments: &Arguments) -> Result<Found, Reply> {
    session.expect(Operation::Download)?;
    let asked = arguments.number("size")?;
    session.check_token(oid, arguments).await?;
    let grant = session.grant::<Read>().await?;
    let forge = session.forge;
    let stored = lfs::find(forge, &grant, oid).await.map_err(|error| session.refuse(&error))?;
    let size_bytes = stored.size_bytes;
    if asked.is_some_and(|asked| asked != size_bytes) {
        let words = format!("the object has {size_bytes} bytes");
        return Err(Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, words));
    }
    let opened = &session.opened;
    let turn = forge.lfs_transfer(&opened.actor, opened.address).await;
    let turn = turn.map_err(|error| session.refuse(&error))?;
    let content = lfs::read(forge, &grant, stored, None).await.map_err(|error| session.refuse(&error))?;
    Ok(Found { content, size_bytes, _turn: turn })
}

/// `get-object`, from there on.
pub(super) async fn send(
    session: &Session<'_>,
    wire: &mut Wire,
    found: Found,
) -> Result<StatusCode, WireError> {
    // Nothing stands behind the request but perhaps what has no meaning.
    wire.skip(session.settings.max_discard.bytes(), session.settings.discard_time).await?;
    let status = StatusCode::OK;
    let mut head = Reply::new(status).argument("size", found.size_bytes).head();
    head.extend_from_slice(DELIM);
    wire.send(&head).await?;
    wire.send_from(found.content).await.inspect_err(|error| {
        if matches!(error, WireError::Source) {
            tracing::error!(request.id = session.id.as_str(), "an LFS object could not be read to its end");
        }
    })?;
    Ok(status)
}

/// `put-object`. When this answers 200, the object is durable.
pub(super) async fn receive(
    session: &Session<'_>,
    wire: &mut Wire,
    oid: &LfsOid,
    arguments: &Arguments,
) -> Result<Result<Reply, Reply>, WireError> {
    let received = async {
        session.expect(Operation::Upload)?;
        let size = arguments.size()?;
        if session.check_token(oid, arguments).await?.is_some_and(|agreed| agreed != size) {
            let words = "the token is for an object of another length";
            return Err(Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, words));
        }
        let grant = session.grant::<Write>().await?;
        let opened = &session.opened;
        let turn = session.forge.lfs_transfer(&opened.actor, opened.address).await;
        let _turn = turn.map_err(|error| session.refuse(&error))?;
        let received = lfs::receive(session.forge, &grant, *oid, size, wire.section()).await;
        received.map_err(|error| session.refuse(&error))?;
        Ok(Reply::new(StatusCode::OK))
    };
    Ok(received.await)
}

/// `verify-object`: looks whether it is there.
pub(super) async fn verify(
    session: &Session<'_>,
    oid: &LfsOid,
    arguments: &Arguments,
) -> Result<Reply, Reply> {
    session.expect(Operation::Upload)?;
    let size = arguments.size()?;
    session.check_token(oid, arguments).await?;
    let grant = session.grant::<Write>().await?;
    let verified = lfs::verify(session.forge, &grant, oid, size).await;
    verified.map_err(|error| session.refuse(&error))?;
    Ok(Reply::new(StatusCode::OK))
}
