//! The worker beside the other faces, or alone.

use crate::compose::Engines;
use crate::config::Settings;
use crate::output::Failure;
use hakata_egress::Guard;
use hakata_forge::webhooks::Courier;
use hakata_runtime::tasks::Tasks;
use hakata_worker::{Handlers, Worker};
use std::sync::Arc;

/// Tells other processes of jobs, and begins to work at them if this process does; `faces` owns what runs.
pub(super) fn start(
    settings: &Settings,
    engines: &Engines,
    faces: &Tasks,
) -> Result<Option<Worker>, Failure> {
    hakata_worker::announce(&engines.forge, faces);
    if !settings.works {
        return Ok(None);
    }
    let guard = Guard::new(settings.egress.clone())
        .map_err(|error| Failure::failed("reading the authorities of egress.certificates", &error))?;
    let operations = Arc::new(engines.operations(&settings.rpc.server));
    let handlers =
        Handlers::of(&engines.forge).with_courier(Courier::new(engines.forge.clone(), operations, guard));
    let worker = Worker::new(&engines.forge, handlers, settings.jobs.clone());
    worker.start(faces);
    Ok(Some(worker))
}
