//! The `[jobs]` table: how jobs are taken and run.

use crate::config::raw::Values;
use hakata_forge::jobs::Kind;
use hakata_worker::{ParseRedisError, Redis, Settings};
use std::time::Duration;

/// The least lease: renewals must have the time to arrive.
const LEAST_LEASE: Duration = Duration::from_secs(1);
/// The least pause between two questions.
const LEAST_POLL: Duration = Duration::from_millis(10);

/// Takes the values over, which were checked.
pub(super) fn new(values: &Values) -> Settings {
    let at_once = |kind: &Kind| {
        let key = match kind {
            Kind::Commits => "jobs.commits",
            Kind::DiskUsage => "jobs.disk_usage",
            Kind::Maintain => "jobs.maintain",
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
        redis: redis(values).and_then(Result::ok),
        poll: values.duration("jobs.poll"),
        keep: values.duration("jobs.keep"),
        ..Settings::default()
    }
}

/// Where processes tell each other of jobs, if that is said.
fn redis(values: &Values) -> Option<Result<Redis, ParseRedisError>> {
    let url = values.some_text("jobs.redis")?;
    Some(Redis::parse(url, values.get("jobs.redis_channel").text()))
}

/// Checks that times leave room for what happens in them.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    if values.duration("jobs.lease") < LEAST_LEASE {
        refuse("jobs.lease", "must be at least 1s");
    }
    if values.duration("jobs.poll") < LEAST_POLL {
        refuse("jobs.poll", "must be at least 10ms");
    }
    if let Some(Err(error)) = redis(values) {
        let name = match error {
            ParseRedisError::Url => "jobs.redis",
            ParseRedisError::Channel => "jobs.redis_channel",
        };
        refuse(name, &error.to_string());
    }
}
