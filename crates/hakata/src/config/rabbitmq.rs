//! The `[rabbitmq]` table: how workers are told of jobs.

use crate::config::raw::Values;
use hakata_runtime::secret::Secret;
use hakata_worker::rabbit::Settings;
use std::path::PathBuf;
use std::time::Duration;

/// The longest prefix, in bytes: AMQP's names have up to 255.
const MAX_PREFIX: usize = 100;

/// The least of all times.
const LEAST: Duration = Duration::from_secs(1);

/// Takes the values over; without a URL there is no broker.
pub(super) fn new(values: &Values) -> Settings {
    let number = |name| u32::try_from(values.count(name)).unwrap_or(u32::MAX);
    Settings {
        url: Secret::new(values.get("rabbitmq.url").text().to_owned()),
        authority: values.some_text("rabbitmq.authority").map(PathBuf::from),
        prefix: values.get("rabbitmq.prefix").text().to_owned(),
        connect: values.duration("rabbitmq.connect_timeout"),
        heartbeat: values.duration("rabbitmq.heartbeat"),
        confirm: values.duration("rabbitmq.confirm_timeout"),
        unconfirmed: values.count("rabbitmq.unconfirmed"),
        rename: values.duration("rabbitmq.rename_after"),
        events_for: values.duration("rabbitmq.events_for"),
        pause: values.duration("rabbitmq.longest_pause"),
        queue_length: number("rabbitmq.queue_length"),
        deliveries: number("rabbitmq.deliveries"),
    }
}

/// Checks what names and times must be.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    if let Some(url) = values.some_text("rabbitmq.url")
        && !["amqp://", "amqps://"].iter().any(|scheme| url.starts_with(scheme))
    {
        refuse("rabbitmq.url", "must begin with amqp:// or amqps://");
    }
    let prefix = values.get("rabbitmq.prefix").text();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if prefix.is_empty()
        || prefix.len() > MAX_PREFIX
        || !prefix.chars().all(is_plain)
        || prefix.starts_with("amq.")
    {
        refuse(
            "rabbitmq.prefix",
            "must be 1 to 100 letters, digits, dots, dashes and underscores, and not begin with amq.",
        );
    }
    for name in [
        "rabbitmq.heartbeat",
        "rabbitmq.confirm_timeout",
        "rabbitmq.connect_timeout",
        "rabbitmq.rename_after",
    ] {
        if values.duration(name) < LEAST {
            refuse(name, "must be at least 1s");
        }
    }
}
