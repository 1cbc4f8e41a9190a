//! The standard health service: serving is holding a lease.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::Services;
use super::pb::generator_server::GeneratorServer;
use super::pb::stats_server::StatsServer;
use crate::stats::Stats;

/// Answers as the lease is at that moment.
pub(super) struct Readiness(Arc<Stats>);

impl Readiness {
    pub(super) fn new(stats: Arc<Stats>) -> Self {
        Self(stats)
    }
}

#[tonic::async_trait]
impl Health for Readiness {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match of(&self.0, &request.get_ref().service) {
            Some(status) => Ok(Response::new(say(status))),
            None => Err(Status::not_found("no such service")),
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (stats, service) = (self.0.clone(), request.into_inner().service);
        let turns = stats.turns();
        let changes = unfold((stats, turns, service, None), |(stats, mut turns, service, told)| async move {
            loop {
                // Marked as seen before it is looked at, so that what changes meanwhile is looked at again.
                turns.see();
                let status = of(&stats, &service);
                if told != Some(status) {
                    // A service that is not known may come to be; the stream goes on.
                    let said = say(status.unwrap_or(ServingStatus::ServiceUnknown));
                    return Some((Ok(said), (stats, turns, service, Some(status))));
                }
                turns.next(&stats).await;
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// The status of a service, `""` being all of them; `None` if there is no such one.
fn of(stats: &Stats, service: &str) -> Option<ServingStatus> {
    let known = ["", GeneratorServer::<Services>::NAME, StatsServer::<Services>::NAME];
    known.contains(&service).then(|| match stats.ready() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    })
}

fn say(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
