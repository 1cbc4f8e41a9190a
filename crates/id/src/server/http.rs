//! Ids and counts over HTTP, as katsubushi serves them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /id` | an id as text, or `{"id":"…"}` for whoever accepts JSON |
//! | `GET /ids?n=N` | 1 to 1,000 ids, one a line, or `{"ids":["…"]}` |
//! | `GET /stats` | the counts as JSON |
//!
//! Ids in JSON are strings: numbers as large lose digits in JavaScript.

use std::sync::Arc;

use hakata_service::http::Body;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::MAX_IDS;
use crate::issue::{Issuer, Refusal};
use crate::stats::Stats;

/// What is said to whoever asks for something else.
const NOT_FOUND: &str = "not found; try /id, /ids?n=10 or /stats\n";

/// Answers requests over HTTP; cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    issuer: Issuer,
    stats: Arc<Stats>,
}

/// Whether ids come as lines or as JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Http {
    /// Answers with ids of an issuer.
    pub fn new(issuer: Issuer, stats: Arc<Stats>) -> Self {
        Self { issuer, stats }
    }

    /// Answers one request, whose body does not matter.
    pub async fn respond<B>(&self, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        if !matches!(path, "/id" | "/ids" | "/stats") {
            return text(StatusCode::NOT_FOUND, NOT_FOUND);
        }
        if request.method() != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        let format = Format::accepted(request);
        match path {
            "/id" => match self.issue(1).await {
                Ok(ids) => one(ids.first().copied().unwrap_or_default(), format),
                Err(refusal) => refuse(refusal),
            },
            "/ids" => match wanted(request.uri().query().unwrap_or_default()) {
                None => text(StatusCode::BAD_REQUEST, format!("n is a number from 1 to {MAX_IDS}\n")),
                Some(n) => self.issue(n).await.map_or_else(refuse, |ids| many(&ids, format)),
            },
            _ => answer(StatusCode::OK, "application/json", format!("{}\n", self.report())),
        }
    }

    async fn issue(&self, n: u32) -> Result<Vec<u64>, Refusal> {
        let issued = self.issuer.issue(n).await;
        match &issued {
            Ok(ids) => self.stats.count(ids.len() as u64, 0),
            Err(_) => self.stats.count(0, n.into()),
        }
        issued
    }

    /// The figures of `stats`; those that are numbers are numbers.
    fn report(&self) -> Value {
        let lines = self.stats.report().lines();
        let value = |text: String| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
        lines
            .into_iter()
            .map(|(name, text)| (name.to_owned(), value(text)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl Format {
    fn accepted<B>(request: &Request<B>) -> Self {
        let accepts = request.headers().get_all(ACCEPT).iter();
        let is_json =
            |accept: &HeaderValue| accept.to_str().is_ok_and(|text| text.contains("application/json"));
        if accepts.into_iter().any(is_json) { Self::Json } else { Self::Text }
    }
}

/// Reads how many ids a query asks for: one if it does not say; `None` if that is no number within the bounds.
fn wanted(query: &str) -> Option<u32> {
    let n = query.split('&').find_map(|pair| pair.strip_prefix("n=")).filter(|n| !n.is_empty());
    let Some(n) = n else { return Some(1) };
    n.parse().ok().filter(|n| (1..=MAX_IDS).contains(n))
}

fn one(id: u64, format: Format) -> Response<Body> {
    match format {
        Format::Text => text(StatusCode::OK, id.to_string()),
        Format::Json => {
            answer(StatusCode::OK, "application/json", json!({ "id": id.to_string() }).to_string())
        }
    }
}

fn many(ids: &[u64], format: Format) -> Response<Body> {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    match format {
        Format::Text => text(StatusCode::OK, ids.join("\n")),
        Format::Json => answer(StatusCode::OK, "application/json", json!({ "ids": ids }).to_string()),
    }
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n"));
    let seconds = match refusal {
        Refusal::Behind { by } | Refusal::Wait(by) => by.as_secs() + 1,
        Refusal::NoLease => 1,
        // Another server may have a clock that is right.
        Refusal::Exhausted => 60,
    };
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", body.into())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // An id from a cache would be given twice.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tests::Bench;

    async fn get(http: &Http, path: &str, accept: &str) -> (u16, String) {
        let request = Request::get(path).header(ACCEPT, accept).body(()).unwrap();
        let response = http.respond(&request).await;
        let status = response.status().as_u16();
        if status != 200 {
            assert!(status != 503 || response.headers().contains_key(RETRY_AFTER));
        }
        let body = response.into_body().collect(1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ids_come_as_text_and_json() {
        let bench = Bench::new();
        let http = Http::new(bench.issuer.clone(), bench.stats.clone());
        let (status, first) = get(&http, "/id", "*/*").await;
        let first: u64 = first.parse().unwrap();
        assert_eq!(status, 200);
        let (_, json) = get(&http, "/id", "text/html, application/json").await;
        let second =
            serde_json::from_str::<Value>(&json).unwrap()["id"].as_str().unwrap().parse::<u64>().unwrap();
        let (_, lines) = get(&http, "/ids?n=1000", "*/*").await;
        let ids: Vec<u64> = lines.lines().map(|line| line.parse().unwrap()).collect();
        let (_, json) = get(&http, "/ids?x=1&n=2", "application/json").await;
        let last =
            serde_json::from_str::<Value>(&json).unwrap()["ids"][1].as_str().unwrap().parse::<u64>().unwrap();
        let all: Vec<u64> = [first, second].into_iter().chain(ids).chain([last]).collect();
        assert!(all.is_sorted_by(|a, b| a < b) && all.len() == 1003, "ids rise over all forms");
        let (_, stats) = get(&http, "/stats", "*/*").await;
        let stats: Value = serde_json::from_str(&stats).unwrap();
        assert_eq!((&stats["get_hits"], &stats["worker_id"]), (&json!(1004), &json!(7)));
    }

    #[tokio::test]
    async fn what_is_out_of_bounds_spends_nothing() {
        let bench = Bench::new();
        let http = Http::new(bench.issuer.clone(), bench.stats.clone());
        for n in ["-1", "0", "1001", "4294967297", "99999999999999999999", "ten", "1.5", "+", "%31"] {
            assert_eq!(get(&http, &format!("/ids?n={n}"), "").await.0, 400, "n={n}");
        }
        for path in ["/ids", "/ids?n=", "/ids?n=1"] {
            assert_eq!(get(&http, path, "").await.1.lines().count(), 1, "{path}");
        }
        for method in [Method::POST, Method::HEAD, Method::DELETE, Method::OPTIONS] {
            let request = Request::builder().method(method).uri("/id").body(()).unwrap();
            assert_eq!(http.respond(&request).await.status(), 405);
        }
        assert_eq!(get(&http, "/", "").await.0, 404);
        assert_eq!(bench.stats.report().hits, 3);
        bench.issuer.generator().stop();
        assert_eq!(get(&http, "/id", "").await, (503, "no lease\n".to_owned()));
        assert_eq!(get(&http, "/ids?n=5", "").await.0, 503);
        assert_eq!(bench.stats.report().misses, 6);
    }
}
