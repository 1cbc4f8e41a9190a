//! SIGHUP: the configuration is read again, so that its mistakes are told before the restart that they would break.
//! Certificates are read again then, and whenever their files change.

use crate::cli::Place;
use crate::config::{Layers, Setting};
use crate::output::chain;
use crate::rpc_client::{Files, LOOK_EVERY};
use hakata_runtime::tasks::Tasks;
use hakata_service::shutdown::Shutdown;
use hakata_service::tls::Tls;

/// Keeps the certificates of a listener those of their files, as long as `tasks` run.
pub(super) fn follow(tls: &Tls, listener: &'static str, tasks: &Tasks, shutdown: &Shutdown) {
    let on_signal = tls.clone();
    shutdown.on_reload(move || certificate(&on_signal, listener));
    let (tls, stop) = (tls.clone(), tasks.cancel_token());
    tasks.spawn("certificates", async move {
        let mut files = Files::new(tls.files().cloned());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if files.have_changed() {
                files.note();
                certificate(&tls, listener);
            }
        }
    });
}

/// Reads certificates again; those that cannot be used leave the old ones in place.
fn certificate(tls: &Tls, listener: &'static str) {
    match tls.reload() {
        Ok(()) => tracing::info!(listener, "the certificates of the listener were read again"),
        Err(error) => {
            tracing::error!(listener, error = chain(&error), "certificates read again cannot be used");
        }
    }
}

/// Reads the configuration again and logs its problems, or which keys a restart would change.
pub(super) fn reload(before: &Layers, place: &Place, flags: &[Setting]) {
    match Layers::read(place, flags) {
        Err(failure) => {
            tracing::error!(problems = %failure, "the configuration read again is wrong; nothing changed")
        }
        Ok(now) => {
            let changed = now.differences(before);
            match changed.is_empty() {
                true => tracing::info!("the configuration read again is the same"),
                false => {
                    tracing::warn!(keys = changed.join(", "), "the configuration changed; restart to use it")
                }
            }
        }
    }
}
