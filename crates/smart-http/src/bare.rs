//! The face of a folder of plain repositories: what `git http-backend` is behind a web server.
//!
//! Statuses, header fields and their order, and bodies are git's, also where git is odd; `docs/bare.md` lists where they
//! are not, and a test holds every line of both against git. Source: git-http-backend(1), http-backend.c.

mod reply;
mod request;
mod service;

use hakata_forge::folder::{Allowed, DumbFile, FileReply, Folder, Opened, Place, Program, Visitor};
use hakata_forge::{Error, Kind};
use hakata_service::http::{Body, Credentials, RequestFacts, User};
use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Response, StatusCode};

use crate::answer;
use crate::conversation::{Conversation, Opening};
use crate::metrics::REFUSED;
use crate::refusal::Refusal;
use crate::request_body::{Expected, Fault, RequestBody};
use crate::route::RouteError;
use crate::settings::Settings;

use reply::{FileKind, Reply};
use request::{Wanted, WantedError};
use service::Service;

/// How much of a request that is refused by its head alone is read, so that its connection lives on.
const MAX_UNREAD_BYTES: u64 = 1 << 20;

/// Git over HTTP for a folder of plain repositories. Cheap to share; keeps no state between requests.
pub struct BareHttp {
    folder: Folder,
    settings: Settings,
}

/// One request on its way.
struct Call<'a> {
    head: &'a Parts,
    facts: &'a RequestFacts,
    /// The name that was proven.
    user: Option<String>,
}

impl BareHttp {
    /// Puts the face in front of a folder.
    pub fn new(folder: Folder, settings: Settings) -> Self {
        Self { folder, settings }
    }

    /// Answers a request, whatever it is for.
    ///
    /// The response's body runs the conversation: dropping it, as the connection does when the client leaves, ends
    /// the git behind it. The same holds for dropping this future.
    pub async fn respond(&self, request: Request<Body>, facts: &RequestFacts) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut call = Call { head: &head, facts, user: None };
        let mut body = Some(body);
        let reply = self.reply(&mut call, &mut body).await;
        if let Some(body) = body {
            self.discard(&call, body).await;
        }
        let mut response = reply.unwrap_or_else(|refusal| refusal);
        if let Some(user) = call.user {
            response.extensions_mut().insert(User(user.into()));
        }
        response
    }

    async fn reply(
        &self,
        call: &mut Call<'_>,
        body: &mut Option<Body>,
    ) -> Result<Response<Body>, Response<Body>> {
        let wanted = match Wanted::parse(&call.head.method, call.head.uri.path()) {
            Ok(wanted) => wanted,
            Err(error) => return Err(refused(&error)),
        };
        // A name that is wrong is refused wherever it is shown, as web servers do.
        let visitor = self.visitor(call).await?;
        let opened = match self.folder.open(&wanted.repository).await {
            Ok(Place::Repository(opened)) => opened,
            Ok(Place::Absent) => return Err(Reply::status(StatusCode::NOT_FOUND)),
            Ok(Place::Broken) => return Err(Reply::status(StatusCode::INTERNAL_SERVER_ERROR)),
            Err(error) => return Err(call.refuse(&error)),
        };
        match wanted.what {
            request::What::Refs => match request::service(call.head.uri.query()) {
                Some(name) => self.advertise(call, &opened, visitor, &name).await,
                None => self.file(call, &opened, DumbFile::Refs, FileKind::Text).await,
            },
            request::What::Head => self.file(call, &opened, DumbFile::Head, FileKind::Text).await,
            request::What::Packs => self.file(call, &opened, DumbFile::Packs, FileKind::Text).await,
            request::What::File(kind, name) => self.file(call, &opened, DumbFile::AsItIs(&name), kind).await,
            request::What::Converse(program) => {
                let allowed = opened.allow(program, visitor).map_err(|error| call.refuse(&error))?;
                self.converse(call, allowed, body).await
            }
        }
    }

    async fn visitor(&self, call: &mut Call<'_>) -> Result<Visitor, Response<Body>> {
        let anonymous = Visitor { user: String::new(), address: call.facts.client };
        if !self.folder.has_people() {
            return Ok(anonymous);
        }
        match Credentials::parse(&call.head.headers) {
            Ok(Credentials::Anonymous) => Ok(anonymous),
            Ok(Credentials::Basic { name, secret }) => {
                let visitor = self.folder.sign_in(&name, &secret, call.facts.client).await;
                let visitor = visitor.map_err(|error| call.refuse(&error))?;
                call.user = Some(visitor.user.clone());
                Ok(visitor)
            }
            Ok(Credentials::Token(_)) => {
                let error = Error::new(Kind::Unauthenticated, "tokens are not known here")
                    .with_hint("use HTTP Basic with a name and a password");
                Err(call.refuse(&error))
            }
            Err(error) => Err(answer::refusal(error.into())),
        }
    }

    async fn file(
        &self,
        call: &Call<'_>,
        opened: &Opened,
        name: DumbFile<'_>,
        kind: FileKind,
    ) -> Result<Response<Body>, Response<Body>> {
        if !opened.allows_files() {
            return Err(Reply::status(StatusCode::FORBIDDEN));
        }
        match opened.file(name).await {
            Ok(FileReply::Absent) => Err(Reply::status(StatusCode::NOT_FOUND)),
            Ok(FileReply::Made(status, fields, body)) => Ok(Reply::made(status, &fields, body)),
            Ok(FileReply::File(sent)) => Ok(Reply::file(kind, sent)),
            Err(error) => Err(call.refuse(&error)),
        }
    }

    async fn advertise(
        &self,
        call: &Call<'_>,
        opened: &Opened,
        visitor: Visitor,
        name: &[u8],
    ) -> Result<Response<Body>, Response<Body>> {
        let Some(service) = Service::named(name) else { return Err(Reply::status(StatusCode::FORBIDDEN)) };
        let allowed = opened.allow(service.0, visitor).map_err(|error| call.refuse(&error))?;
        let protocol = request::protocol(&call.head.headers);
        let said = allowed.advertise(protocol).await.map_err(|error| call.refuse(&error))?;
        Ok(Reply::advertisement(service, protocol, said))
    }

    async fn converse(
        &self,
        call: &Call<'_>,
        allowed: Allowed,
        body: &mut Option<Body>,
    ) -> Result<Response<Body>, Response<Body>> {
        let service = Service(allowed.program());
        request::check_type(&call.head.headers, service)
            .map_err(|received| Reply::unsupported(service, received))?;
        let Some(mut body) = body.take() else { return Err(Reply::status(StatusCode::BAD_REQUEST)) };
        if let Some(most) = allowed.max_request() {
            body = body.limit(most.bytes());
        }
        let mut body = RequestBody::new(body, self.expected(call, service));
        let fault = body.fault();
        let protocol = request::protocol(&call.head.headers).map(str::to_owned);
        let talk = Conversation::new(move |mut out| async move {
            let ended = allowed.converse(protocol.as_deref(), &mut body, &mut out).await;
            (ended, body)
        });
        self.open(talk, call, service, &fault).await
    }

    /// Runs a conversation until its answer can begin.
    async fn open(
        &self,
        talk: Conversation<Error, RequestBody>,
        call: &Call<'_>,
        service: Service,
        fault: &Fault,
    ) -> Result<Response<Body>, Response<Body>> {
        let id = call.facts.id;
        let (error, words, unread) =
            match talk.open(Box::new(move |error: Error| error.log(id.as_str()))).await {
                Opening::Streaming(body) if fault.get().is_none() => {
                    return Ok(Reply::result(service, Body::wrap(body)));
                }
                Opening::Streaming(_) => (None, Vec::new(), None),
                Opening::Whole(words, unread) => (None, words, Some(unread)),
                Opening::Failed(error, words, unread) => (Some(error), words, Some(unread)),
            };
        if let Some(mut unread) = unread {
            unread.discard(self.settings.max_discard.bytes(), self.settings.discard_time).await;
        }
        // What follows a push that git has reported on cannot take it back.
        let is_received = service.0 == Program::ReceivePack && error.is_none() && !words.is_empty();
        if let Some(fault) = fault.get().filter(|_| !is_received) {
            REFUSED.get(fault.into()).inc();
            return Err(answer::refusal(fault.into()));
        }
        match error {
            None => Ok(Reply::result(service, Body::slices(words))),
            Some(error) => Err(call.refuse(&error)),
        }
    }

    fn expected(&self, call: &Call<'_>, service: Service) -> Expected {
        Expected {
            service: service.framing(),
            encoding: request::encoding(&call.head.headers),
            is_awaited: call.head.headers.contains_key(EXPECT),
            // The bound is on the bytes as they come.
            max_bytes: None,
            max_ratio: self.settings.max_inflate_ratio,
        }
    }

    /// Reads a body that nobody wants, within bounds, so that its client gets to the answer.
    async fn discard(&self, call: &Call<'_>, body: Body) {
        let mut body = RequestBody::new(body, self.expected(call, Service(Program::UploadPack)));
        body.discard(MAX_UNREAD_BYTES, self.settings.discard_time).await;
    }
}

impl Call<'_> {
    /// Answers an error: as git does where git has an answer of its own.
    fn refuse(&self, error: &Error) -> Response<Body> {
        let status = match error.kind() {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => return answer::refusal(Refusal::of_forge(error, self.facts.id)),
        };
        error.log(self.facts.id.as_str());
        Reply::status(status)
    }
}

/// Answers a request that is refused before anything is looked up.
fn refused(error: &WantedError) -> Response<Body> {
    match error {
        WantedError::Malformed => answer::refusal((&RouteError::Escape).into()),
        WantedError::Aliased => Reply::status(StatusCode::INTERNAL_SERVER_ERROR),
        WantedError::Unknown => Reply::status(StatusCode::NOT_FOUND),
        WantedError::Method { allow } => Reply::method(allow),
    }
}
