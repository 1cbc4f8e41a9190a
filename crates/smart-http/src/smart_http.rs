//! The face itself: from a request to its answer.

use bytes::Bytes;
use hakata_forge::hosting::{self, Protocol, ProtocolVersion, PushTarget, Service};
use hakata_forge::{Actor, Error, Forge, Grant, Kind, Read};
use hakata_names::RepositoryPath;
use hakata_service::http::{Body, Credentials, RequestFacts, User};
use http::header::EXPECT;
use http::{HeaderMap, Method, Request, Response, Uri};

use crate::answer;
use crate::archive::{self, ArchiveFormat};
use crate::conversation::{Conversation, Opening};
use crate::metrics::REFUSED;
use crate::refusal::Refusal;
use crate::request_body::{Expected, Fault, RequestBody};
use crate::request_head::{self, Encoding};
use crate::route::{Revision, Route};
use crate::settings::Settings;

/// How much of a request that is refused by its head alone is read, so that its connection lives on. Git
/// sends a probe of four bytes before it sends more than this.
const MAX_UNREAD_BYTES: u64 = 1 << 20;

/// Git over HTTP. Cheap to share behind one reference; keeps no state between requests.
pub struct SmartHttp {
    forge: Forge,
    settings: Settings,
}

/// One request on its way.
struct Call<'a> {
    facts: &'a RequestFacts,
    headers: &'a HeaderMap,
    path: &'a RepositoryPath,
    service: Service,
    /// Who sent it, once that is known.
    user: Option<User>,
}

/// What a conversation has been allowed to do.
enum Allowed {
    Fetch(Grant<Read>),
    Push(PushTarget),
}

impl SmartHttp {
    /// Puts the face in front of a forge.
    pub fn new(forge: Forge, settings: Settings) -> Self {
        Self { forge, settings }
    }

    /// Tells whether [`Self::respond`] would answer a request, whatever the answer.
    pub fn serves(method: &Method, uri: &Uri) -> bool {
        Route::parse(method, uri.path(), uri.query()).is_some()
    }

    /// Answers a request, or returns `None` if its path is not one of git's.
    ///
    /// The response's body runs the conversation: dropping it, as the connection does when the client
    /// leaves, ends the git behind it. The same holds for dropping this future.
    pub async fn respond(&self, request: Request<Body>, facts: &RequestFacts) -> Option<Response<Body>> {
        let route = Route::parse(request.method(), request.uri().path(), request.uri().query())?;
        let (head, body) = request.into_parts();
        let (path, service, body) = match &route {
            Ok(Route::Advertise(path, service)) => (path, *service, None),
            Ok(Route::Converse(path, service)) => (path, *service, Some(body)),
            // Whoever may fetch may have it in another wrapping.
            Ok(Route::Archive(path, ..)) => (path, Service::UploadPack, None),
            Err(error) => return Some(answer::refusal(error.into())),
        };
        let mut call = Call { facts, headers: &head.headers, path, service, user: None };
        let answer = match (&route, body) {
            (Ok(Route::Archive(_, revision, format)), _) => self.archive(&mut call, revision, *format).await,
            (_, None) => self.advertise(&mut call).await,
            (_, Some(body)) => self.converse(&mut call, body).await,
        };
        let mut response = answer.unwrap_or_else(answer::refusal);
        if let Some(user) = call.user {
            response.extensions_mut().insert(user);
        }
        Some(response)
    }

    async fn advertise(&self, call: &mut Call<'_>) -> Result<Response<Body>, Refusal> {
        let protocol = request_head::protocol(call.headers);
        let lines = match self.allow(call).await? {
            Allowed::Fetch(grant) => hosting::advertise_fetch(&self.forge, &grant, protocol).await,
            Allowed::Push(target) => hosting::advertise_push(&self.forge, &target, protocol).await,
        };
        let lines = lines.map_err(|error| call.refuse(&error))?;
        Ok(answer::advertisement(call.service, announce(call.service, protocol, lines)))
    }

    async fn converse(&self, call: &mut Call<'_>, body: Body) -> Result<Response<Body>, Refusal> {
        let encoding = request_head::body_encoding(call.headers, call.service);
        let mut body = RequestBody::new(body, self.expected(call, encoding.as_ref().ok()));
        let allowed = match encoding {
            Ok(_) => self.allow(call).await,
            Err(error) => Err(error.into()),
        };
        match allowed {
            Ok(allowed) => {
                let fault = body.fault();
                let talk = self.talk(call, allowed, body);
                self.open(talk, call, &fault).await
            }
            Err(refusal) => {
                body.discard(MAX_UNREAD_BYTES, self.settings.discard_time).await;
                Err(refusal)
            }
        }
    }

    async fn archive(
        &self,
        call: &mut Call<'_>,
        revision: &Revision,
        format: ArchiveFormat,
    ) -> Result<Response<Body>, Refusal> {
        let actor = self.sign_in(call).await?;
        let grant = self.forge.grant::<Read>(&actor, call.path).await;
        let grant = grant.map_err(|error| call.refuse(&error))?;
        let file = format!("{}{}", grant.path().name, format.suffix());
        let (forge, revision) = (self.forge.clone(), revision.clone());
        let address = call.facts.client;
        let talk = Conversation::new(move |out| async move {
            let written = async {
                let _turn = forge.turn(grant.actor(), address).await?;
                archive::write(&forge, &grant, revision.as_bytes(), format, out).await
            };
            (written.await, ())
        });
        let id = call.facts.id;
        match talk.open(Box::new(move |error: Error| error.log(id.as_str()))).await {
            Opening::Whole(words, ()) => Ok(answer::archive(format, &file, Body::slices(words))),
            Opening::Streaming(body) => Ok(answer::archive(format, &file, Body::wrap(body))),
            Opening::Failed(error, ..) => Err(call.refuse(&error)),
        }
    }

    /// Signs in and asks for the grant that `service` needs.
    async fn allow(&self, call: &mut Call<'_>) -> Result<Allowed, Refusal> {
        let actor = self.sign_in(call).await?;
        let allowed = match call.service {
            Service::UploadPack => self.forge.grant::<Read>(&actor, call.path).await.map(Allowed::Fetch),
            Service::ReceivePack => self.forge.open_push(&actor, call.path).await.map(Allowed::Push),
        };
        allowed.map_err(|error| call.refuse(&error))
    }

    async fn sign_in(&self, call: &mut Call<'_>) -> Result<Actor, Refusal> {
        let address = call.facts.client;
        let actor = match Credentials::parse(call.headers)? {
            Credentials::Anonymous => return Ok(Actor::Anonymous),
            Credentials::Basic { name, secret } => self.forge.sign_in_basic(&name, secret, address).await,
            Credentials::Token(token) => self.forge.sign_in_token(token, address).await,
        };
        let actor = actor.map_err(|error| call.refuse(&error))?;
        call.user = Some(User(actor.name().into()));
        Ok(actor)
    }

    fn expected(&self, call: &Call<'_>, encoding: Option<&Encoding>) -> Expected {
        let max_bytes = match call.service {
            Service::UploadPack => Some(self.settings.max_fetch_request.bytes()),
            Service::ReceivePack => None,
        };
        Expected {
            service: call.service,
            encoding: encoding.copied().unwrap_or(Encoding::Plain),
            is_awaited: call.headers.contains_key(EXPECT),
            max_bytes,
            max_ratio: self.settings.max_inflate_ratio,
        }
    }

    /// Runs a conversation until its answer can begin.
    async fn open(
        &self,
        talk: Conversation<Error, RequestBody>,
        call: &Call<'_>,
        fault: &Fault,
    ) -> Result<Response<Body>, Refusal> {
        let (service, id) = (call.service, call.facts.id);
        let opening = talk.open(Box::new(move |error: Error| error.log(id.as_str()))).await;
        let (error, words, mut unread) = match opening {
            Opening::Streaming(body) if fault.get().is_none() => {
                return Ok(answer::result(service, Body::wrap(body)));
            }
            Opening::Streaming(_) => (None, Vec::new(), None),
            Opening::Whole(words, unread) => (None, words, Some(unread)),
            Opening::Failed(error, words, unread) => (Some(error), words, Some(unread)),
        };
        let is_bad = fault.get().is_some();
        if let Some(unread) = &mut unread {
            unread.discard(self.settings.max_discard.bytes(), self.settings.discard_time).await;
        }
        // What follows a push that was received and reported cannot take it back.
        let is_reported = error.is_none() && !is_bad && !words.is_empty();
        let is_received = service == Service::ReceivePack && is_reported;
        if let Some(error) = fault.get().filter(|_| !is_received) {
            REFUSED.get(error.into()).inc();
            return Err(error.into());
        }
        match error {
            None => Ok(answer::result(service, Body::slices(words))),
            Some(error) if words.is_empty() || is_of_http(error.kind()) => Err(call.refuse(&error)),
            // The client has been told in its own protocol, which its user will see better than a status.
            Some(error) => {
                error.log(id.as_str());
                Ok(answer::result(service, Body::slices(words)))
            }
        }
    }

    fn talk(
        &self,
        call: &Call<'_>,
        allowed: Allowed,
        mut body: RequestBody,
    ) -> Conversation<Error, RequestBody> {
        let (protocol, address) = (request_head::protocol(call.headers), call.facts.client);
        let forge = self.forge.clone();
        Conversation::new(move |mut out| async move {
            let ended = async {
                let actor = match &allowed {
                    Allowed::Fetch(grant) => grant.actor(),
                    Allowed::Push(target) => target.actor(),
                };
                let _turn = forge.turn(actor, address).await?;
                match allowed {
                    Allowed::Fetch(grant) => {
                        hosting::fetch(&forge, &grant, protocol, &mut body, &mut out).await
                    }
                    Allowed::Push(target) => {
                        hosting::receive(&forge, target, protocol, &mut body, &mut out).await
                    }
                }
            };
            let ended = ended.await;
            (ended.map(drop), body)
        })
    }
}

impl Call<'_> {
    fn refuse(&self, error: &Error) -> Refusal {
        Refusal::of_forge(error, self.facts.id)
    }
}

/// Tells whether a refusal is one that HTTP itself has words for, which proxies and clients act on.
fn is_of_http(kind: Kind) -> bool {
    matches!(kind, Kind::TooLarge | Kind::Limited | Kind::Unavailable)
}

/// Puts the service's line before an advertisement, which version 2 does not have: there it would be read
/// as a capability. Source: gitprotocol-http(5), `git http-backend`.
fn announce(service: Service, protocol: Protocol, mut lines: Vec<Bytes>) -> Vec<Bytes> {
    if protocol.version != ProtocolVersion::V2 {
        lines.insert(
            0,
            Bytes::from_static(match service {
                Service::UploadPack => b"001e# service=git-upload-pack\n0000",
                Service::ReceivePack => b"001f# service=git-receive-pack\n0000",
            }),
        );
    }
    lines
}
