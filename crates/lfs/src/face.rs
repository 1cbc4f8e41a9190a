//! The face itself: from a request to its answer.

use hakata_forge::lfs::Operation;
use hakata_forge::{Act, Actor, Error, Forge, Grant};
use hakata_names::{LfsOid, RepositoryPath};
use hakata_service::http::{Body, KeepAlive, RequestFacts, Transport, User};
use http::header::HOST;
use http::request::Parts;
use http::{Request, Response, StatusCode};

use crate::authority::Authority;
use crate::metrics::REQUESTS;
use crate::refusal::Refusal;
use crate::route::{Route, RouteError, What};
use crate::settings::Settings;
use crate::{batch, json, locks, object, tus};

/// Git LFS over HTTP. Cheap to share behind one reference; keeps no state between requests.
pub struct LfsHttp {
    pub(crate) forge: Forge,
    pub(crate) settings: Settings,
}

/// One request on its way, signed in.
pub(crate) struct Call<'a> {
    pub(crate) face: &'a LfsHttp,
    pub(crate) facts: &'a RequestFacts,
    pub(crate) head: &'a Parts,
    pub(crate) path: &'a RepositoryPath,
    pub(crate) authority: &'a Authority,
}

impl LfsHttp {
    /// Puts the face in front of a forge.
    pub fn new(forge: Forge, settings: Settings) -> Self {
        Self { forge, settings }
    }

    /// Answers a request, or gives it back if its path is not one of LFS.
    ///
    /// The response's body owns what it sends: dropping it, as the connection does when the client leaves, ends the
    /// transfer. The same holds for dropping this future.
    ///
    /// # Errors
    /// The request, when it is somebody else's.
    pub async fn respond(
        &self,
        request: Request<Body>,
        facts: &RequestFacts,
    ) -> Result<Response<Body>, Request<Body>> {
        let route = Route::parse(request.method(), request.uri().path(), request.uri().query());
        let Some(route) = route else { return Err(request) };
        let what = route.as_ref().ok().map(|route| route.what.clone());
        let mut response = self.answer(route, request, facts).await;
        response.extensions_mut().insert(KeepAlive(self.settings.idle));
        REQUESTS.get((what.as_ref().into(), response.status().into())).inc();
        Ok(response)
    }

    async fn answer(
        &self,
        route: Result<Route, RouteError>,
        request: Request<Body>,
        facts: &RequestFacts,
    ) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let mut user = None;
        let answered = async {
            let route = route?;
            let authority = Authority::sign_in(&self.forge, &head.headers, facts).await?;
            if !matches!(authority.actor(), Actor::Anonymous) {
                user = Some(User(authority.actor().name().into()));
            }
            let call = Call { face: self, facts, head: &head, path: &route.path, authority: &authority };
            call.answer(route.what, &mut body).await
        };
        let answered: Result<_, Refusal> = answered.await;
        let mut response = match answered {
            Ok(response) => response,
            Err(refusal) => {
                object::discard(&head, body, &self.settings).await;
                refusal.respond(facts.id)
            }
        };
        if let Some(user) = user {
            response.extensions_mut().insert(user);
        }
        response
    }
}

impl Call<'_> {
    async fn answer(&self, what: What, body: &mut Body) -> Result<Response<Body>, Refusal> {
        // Those who move bytes say what sort of bytes they take, not what sort of refusal.
        if !matches!(what, What::Get(_) | What::Head(_) | What::Put(_) | What::Tus(_)) {
            json::check_accept(&self.head.headers)?;
        }
        match what {
            What::Batch => batch::answer(self, body).await,
            What::Get(oid) | What::Head(oid) => object::send(self, oid).await,
            What::Put(oid) => object::receive(self, oid, body).await,
            What::Tus(oid) => tus::answer(self, oid, body).await,
            What::Verify(oid) => object::verify(self, oid, body).await,
            What::Lock => locks::lock(self, body).await,
            What::ListLocks(query) => locks::list(self, &query).await,
            What::VerifyLocks => locks::verify(self, body).await,
            What::Unlock(id) => locks::unlock(self, id, body).await,
        }
    }

    pub(crate) async fn grant<A: Act>(
        &self,
        operation: Operation,
        oid: Option<&LfsOid>,
    ) -> Result<Grant<A>, Refusal> {
        let grant = self.authority.grant(&self.face.forge, self.path, operation, oid).await;
        grant.map_err(|error| self.refuse(&error))
    }

    pub(crate) fn refuse(&self, error: &Error) -> Refusal {
        Refusal::of_forge(error, self.facts.id)
    }

    /// Reads the request's JSON.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(&self, body: &mut Body) -> Result<T, Refusal> {
        let max_bytes = self.face.settings.max_request.bytes();
        json::read(&self.head.headers, std::mem::take(body), max_bytes).await
    }

    /// The URL of the repository's LFS: as it is known to people, or as the client itself wrote it.
    pub(crate) fn base_url(&self, path: &RepositoryPath) -> Result<String, Refusal> {
        let root = match &self.face.settings.public_url {
            Some(url) => url.clone(),
            None => {
                let authority = self.head.uri.authority().map(|authority| authority.as_str());
                let host = || self.head.headers.get(HOST)?.to_str().ok();
                let host = authority.or_else(host).filter(|host| is_host(host));
                let words = "the request does not say which host it asks";
                let host = host.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, words))?;
                let scheme = if self.facts.transport == Transport::Tls { "https" } else { "http" };
                format!("{scheme}://{host}")
            }
        };
        Ok(format!("{root}/{path}.git/info/lfs"))
    }
}

/// Whether this may stand in a URL: a host and perhaps a port, nothing that leads elsewhere.
fn is_host(host: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    !host.is_empty() && host.bytes().all(fine)
}
