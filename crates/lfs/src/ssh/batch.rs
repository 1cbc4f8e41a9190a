//! Batches. The protocol has no word for one object that is refused, so that a refusal is of the whole batch where
//! nothing of it could be done anyway.

use hakata_forge::lfs::{self, Answer, Operation, Refusal, Right, Signer, Wanted};
use hakata_forge::{Act, Grant, Read};
use hakata_names::{LfsOid, RefName};
use hakata_pkt_line::Packet;
use http::StatusCode;

use super::reply::Reply;
use super::request::{Arguments, text};
use super::session::Session;
use super::wire::{Wire, WireError};
use crate::batch::{seconds, status_of};
use crate::json;

/// The one transfer of this protocol.
const SSH: &str = "ssh";

/// The one hash that names objects.
const SHA256: &str = "sha256";

/// Answers a batch.
pub(super) async fn answer(
    session: &Session<'_>,
    wire: &mut Wire,
    arguments: &Arguments,
) -> Result<Result<Reply, Reply>, WireError> {
    let wanted = match read(session, wire).await? {
        Ok(wanted) => wanted,
        Err(reply) => return Ok(Err(reply)),
    };
    Ok(decide(session, arguments, &wanted).await)
}

/// Reads the lines of a batch. What is too much or makes no sense is left where it is.
async fn read(session: &Session<'_>, wire: &mut Wire) -> Result<Result<Vec<Wanted>, Reply>, WireError> {
    let (most, most_bytes) = (session.settings.max_objects, session.settings.max_request.bytes());
    let (mut wanted, mut n_bytes) = (Vec::new(), 0);
    while !wire.is_at_end() {
        let line = match wire.packet().await? {
            None => break,
            Some(Packet::Data(line)) => line,
            Some(_) => return Err(WireError::Odd),
        };
        n_bytes += line.len() as u64;
        if wanted.len() >= most || n_bytes > most_bytes {
            let words = format!("a batch may have {most} objects and {most_bytes} bytes");
            return Ok(Err(Reply::refuse(StatusCode::PAYLOAD_TOO_LARGE, words)));
        }
        match text(&line).and_then(|line| parse(&line)) {
            Ok(object) => wanted.push(object),
            Err(reply) => return Ok(Err(reply)),
        }
    }
    Ok(Ok(wanted))
}

/// Reads `OID SIZE`; what follows them is for servers that know of it.
fn parse(line: &str) -> Result<Wanted, Reply> {
    let refuse = |words: String| Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, words);
    let mut words = line.split(' ');
    let oid = LfsOid::parse(words.next().unwrap_or_default().as_bytes());
    let oid = oid.map_err(|error| refuse(error.to_string()))?;
    let size = words.next().filter(|size| !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit()));
    let size = size.and_then(|size| size.parse::<i64>().ok()).and_then(|size| u64::try_from(size).ok());
    let size_bytes =
        size.ok_or_else(|| refuse("size must be a whole number of bytes, at least 0".to_owned()))?;
    Ok(Wanted { oid, size_bytes })
}

async fn decide(session: &Session<'_>, arguments: &Arguments, wanted: &[Wanted]) -> Result<Reply, Reply> {
    if arguments.find("hash-algo").is_some_and(|algorithm| algorithm != SHA256) {
        return Err(Reply::refuse(StatusCode::CONFLICT, "objects are named by sha256 here"));
    }
    if arguments.find("transfer").is_some_and(|transfer| transfer != SSH) {
        let words = "this conversation has the transfer ssh, which was not offered";
        return Err(Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, words));
    }
    let ref_name = arguments.find("refname").and_then(|name| RefName::parse(name.as_bytes()).ok());
    let (forge, operation) = (session.forge, session.opened.operation);
    match operation {
        Operation::Download => {
            let grant = session.grant::<Read>().await?;
            let answers = lfs::batch_download(forge, &grant, wanted).await;
            let answers = answers.map_err(|error| session.refuse(&error))?;
            // Others can be had, and clients say of each that cannot why.
            match refusal(wanted, &answers) {
                Some(reply) if answers.iter().all(is_refused) => Err(reply),
                _ => lines(session, &grant, wanted, &answers).await,
            }
        }
        Operation::Upload => {
            let grant = session.grant::<hakata_forge::Write>().await?;
            let answers = lfs::batch_upload(forge, &grant, ref_name.as_ref(), wanted).await;
            let answers = answers.map_err(|error| session.refuse(&error))?;
            // A push without one of its objects is none.
            match refusal(wanted, &answers) {
                Some(reply) => {
                    lfs::release(forge, &grant, wanted).await;
                    Err(reply)
                }
                None => lines(session, &grant, wanted, &answers).await,
            }
        }
    }
}

fn is_refused(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused(_))
}

/// Says no for the first object that is refused.
fn refusal(wanted: &[Wanted], answers: &[Answer]) -> Option<Reply> {
    let refused = |answer: &Answer| match answer {
        Answer::Refused(refusal) => Some(refusal.clone()),
        _ => None,
    };
    let first = wanted.iter().zip(answers).find_map(|(wanted, answer)| Some((wanted, refused(answer)?)));
    let (Wanted { oid, .. }, refusal): (_, Refusal) = first?;
    Some(Reply::refuse(status_of(&refusal), format!("{oid}: {refusal}")))
}

async fn lines<A: Act>(
    session: &Session<'_>,
    grant: &Grant<A>,
    wanted: &[Wanted],
    answers: &[Answer],
) -> Result<Reply, Reply> {
    let signer = session.forge.lfs_signer(grant).await.map_err(|error| session.refuse(&error))?;
    let operation = session.opened.operation;
    let line = |(wanted, answer): (&Wanted, &Answer)| match answer {
        Answer::Present => format!("{} {} noop", wanted.oid, wanted.size_bytes),
        // Of what is refused, here only some of a download, the client hears when it asks for it.
        Answer::Transfer | Answer::Refused(_) => action(signer.as_ref(), operation, wanted),
    };
    let lines = wanted.iter().zip(answers).map(line).collect();
    Ok(Reply::new(StatusCode::OK).argument("hash-algo", SHA256).lines(lines))
}

fn action(signer: Option<&Signer<'_>>, operation: Operation, wanted: &Wanted) -> String {
    let Wanted { oid, size_bytes } = *wanted;
    let mut line = format!("{oid} {size_bytes} {}", operation.as_str());
    if let Some(signer) = signer {
        let token = signer.token(Right { operation, object: Some((oid, size_bytes)) });
        let (lasts, ends) = (seconds(signer.expires_in), json::time(signer.expires_at_ms));
        line.push_str(&format!(" token={} expires-in={lasts} expires-at={ends}", token.expose()));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn h4_a_line_is_an_oid_and_a_size() {
        let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        for line in [format!("{oid} 0"), format!("{oid} 9223372036854775807"), format!("{oid} 5 id=1 x")] {
            assert!(parse(&line).is_ok(), "{line}");
        }
        for line in [
            String::new(),
            oid.to_owned(),
            format!("{oid} "),
            format!("{oid}  5"),
            format!("{oid} -1"),
            format!("{oid} +1"),
            format!("{oid} 9223372036854775808"),
            format!("{oid} 1.5"),
            format!("{oid}\t5"),
            format!("{} 5", oid.to_uppercase()),
            format!("{} 5", &oid[1..]),
            "../../../etc/passwd 5".to_owned(),
        ] {
            assert_eq!(parse(&line).unwrap_err().status.as_u16(), 422, "{line}");
        }
    }
}
