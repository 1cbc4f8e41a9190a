//! Liveness, readiness and metrics, for whoever watches the process.
//!
//! These answers belong on the admin listener; they are plain functions of a request, mounted by the binary.

use crate::http::Body;
use crate::shutdown::Shutdown;
use ::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use ::http::{HeaderValue, Method, Request, Response, StatusCode};
use futures_util::future::{BoxFuture, join_all};
use hakata_runtime::metrics;
use serde_json::{Map, Value, json};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A check that has not answered by then counts as failed.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What must hold for the process to be ready; cheap to clone once complete.
#[derive(Clone)]
pub struct Health {
    shutdown: Shutdown,
    checks: Vec<(&'static str, Probe)>,
}

impl Health {
    /// Starts with one condition: the process is not draining.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, checks: Vec::new() }
    }

    /// Adds a condition; its error says in a few words what is wrong.
    #[must_use]
    pub fn with<F, Fut>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Answers `/health/live`, `/health/ready`, the same as `/healthz` and `/readyz`, and `/metrics`; `None` for every
    /// other path.
    pub async fn respond<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let path = match request.uri().path() {
            "/healthz" => "/health/live",
            "/readyz" => "/health/ready",
            path => path,
        };
        if !matches!(path, "/health/live" | "/health/ready" | "/metrics") {
            return None;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response);
        }
        Some(match path {
            "/metrics" => answer(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render()),
            "/health/live" => json_answer(StatusCode::OK, &json!({ "status": "live" })),
            _ => self.ready().await,
        })
    }

    async fn ready(&self) -> Response<Body> {
        let probes = self.checks.iter().map(|(name, probe)| async move {
            let outcome = tokio::time::timeout(CHECK_LIMIT, probe()).await;
            (*name, outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        });
        let mut checks = Map::new();
        let mut is_ready = !self.shutdown.is_draining();
        checks.insert("draining".to_owned(), Value::from(if is_ready { "no" } else { "yes" }));
        for (name, outcome) in join_all(probes).await {
            is_ready &= outcome.is_ok();
            checks.insert(name.to_owned(), Value::from(outcome.err().unwrap_or_else(|| "ok".to_owned())));
        }
        let (status, word) =
            if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
        json_answer(status, &json!({ "status": word, "checks": checks }))
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, _)| name)).finish()
    }
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, "application/json", format!("{value}\n"))
}

fn answer(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use hakata_runtime::tasks::Tasks;

    async fn get(health: &Health, path: &str) -> (u16, String) {
        let request = Request::get(path).body(()).unwrap();
        let response = health.respond(&request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect(1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_follows_the_checks_and_the_drain() {
        let shutdown = Shutdown::new(Tasks::new(), Duration::ZERO);
        let health = Health::new(shutdown.clone()).with("database", || async { Ok(()) });
        for path in ["/health/live", "/healthz", "/readyz"] {
            assert_eq!(get(&health, path).await.0, 200, "{path}");
        }
        let (status, body) = get(&health, "/health/ready").await;
        assert_eq!((status, body.contains(r#""database":"ok""#)), (200, true));
        let slow = health.clone().with("lease", || async { std::future::pending().await });
        let (status, body) = get(&slow, "/health/ready").await;
        assert_eq!((status, body.contains(r#""lease":"no answer in time""#)), (503, true));
        shutdown.request();
        assert_eq!(get(&health, "/health/ready").await.0, 503, "a draining server is not ready");
        assert_eq!(get(&health, "/health/live").await.0, 200, "and still alive");
    }

    #[tokio::test]
    async fn other_paths_and_methods() {
        let health = Health::new(Shutdown::new(Tasks::new(), Duration::ZERO));
        let elsewhere = Request::get("/").body(()).unwrap();
        assert!(health.respond(&elsewhere).await.is_none());
        let post = Request::post("/metrics").body(()).unwrap();
        assert_eq!(health.respond(&post).await.unwrap().status(), 405);
        metrics::register(&crate::metrics());
        let (_, text) = get(&health, "/metrics").await;
        assert!(text.contains("process_open_fds") && text.ends_with("# EOF\n"));
    }
}
