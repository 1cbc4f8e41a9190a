//! Finds out who is to be told of what happened.

use hakata_forge::Forge;
use hakata_forge::jobs::{Job, Outcome};

pub(super) async fn run(forge: &Forge, job: &Job) -> Outcome {
    let Some(repository) = job.repository else {
        return Outcome::Bury { why: "the job names no repository".to_owned() };
    };
    forge.fan_out_webhooks(repository).await.map_or_else(Outcome::from, |()| Outcome::Finish)
}
