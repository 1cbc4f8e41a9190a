//! The worker beside the other faces, or alone.

use crate::compose::Engines;
use crate::config::Settings;
use hakata_runtime::tasks::Tasks;
use hakata_worker::{Handlers, Worker};

/// Tells other processes of jobs, and begins to work at them if this process does; `faces` owns what runs.
pub(super) fn start(settings: &Settings, engines: &Engines, faces: &Tasks) -> Option<Worker> {
    hakata_worker::announce(&engines.forge, faces);
    if !settings.works {
        return None;
    }
    let worker = Worker::new(&engines.forge, Handlers::of(&engines.forge), settings.jobs.clone());
    worker.start(faces);
    Some(worker)
}
