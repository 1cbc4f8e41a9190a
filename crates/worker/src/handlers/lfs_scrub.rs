//! Reads the bytes of LFS objects again.

use hakata_forge::Forge;
use hakata_forge::jobs::Outcome;

pub(super) async fn run(forge: &Forge) -> Outcome {
    match forge.scrub_lfs().await {
        Ok(()) => Outcome::Finish,
        Err(error) => error.into(),
    }
}
