//! One request to the bucket: signed anew at each attempt, tried again while that may help.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use hakata_runtime::secret::random_bytes;
use hakata_runtime::tasks::Tasks;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Full;
use jiff::Timestamp;
use rusty_s3::{Bucket, Credentials, signing};
use tokio::time::{Instant, timeout};
use url::Url;

use super::credentials::{Keyring, Timed};
use super::error::S3Error;
use super::http::{Body, Bounds, Http, Lane, tls};
use super::metrics::{Operation, Outcome, REQUESTS, RETRIES, SENT, WAITED};
use super::settings::S3Settings;
use super::xml;

/// How long a signature is good for: as far as clocks may be apart. Source: Signature Version 4.
const SIGNED_FOR: Duration = Duration::from_secs(15 * 60);

/// The slowest way to the engine that a body is still sent over, in bytes a second.
const MIN_RATE: u64 = 64 << 10;

/// Pause before the first attempt that is made again; each further one is twice as long.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The longest answer that says what is wrong.
const MAX_REFUSAL: usize = 64 << 10;

/// Who talks to one bucket.
pub(super) struct Client {
    pub(super) settings: S3Settings,
    pub(super) bucket: Bucket,
    pub(super) public: Bucket,
    keyring: Keyring,
    http: Http,
}

/// A request, as often as it takes.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// The key; `None` is the bucket itself.
    pub(super) object: Option<&'a str>,
    /// By name.
    pub(super) query: Vec<(&'static str, String)>,
    /// By name, in lower case.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) lane: Lane,
}

/// An answer that is not a refusal.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum UnusableSettings {
    /// The endpoint or the bucket's name.
    #[error("{url:?} and bucket {bucket:?} make no URL: {reason}")]
    Url {
        /// The endpoint.
        url: String,
        /// The bucket.
        bucket: String,
        /// Why not.
        reason: String,
    },
    /// The authorities cannot be read.
    #[error("reading the authorities in {path}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: io::Error,
    },
}

impl<'a> Ask<'a> {
    pub(super) fn new(operation: Operation, method: Method, object: &'a str) -> Self {
        let (query, headers, body) = (Vec::new(), Vec::new(), Bytes::new());
        Self { operation, method, object: Some(object), query, headers, body, lane: Lane::default() }
    }

    /// Adds a header that is signed; to be added in the order of their names.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a parameter; to be added in the order of their names.
    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    pub(super) fn lane(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }
}

impl Client {
    pub(super) fn new(settings: S3Settings, tasks: Tasks) -> Result<Self, UnusableSettings> {
        let endpoint = settings.endpoint_url();
        let bucket = bucket(&settings, &endpoint)?;
        let public = self::bucket(&settings, &settings.public_url())?;
        let path = || settings.certificates.as_ref().map_or(String::new(), |path| path.display().to_string());
        let tls = tls(settings.certificates.as_deref())
            .map_err(|source| UnusableSettings::Authorities { path: path(), source })?;
        let bounds = Bounds {
            connections: settings.connections,
            downloads: settings.downloads,
            connect_timeout: settings.connect_timeout,
            wait: settings.timeout,
        };
        let unusable = || UnusableSettings::Url {
            url: endpoint.clone(),
            bucket: settings.bucket.clone(),
            reason: "it names no server".to_owned(),
        };
        let http = Http::new(bucket.base_url(), tls.clone(), bounds).ok_or_else(unusable)?;
        let keyring = Keyring::new(&settings, tls, bounds, tasks);
        Ok(Self { bucket, public, keyring, http, settings })
    }

    /// Asks until there is an answer, a refusal that will stay one, or no time left.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, S3Error> {
        let (mut deadline, mut pause) = (None, FIRST_PAUSE);
        loop {
            let error = match self.attempt(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.is_expired() {
                self.keyring.forget();
            }
            // From the first failure on: one attempt with a large part may take long by itself.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.settings.retry_for);
            let pausing = spread(pause).max(error.retry_after().unwrap_or_default());
            if !error.is_transient() || Instant::now() + pausing > deadline {
                return Err(error);
            }
            tracing::debug!(operation = ?ask.operation, %error, pause_ms = pausing.as_millis(), "asking the bucket again");
            RETRIES.get(ask.operation).inc();
            tokio::time::sleep(pausing).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks, and reads an answer in XML.
    pub(super) async fn ask_xml(&self, ask: &Ask<'_>) -> Result<String, S3Error> {
        let answer = self.ask(ask).await?;
        let read = timeout(self.settings.timeout, answer.body.read(xml::MAX_XML)).await;
        let bytes = read.map_err(|_| S3Error::TimedOut(self.settings.timeout))?.map_err(S3Error::Broken)?;
        String::from_utf8(bytes).map_err(|_| S3Error::Odd("no text"))
    }

    /// Asks, and reads an answer in XML for as long as some of it keeps coming: an engine that works at it may send
    /// blanks meanwhile.
    pub(super) async fn ask_xml_patiently(&self, ask: &Ask<'_>) -> Result<String, S3Error> {
        let answer = self.ask(ask).await?;
        let bytes = answer.body.read_as_it_comes(xml::MAX_XML, self.settings.timeout).await?;
        String::from_utf8(bytes).map_err(|_| S3Error::Odd("no text"))
    }

    /// Signs a URL that others may use for so long, or until the credentials end; `headers` are what they must send.
    pub(super) async fn presign(&self, ask: &Ask<'_>, for_: Duration) -> Result<(Url, Duration), S3Error> {
        let Timed { credentials, until } = self.keyring.credentials().await?;
        let left = Timestamp::now().duration_until(until);
        let left = Duration::try_from(left).unwrap_or_default();
        let for_ = Duration::from_secs(for_.min(left).as_secs());
        Ok((self.signed(&self.public, ask, &credentials, for_), for_))
    }

    async fn attempt(&self, ask: &Ask<'_>) -> Result<Answer, S3Error> {
        let since = Instant::now();
        let asked = self.ask_once(ask).await;
        WAITED.get(ask.operation).observe_duration(since.elapsed());
        let outcome = asked.as_ref().map_or_else(S3Error::outcome, |_| Outcome::Ok);
        REQUESTS.get((ask.operation, outcome)).inc();
        asked
    }

    /// Asks without trying again.
    pub(super) async fn ask_once(&self, ask: &Ask<'_>) -> Result<Answer, S3Error> {
        let Timed { credentials, .. } = self.keyring.credentials().await?;
        let allowed = self.settings.timeout + Duration::from_secs(ask.body.len() as u64 / MIN_RATE);
        loop {
            let held = self.http.connection(ask.lane).await?;
            let is_fresh = held.is_fresh();
            let request = self.request(ask, &credentials)?;
            SENT.add(ask.body.len() as u64);
            let sent = timeout(allowed, held.send(request)).await;
            return match sent.map_err(|_| S3Error::TimedOut(allowed))? {
                Ok(answer) => accepted(answer, self.settings.timeout).await,
                // The engine closed a connection that it had let us keep, without having read the request.
                Err(error) if !is_fresh && (error.is_canceled() || error.is_incomplete_message()) => continue,
                Err(error) => Err(S3Error::Broken(error)),
            };
        }
    }

    fn request(&self, ask: &Ask<'_>, credentials: &Credentials) -> Result<Request<Full<Bytes>>, S3Error> {
        let url = self.signed(&self.bucket, ask, credentials, SIGNED_FOR);
        let target = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut request =
            Request::builder().method(ask.method.clone()).uri(target).header(header::HOST, host);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        request.body(Full::new(ask.body.clone())).map_err(|_| S3Error::Odd("a header that cannot be sent"))
    }

    fn signed(&self, bucket: &Bucket, ask: &Ask<'_>, credentials: &Credentials, for_: Duration) -> Url {
        let url = ask.object.map_or_else(|| bucket.base_url().clone(), |object| bucket.object_url(object));
        let method = match ask.method {
            Method::GET => rusty_s3::Method::Get,
            Method::HEAD => rusty_s3::Method::Head,
            Method::POST => rusty_s3::Method::Post,
            Method::DELETE => rusty_s3::Method::Delete,
            _ => rusty_s3::Method::Put,
        };
        let (key, secret, token) = (credentials.key(), credentials.secret(), credentials.token());
        let query = ask.query.iter().map(|(name, value)| (*name, value.as_str()));
        let headers = ask.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let (now, region) = (Timestamp::now(), bucket.region());
        signing::sign(&now, method, url, key, secret, token, region, for_.as_secs().max(1), query, headers)
    }
}

/// Takes an answer unless it is a refusal.
async fn accepted(answer: http::Response<Body>, patience: Duration) -> Result<Answer, S3Error> {
    let (parts, body) = answer.into_parts();
    if parts.status.is_success() {
        return Ok(Answer { headers: parts.headers, body });
    }
    let read = timeout(patience, body.read(MAX_REFUSAL)).await;
    let text = read.ok().and_then(Result::ok).and_then(|bytes| String::from_utf8(bytes).ok());
    let refusal = xml::refusal(&text.unwrap_or_default());
    let region = parts.headers.get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
    let refusal = match (refusal, region) {
        (Some(refusal), _) => Some(refusal),
        (None, Some(region)) if parts.status == StatusCode::MOVED_PERMANENTLY => Some(xml::Refusal {
            code: "PermanentRedirect".to_owned(),
            region: Some(region.to_owned()),
            ..xml::Refusal::default()
        }),
        (None, _) => None,
    };
    Err(S3Error::refused(parts.status, refusal, &parts.headers))
}

/// Makes a pause up to half shorter, so that those who failed together do not come again together.
pub(super) fn spread(pause: Duration) -> Duration {
    let share = f64::from(u16::from_le_bytes(random_bytes::<2>())) / f64::from(u16::MAX);
    pause.mul_f64(1.0 - share / 2.0)
}

fn bucket(settings: &S3Settings, endpoint: &str) -> Result<Bucket, UnusableSettings> {
    let unusable = |reason: String| UnusableSettings::Url {
        url: endpoint.to_owned(),
        bucket: settings.bucket.clone(),
        reason,
    };
    let url: Url = endpoint.parse().map_err(|error: url::ParseError| unusable(error.to_string()))?;
    let style =
        if settings.is_path_style() { rusty_s3::UrlStyle::Path } else { rusty_s3::UrlStyle::VirtualHost };
    Bucket::new(url, style, settings.bucket.clone(), settings.region.clone())
        .map_err(|error| unusable(error.to_string()))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
