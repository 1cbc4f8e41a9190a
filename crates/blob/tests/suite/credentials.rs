//! Credentials that are not written down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hakata_blob::CredentialSource;
use hakata_runtime::tasks::Tasks;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::engine::{Engine, KEY};

/// A service that hands out the key of the engine to whoever asks as the machine, a container or a role should.
struct Service {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    is_silent: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Service {
    /// `ends` is when its credentials end.
    async fn start(ends: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, tasks) = (Arc::new(Mutex::new(Vec::new())), Tasks::new());
        let is_silent = Arc::new(AtomicBool::new(false));
        let (log, silent, ends) = (asked.clone(), is_silent.clone(), ends.to_owned());
        drop(tasks.spawn("service", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, silent, ends) = (log.clone(), silent.clone(), ends.clone());
                let serve = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (is_silent, ends) = (silent.load(Ordering::Relaxed), ends.clone());
                    // With the query: what is in it, everybody on the way may write down.
                    log.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
                    async move {
                        if is_silent {
                            std::future::pending::<()>().await;
                        }
                        answer(request, &ends).await
                    }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), serve).await;
            }
        }));
        Self { url, asked, is_silent, tasks }
    }

    fn n_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn answer(request: Request<Incoming>, ends: &str) -> hyper::Result<Response<Full<Bytes>>> {
    let (request, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    let header =
        |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = format!(
        r#"{{"AccessKeyId":"test","SecretAccessKey":"testsecret","Token":"tok/en+=","Expiration":"{ends}"}}"#
    );
    let is_role = header("content-type") == "application/x-www-form-urlencoded"
        && field("Action") == "AssumeRoleWithWebIdentity"
        && field("WebIdentityToken") == TOKEN
        && field("RoleArn") == "arn:aws:iam::1:role/a";
    let (status, text) = match (&request.method, request.uri.path()) {
        (&Method::PUT, "/latest/api/token") if !header("x-aws-ec2-metadata-token-ttl-seconds").is_empty() => {
            (200, "session".to_owned())
        }
        (_, path) if path.starts_with("/latest/") && header("x-aws-ec2-metadata-token") != "session" => {
            (401, String::new())
        }
        (_, "/latest/meta-data/iam/security-credentials/") => (200, "role\n".to_owned()),
        (_, "/latest/meta-data/iam/security-credentials/role") => (200, json),
        (_, "/container") if header("authorization") == "Bearer x" => (200, json),
        (&Method::POST, "/") if is_role => (
            200,
            format!(
                "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>test</AccessKeyId><SecretAccessKey>\
                testsecret</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{ends}</Expiration>\
                </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
            ),
        ),
        _ => (403, String::new()),
    };
    Ok(Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap())
}

const FAR: &str = "2999-01-01T00:00:00Z";

/// What a machine shows to have a role.
const TOKEN: &str = "jwt+/=.x";

#[tokio::test]
async fn machines_containers_and_roles_have_credentials() {
    let (engine, service) = (Engine::start().await, Service::start(FAR).await);
    let dir = tempfile::tempdir().unwrap();
    let (token, header) = (dir.path().join("token"), dir.path().join("header"));
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    std::fs::write(&header, "Bearer x\n").unwrap();
    let url = format!("{}/container", service.url);
    let container = |authorization: Option<&str>, authorization_file| CredentialSource::Container {
        url: url.clone(),
        authorization: authorization.map(|value| value.to_owned().into()),
        authorization_file,
    };
    let role = "arn:aws:iam::1:role/a".to_owned();
    for source in [
        CredentialSource::Instance { endpoint: Some(service.url.clone()) },
        container(Some("Bearer x"), None),
        container(None, Some(header)),
        CredentialSource::WebIdentity {
            token_file: token,
            role_arn: role,
            endpoint: Some(service.url.clone()),
        },
    ] {
        let blobs = engine.open_with(|at| at.credentials = source.clone()).await.unwrap();
        let n_asked = service.n_asked();
        blobs.put(KEY, &b"x"[..]).await.unwrap();
        let mut read = String::new();
        blobs.get(KEY, None).await.unwrap().read_to_string(&mut read).await.unwrap();
        assert_eq!((read.as_str(), service.n_asked()), ("x", n_asked), "they are kept: {source:?}");
    }
    let asked = service.asked.lock().unwrap();
    assert!(asked.contains(&"POST /".to_owned()), "no URL has a token in it: {asked:?}");
}

#[tokio::test]
async fn credentials_that_are_about_to_end_are_renewed() {
    // Long over: each request asks again.
    let (engine, service) = (Engine::start().await, Service::start("2000-01-01T00:00:00Z").await);
    let source = CredentialSource::Instance { endpoint: Some(service.url.clone()) };
    let blobs = engine.open_with(|at| at.credentials = source).await.unwrap();
    let n_asked = service.n_asked();
    blobs.put(KEY, &b"x"[..]).await.unwrap();
    assert_eq!(service.n_asked(), n_asked + 3);
}

/// Nobody waits for a service that says nothing, as long as there is something to sign with.
#[tokio::test]
async fn credentials_that_are_still_good_go_on_working_while_the_service_is_silent() {
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(3);
    let (engine, service) = (Engine::start().await, Service::start(&soon.to_string()).await);
    let source = CredentialSource::Instance { endpoint: Some(service.url.clone()) };
    let blobs = engine.open_with(|at| at.credentials = source).await.unwrap();
    service.is_silent.store(true, Ordering::Relaxed);
    let n_asked = service.n_asked();
    for _ in 0..20 {
        blobs.put(KEY, &b"x"[..]).await.unwrap();
        assert!(blobs.stat(KEY).await.unwrap().is_some());
    }
    // A request that waited for the service would have given up on it, and the next have asked again.
    assert!(service.n_asked() <= n_asked + 1, "{:?}", service.asked.lock().unwrap());
}

#[tokio::test]
async fn where_there_are_none_it_says_so() {
    let engine = Engine::start().await;
    let source = CredentialSource::Instance { endpoint: Some("http://127.0.0.1:1".to_owned()) };
    let error = engine.open_with(|at| at.credentials = source).await.unwrap_err();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    let said = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    assert!(said.contains("there are no keys (storage.s3.access_key)"), "{said}");
}
