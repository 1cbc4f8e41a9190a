//! The `[webhooks]` and `[egress]` tables: who is told of what happens, and what may be reached for it.

use crate::config::raw::Values;
use crate::config::settings::push_url;
use hakata_egress::{Allow, Deadlines, Ports, Resolver};
use hakata_forge::webhooks::WebhookSettings;
use hakata_runtime::secret::Secret;
use hakata_service::listener::Address;
use std::path::PathBuf;

/// Takes the values over.
pub(super) fn webhooks(values: &Values) -> WebhookSettings {
    WebhookSettings {
        base_url: push_url(values),
        ssh_url: ssh_url(values),
        seal: values.some_text("webhooks.seal").map(|text| Secret::new(text.to_owned())),
        retry_for: values.duration("webhooks.retry_for"),
        pause_after: values.duration("webhooks.pause_after"),
        keep: values.duration("webhooks.keep"),
        per_place: values.count("webhooks.per_place"),
        refs_per_push: values.count("webhooks.refs_per_push"),
        commits_per_push: values.count("webhooks.commits_per_push"),
        paths_per_push: values.count("webhooks.paths_per_push"),
        answer: values.size("webhooks.answer"),
    }
}

/// The SSH URL that people use, or the listener's.
fn ssh_url(values: &Values) -> String {
    let listener = values.address("ssh.address").as_ref().and_then(Address::tcp);
    let own = || listener.map_or_else(String::new, |address| format!("ssh://{address}"));
    values.some_text("ssh.public_url").map_or_else(own, |url| url.trim_end_matches('/').to_owned())
}

/// Takes the values over, which were checked.
pub(super) fn egress(values: &Values) -> hakata_egress::Settings {
    hakata_egress::Settings {
        allow: Allow::parse(values.list("egress.allow")).unwrap_or_default(),
        ports: Ports::parse(values.list("egress.ports")).unwrap_or_default(),
        deadlines: Deadlines {
            resolve: values.duration("egress.resolve"),
            connect: values.duration("egress.connect"),
            tls: values.duration("egress.tls"),
            total: values.duration("egress.total"),
        },
        roots: values.some_text("egress.certificates").map(PathBuf::from),
        resolver: Resolver::System,
    }
}

/// Checks what a list's items must be.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    if let Err(error) = Allow::parse(values.list("egress.allow")) {
        refuse("egress.allow", &error.to_string());
    }
    if let Err(error) = Ports::parse(values.list("egress.ports")) {
        refuse("egress.ports", &error.to_string());
    }
}
