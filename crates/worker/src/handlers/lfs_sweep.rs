//! Collects LFS objects of a repository that no commit points to.

use hakata_forge::Forge;
use hakata_forge::jobs::{Job, Outcome};

pub(super) async fn run(forge: &Forge, job: &Job) -> Outcome {
    let Some(repository) = job.repository else {
        return Outcome::Bury { why: "names no repository".to_owned() };
    };
    match forge.collect_lfs(repository).await {
        Ok(()) => Outcome::Finish,
        Err(error) => error.into(),
    }
}
