//! The worker beside the other faces, or alone, and who tells workers of jobs.

use crate::compose::Engines;
use crate::config::Settings;
use crate::output::Failure;
use hakata_egress::Guard;
use hakata_forge::mail::Postman;
use hakata_forge::remotes::Remotes;
use hakata_forge::webhooks::Courier;
use hakata_runtime::tasks::Tasks;
use hakata_worker::rabbit::Broker;
use hakata_worker::{Handlers, Worker};
use std::sync::Arc;

/// What a process has to do with jobs.
pub(super) struct Jobs {
    /// Who works at them here.
    worker: Option<Worker>,
    /// Who names them to workers, if anybody does.
    pub(super) broker: Option<Broker>,
}

/// Tells others of jobs, and begins to work at them if this process does; `faces` owns what runs.
pub(super) fn start(settings: &Settings, engines: &Engines, faces: &Tasks) -> Result<Jobs, Failure> {
    let has_broker = !settings.rabbitmq.url.expose().is_empty();
    let broker = has_broker.then(|| Broker::new(settings.rabbitmq.clone()));
    match &broker {
        Some(broker) => broker.relay(&engines.forge, faces),
        None => hakata_worker::announce(&engines.forge, &settings.jobs, faces),
    }
    if !settings.works {
        return Ok(Jobs { worker: None, broker });
    }
    let guard = Guard::new(settings.egress.clone())
        .map_err(|error| Failure::failed("reading the authorities of egress.certificates", &error))?;
    let operations = Arc::new(engines.operations(&settings.rpc.server));
    // Where other short-lived files are.
    let authorities = settings.git.scratch.with_file_name("authorities.pem");
    let remotes = Remotes::new(engines.forge.clone(), guard.clone(), authorities)
        .map_err(|error| Failure::failed("writing the authorities of egress.certificates for git", &error))?;
    let postman = Postman::new(engines.forge.clone(), operations.clone());
    let handlers = Handlers::of(&engines.forge)
        .with_courier(Courier::new(engines.forge.clone(), operations, guard))
        .with_remotes(&remotes)
        .with_postman(postman);
    let worker = Worker::new(&engines.forge, handlers, settings.jobs.clone(), broker.clone());
    worker.start(faces);
    Ok(Jobs { worker: Some(worker), broker })
}

impl Jobs {
    /// Gives back what is still claimed; to be called when the tasks are gone.
    pub(super) async fn stop(&self) {
        if let Some(worker) = &self.worker {
            worker.stop().await;
        }
    }
}
