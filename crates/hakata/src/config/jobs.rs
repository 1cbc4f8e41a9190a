//! The `[jobs]` table: how jobs are taken and run.

use crate::config::raw::Values;
use hakata_forge::jobs::Kind;
use hakata_worker::{Redis, Settings};
use std::time::Duration;

/// The least lease: renewals must have the time to arrive.
const LEAST_LEASE: Duration = Duration::from_secs(1);
/// The least pause between two questions.
const LEAST_POLL: Duration = Duration::from_millis(10);
/// The longest name of a channel, in bytes.
const MAX_CHANNEL: usize = 200;

/// Takes the values over, which were checked.
pub(super) fn new(values: &Values) -> Settings {
    let at_once = |kind: &Kind| {
        let key = match kind {
            Kind::Commits => "jobs.commits",
            Kind::DiskUsage => "jobs.disk_usage",
            Kind::Maintain => "jobs.maintain",
            Kind::LfsSweep => "jobs.lfs_sweep",
            Kind::LfsScrub => "jobs.lfs_scrub",
            Kind::FanOut => "jobs.fan_out",
            Kind::Webhook => "jobs.webhook",
            Kind::Mail => "jobs.mail",
            Kind::Mirror => "jobs.mirror",
            Kind::Import => "jobs.import",
        };
        (*kind, values.count(key))
    };
    Settings {
        node: values.get("server.node").text().to_owned(),
        at_once: Kind::ALL.iter().map(at_once).collect(),
        lease: values.duration("jobs.lease"),
        redis: values.some_text("jobs.redis").and_then(|url| Redis::parse(url).ok()),
        redis_channel: values.get("jobs.redis_channel").text().to_owned(),
        poll: values.duration("jobs.poll"),
        keep: values.duration("jobs.keep"),
        ..Settings::default()
    }
}

/// Checks that times leave room for what happens in them.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    if values.duration("jobs.lease") < LEAST_LEASE {
        refuse("jobs.lease", "must be at least 1s");
    }
    if values.duration("jobs.poll") < LEAST_POLL {
        refuse("jobs.poll", "must be at least 10ms");
    }
    if let Some(Err(error)) = values.some_text("jobs.redis").map(Redis::parse) {
        refuse("jobs.redis", &error.to_string());
    }
    let channel = values.get("jobs.redis_channel").text();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if channel.is_empty() || channel.len() > MAX_CHANNEL || !channel.chars().all(is_plain) {
        refuse(
            "jobs.redis_channel",
            "must be 1 to 200 letters, digits, dashes, underscores, dots and colons",
        );
    }
}
