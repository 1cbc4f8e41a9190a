//! Registers the commits that a push brought.

use hakata_forge::Forge;
use hakata_forge::jobs::{Job, Outcome};

pub(super) async fn run(forge: &Forge, job: &Job) -> Outcome {
    let (Some(repository), Some(event)) = (job.repository, job.event) else {
        return Outcome::Bury { why: "names no repository, or no event".to_owned() };
    };
    match forge.register_commits(repository, event).await {
        Ok(()) => Outcome::Finish,
        Err(error) => error.into(),
    }
}
