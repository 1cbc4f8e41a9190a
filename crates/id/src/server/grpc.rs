//! Ids and counts over gRPC, for clients of katsubushi; with the standard health and reflection services.
//!
//! Only the codec and the glue are tonic's. Connections, deadlines and the drain are those of our HTTP server, of which
//! [`Grpc::respond`] is the function.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use hakata_service::http::{Body, BodyError};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;

use super::MAX_IDS;
use crate::issue::{Issuer, Refusal};
use crate::stats::Stats;

mod drained;
mod health;

use drained::UntilDrain;
use health::Readiness;
use pb::generator_server::{Generator, GeneratorServer};
use pb::stats_server::{Stats as StatsService, StatsServer};
use pb::{FetchMultiRequest, FetchMultiResponse, FetchRequest, FetchResponse, StatsRequest, StatsResponse};

/// What the proto compiles to.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)] // Made by a compiler, for which these hold or do not.
mod pb {
    tonic::include_proto!("katsubushi");

    /// The compiled description, for reflection.
    pub(super) const DESCRIBED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/katsubushi.bin"));
}

/// Answers calls; cheap to clone.
#[derive(Clone)]
pub struct Grpc {
    routes: Arc<[(&'static str, Route)]>,
    drain: CancellationToken,
}

/// A service of tonic's, whatever its type.
type Route = Box<dyn Fn(Request<Body>) -> BoxFuture<Response<tonic::body::Body>, Infallible> + Send + Sync>;

/// Two services in one.
#[derive(Clone, Debug)]
struct Services {
    issuer: Issuer,
    stats: Arc<Stats>,
}

impl Grpc {
    /// Answers with ids of an issuer until `drain` fires; calls that would go on for ever end then.
    ///
    /// # Panics
    /// Never: the description of the services is part of the program, and a test reads it.
    pub fn new(issuer: Issuer, stats: Arc<Stats>, drain: CancellationToken) -> Self {
        let services = Services { issuer, stats: stats.clone() };
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::DESCRIBED)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = [
            route(GeneratorServer::new(services.clone())),
            route(StatsServer::new(services)),
            route(HealthServer::new(Readiness::new(stats))),
            route(described().build_v1().expect("the description comes from the compiler")),
            route(described().build_v1alpha().expect("the description comes from the compiler")),
        ];
        Self { routes: Arc::new(routes), drain }
    }

    /// Answers one call.
    pub async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let service = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let answer = match self.routes.iter().find(|(name, _)| *name == service) {
            Some((_, route)) => route(request).await.unwrap_or_else(|never| match never {}),
            None => Status::unimplemented("no such service").into_http(),
        };
        answer.map(|body| {
            let body = UntilDrain::new(body, self.drain.clone());
            Body::wrap(body.map_err(|status| BodyError::Produce(status.into())))
        })
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|(name, _)| name)).finish()
    }
}

fn route<S>(service: S) -> (&'static str, Route)
where
    S: NamedService + Clone + Send + Sync + 'static,
    S: Service<
            Request<Body>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
            Future = BoxFuture<Response<tonic::body::Body>, Infallible>,
        >,
{
    (S::NAME, Box::new(move |request| service.clone().call(request)))
}

impl Services {
    async fn issue(&self, n: u32) -> Result<Vec<u64>, Status> {
        match self.issuer.issue(n).await {
            Ok(ids) => {
                self.stats.count(ids.len() as u64, 0);
                Ok(ids)
            }
            Err(refusal) => {
                self.stats.count(0, n.into());
                Err(status(refusal))
            }
        }
    }
}

#[tonic::async_trait]
impl Generator for Services {
    async fn fetch(
        &self,
        _request: tonic::Request<FetchRequest>,
    ) -> Result<tonic::Response<FetchResponse>, Status> {
        let ids = self.issue(1).await?;
        let id = ids.first().copied().ok_or_else(|| status(Refusal::NoLease))?;
        Ok(tonic::Response::new(FetchResponse { id }))
    }

    async fn fetch_multi(
        &self,
        request: tonic::Request<FetchMultiRequest>,
    ) -> Result<tonic::Response<FetchMultiResponse>, Status> {
        let n = request.into_inner().n.max(1);
        if n > MAX_IDS {
            return Err(Status::invalid_argument(format!("n is {MAX_IDS} at most")));
        }
        Ok(tonic::Response::new(FetchMultiResponse { ids: self.issue(n).await? }))
    }
}

#[tonic::async_trait]
impl StatsService for Services {
    async fn get(
        &self,
        _request: tonic::Request<StatsRequest>,
    ) -> Result<tonic::Response<StatsResponse>, Status> {
        let report = self.stats.report();
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Ok(tonic::Response::new(StatsResponse {
            pid: report.pid.cast_signed(),
            uptime: signed(report.uptime.as_secs()),
            time: signed(report.unix_s),
            version: report.version.to_owned(),
            curr_connections: signed(report.open),
            total_connections: signed(report.opened),
            cmd_get: signed(report.asked()),
            get_hits: signed(report.hits),
            get_misses: signed(report.misses),
        }))
    }
}

fn status(refusal: Refusal) -> Status {
    Status::new(Code::Unavailable, refusal.to_string())
}

#[cfg(test)]
mod tests;
