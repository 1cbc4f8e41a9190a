//! Who we are to the engine: keys that were written down, or temporary ones that are fetched and renewed.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hakata_runtime::tasks::Tasks;
use http::{Method, Request, header};
use http_body_util::Full;
use jiff::Timestamp;
use rustls::ClientConfig;
use rusty_s3::Credentials;
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use url::{Url, form_urlencoded};

use super::error::S3Error;
use super::http::{Bounds, Http, Lane};
use super::metrics::{Operation, Outcome, REQUESTS};
use super::settings::{CredentialSource, S3Settings};
use super::xml;

/// Time before their end from which credentials are renewed.
const RENEW_BEFORE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// The longest answer with credentials.
const MAX_ANSWER: usize = 64 << 10;

/// Pause after a renewal that failed, while those at hand are still good.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long a service of credentials may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// The machine's own metadata service. Source: Amazon EC2 user guide, IMDSv2.
const METADATA: &str = "http://169.254.169.254";

/// Keeps credentials, and fetches them when they are about to end. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keyring(Arc<Inner>);

struct Inner {
    source: CredentialSource,
    region: String,
    tls: Arc<ClientConfig>,
    bounds: Bounds,
    tasks: Tasks,
    kept: Mutex<Kept>,
    /// Whoever has it asks the service; nobody whose credentials are good waits for it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Kept {
    current: Option<Timed>,
    /// When the service failed last, and how.
    failed: Option<(Instant, String)>,
}

/// Credentials, and when they end.
#[derive(Clone)]
pub(super) struct Timed {
    pub(super) credentials: Arc<Credentials>,
    pub(super) until: Timestamp,
}

impl Timed {
    fn is_good_for(&self, time: jiff::SignedDuration) -> bool {
        Timestamp::now() + time < self.until
    }
}

/// What the metadata services of machines and containers answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Temporary {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    /// As RFC 3339.
    expiration: String,
}

/// One question to such a service.
struct Question<'a> {
    method: Method,
    url: String,
    header: Option<(&'a str, String)>,
    /// Where secrets go, which a URL would show to every log on the way.
    body: String,
}

impl<'a> Question<'a> {
    fn new(method: Method, url: String, header: Option<(&'a str, String)>) -> Self {
        Self { method, url, header, body: String::new() }
    }
}

impl Keyring {
    /// `tasks` owns what renews credentials beside requests.
    pub(super) fn new(settings: &S3Settings, tls: Arc<ClientConfig>, bounds: Bounds, tasks: Tasks) -> Self {
        let (source, region) = (settings.credentials.clone(), settings.region.clone());
        let (kept, turn) = (Mutex::default(), Arc::default());
        Self(Arc::new(Inner { source, region, tls, bounds, tasks, kept, turn }))
    }

    /// Returns credentials that are good. Those that are about to end are renewed aside: the service may be silent, and
    /// nobody waits for it as long as there is something to sign with.
    pub(super) async fn credentials(&self) -> Result<Timed, S3Error> {
        match self.current() {
            Some(current) if current.is_good_for(RENEW_BEFORE) => Ok(current),
            Some(current) if current.is_good_for(jiff::SignedDuration::ZERO) => {
                self.renew_aside();
                Ok(current)
            }
            _ => self.renewed().await,
        }
    }

    /// Lets go what the engine takes for expired.
    pub(super) fn forget(&self) {
        self.kept().current = None;
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Timed> {
        self.kept().current.clone()
    }

    /// Starts a renewal, unless one is under way or has just failed.
    fn renew_aside(&self) {
        let Ok(turn) = Arc::clone(&self.0.turn).try_lock_owned() else { return };
        let has_just_failed =
            self.kept().failed.as_ref().is_some_and(|(at, _)| at.elapsed() < RENEW_AGAIN_AFTER);
        if has_just_failed {
            return;
        }
        let ring = self.clone();
        drop(self.0.tasks.spawn("blob.renew_credentials", async move {
            if let Err(error) = ring.fetch_and_keep().await {
                let error = chain(&error);
                tracing::warn!(%error, "credentials for the bucket were not renewed; those at hand are used");
            }
            drop(turn);
        }));
    }

    /// Waits for credentials. One asks the service, the others wait for what it says.
    async fn renewed(&self) -> Result<Timed, S3Error> {
        let since = Instant::now();
        let _turn = self.0.turn.lock().await;
        if let Some(current) = self.current().filter(|at| at.is_good_for(jiff::SignedDuration::ZERO)) {
            return Ok(current);
        }
        if let Some((_, how)) = self.kept().failed.as_ref().filter(|(at, _)| *at >= since) {
            return Err(S3Error::Credentials(how.clone()));
        }
        self.fetch_and_keep().await
    }

    async fn fetch_and_keep(&self) -> Result<Timed, S3Error> {
        let fetched = self.fetch().await;
        let outcome = fetched.as_ref().map_or_else(S3Error::outcome, |_| Outcome::Ok);
        if !matches!(self.0.source, CredentialSource::Keys { .. }) {
            REQUESTS.get((Operation::Credentials, outcome)).inc();
        }
        match fetched {
            Ok((credentials, until)) => {
                let timed = Timed { credentials: Arc::new(credentials), until };
                *self.kept() = Kept { current: Some(timed.clone()), failed: None };
                Ok(timed)
            }
            Err(error) => {
                let how = match &error {
                    S3Error::Credentials(how) => how.clone(),
                    error => chain(error),
                };
                self.kept().failed = Some((Instant::now(), how));
                Err(error)
            }
        }
    }

    async fn fetch(&self) -> Result<(Credentials, Timestamp), S3Error> {
        match &self.0.source {
            CredentialSource::Keys { access_key, secret_key, session_token } => {
                let (key, secret) = (access_key.clone(), secret_key.expose().clone());
                let credentials = match session_token {
                    Some(token) => Credentials::new_with_token(key, secret, token.expose().clone()),
                    None => Credentials::new(key, secret),
                };
                Ok((credentials, Timestamp::MAX))
            }
            CredentialSource::Container { url, authorization, authorization_file } => {
                let from_file = match authorization_file {
                    Some(path) => Some(read(path).await?),
                    None => None,
                };
                let value = from_file.or_else(|| authorization.as_ref().map(|value| value.expose().clone()));
                let header = value.map(|value| ("authorization", value));
                temporary(&self.asked(Question::new(Method::GET, url.clone(), header)).await?)
            }
            CredentialSource::Instance { endpoint } => {
                self.of_instance(endpoint.as_deref().unwrap_or(METADATA)).await
            }
            CredentialSource::WebIdentity { token_file, role_arn, endpoint } => {
                let standard = || format!("https://sts.{}.amazonaws.com", self.0.region);
                let endpoint = endpoint.clone().unwrap_or_else(standard);
                self.of_role(&endpoint, role_arn, &read(token_file).await?).await
            }
        }
    }

    async fn of_instance(&self, endpoint: &str) -> Result<(Credentials, Timestamp), S3Error> {
        const ROLES: &str = "latest/meta-data/iam/security-credentials/";
        let endpoint = endpoint.trim_end_matches('/');
        let header = Some(("x-aws-ec2-metadata-token-ttl-seconds", "300".to_owned()));
        let url = format!("{endpoint}/latest/api/token");
        let token = self.asked(Question::new(Method::PUT, url, header)).await.map_err(|error| {
            S3Error::Credentials(format!(
                "there are no keys (storage.s3.access_key), and the machine's metadata service gives none: {}",
                chain(&error)
            ))
        })?;
        let get = async |url: String| {
            let header = Some(("x-aws-ec2-metadata-token", token.clone()));
            self.asked(Question::new(Method::GET, url, header)).await
        };
        let role = get(format!("{endpoint}/{ROLES}")).await?;
        let role = role.lines().next().unwrap_or_default().trim();
        temporary(&get(format!("{endpoint}/{ROLES}{role}")).await?)
    }

    async fn of_role(
        &self,
        endpoint: &str,
        role: &str,
        token: &str,
    ) -> Result<(Credentials, Timestamp), S3Error> {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", role)
            .append_pair("RoleSessionName", "hakata")
            .append_pair("WebIdentityToken", token)
            .finish();
        let header = Some(("content-type", "application/x-www-form-urlencoded".to_owned()));
        let question = Question { body, ..Question::new(Method::POST, endpoint.to_owned(), header) };
        let text = self.asked(question).await?;
        let element = |name| xml::element(&text, name).ok_or_else(|| odd("the token service gave none"));
        let until = element("Expiration")?.parse().map_err(|_| odd("the token service gave no time"))?;
        let (key, secret) = (element("AccessKeyId")?, element("SecretAccessKey")?);
        Ok((Credentials::new_with_token(key, secret, element("SessionToken")?), until))
    }

    /// Asks once, over a connection of its own.
    async fn asked(&self, question: Question<'_>) -> Result<String, S3Error> {
        let url: Url = question.url.parse().map_err(|_| odd("a URL that is none"))?;
        let bounds = Bounds {
            connections: 1,
            connect_timeout: self.0.bounds.connect_timeout.min(PATIENCE),
            ..self.0.bounds
        };
        let http =
            Http::new(&url, self.0.tls.clone(), bounds).ok_or_else(|| odd("a URL that names no server"))?;
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::builder().method(question.method).uri(target).header(header::HOST, host);
        if let Some((name, value)) = question.header {
            request = request.header(name, value.trim());
        }
        let request = request
            .body(Full::new(Bytes::from(question.body)))
            .map_err(|_| odd("a header that cannot be sent"))?;
        let exchange = async {
            let answer =
                http.connection(Lane::Requests).await?.send(request).await.map_err(S3Error::Broken)?;
            let (parts, body) = answer.into_parts();
            let bytes = body.read(MAX_ANSWER).await.map_err(S3Error::Broken)?;
            let text = String::from_utf8(bytes).map_err(|_| odd("no text"))?;
            match parts.status.is_success() {
                true => Ok(text),
                false => Err(S3Error::refused(parts.status, xml::refusal(&text), &parts.headers)),
            }
        };
        timeout(PATIENCE, exchange).await.map_err(|_| S3Error::TimedOut(PATIENCE))?
    }
}

fn temporary(text: &str) -> Result<(Credentials, Timestamp), S3Error> {
    let found: Temporary = serde_json::from_str(text).map_err(|_| odd("the metadata service gave none"))?;
    let Temporary { access_key_id, secret_access_key, token, expiration } = found;
    let until = expiration.parse().map_err(|_| odd("the metadata service gave no time"))?;
    Ok((Credentials::new_with_token(access_key_id, secret_access_key, token), until))
}

async fn read(path: &Path) -> Result<String, S3Error> {
    let text = tokio::fs::read_to_string(path).await;
    let failed = |error: io::Error| S3Error::Credentials(format!("reading {}: {error}", path.display()));
    text.map(|text| text.trim().to_owned()).map_err(failed)
}

fn odd(what: &str) -> S3Error {
    S3Error::Credentials(what.to_owned())
}

/// Writes an error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
