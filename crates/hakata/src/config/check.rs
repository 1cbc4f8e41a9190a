//! The checks that a key's kind alone cannot make.

use crate::config::raw::{Problem, Values};
use hakata_names::RefName;
use hakata_service::listener::{Address, Network};
use std::time::Duration;

/// Schemes of database URLs.
const DATABASE_SCHEMES: [&str; 5] = ["sqlite:", "postgres://", "postgresql://", "mysql://", "mariadb://"];

/// The least age of what is swept, and time between sweeps: below, pushes under way would lose their packs.
const LEAST_SWEEP: Duration = Duration::from_secs(1);

/// Checks what depends on the meaning of values.
///
/// # Errors
/// Every problem found.
pub(crate) fn check(values: &Values) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut refuse = |name: &'static str, message: &str| {
        let message = format!("{name}: {message}");
        problems.push(Problem { origin: values.origin(name).clone(), message });
    };
    if values.get("server.data").text().is_empty() {
        refuse("server.data", "must name a directory");
    }
    crate::config::storage::check(values, &mut refuse);
    check_sweeps(values, &mut refuse);
    if let Some(url) = values.some_text("database.url")
        && !DATABASE_SCHEMES.iter().any(|scheme| url.starts_with(scheme))
    {
        refuse("database.url", "must begin with sqlite:, postgres:// or mysql://");
    }
    for (name, schemes) in
        [("http.public_url", &["http://", "https://"][..]), ("ssh.public_url", &["ssh://"][..])]
    {
        if let Some(url) = values.some_text(name)
            && !schemes.iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
        {
            refuse(name, &format!("must begin with {}", schemes.join(" or ")));
        }
    }
    for proxy in values.list("http.trusted_proxies") {
        if proxy.parse::<Network>().is_err() {
            refuse(
                "http.trusted_proxies",
                &format!("{proxy:?} is not an address or a network such as 10.0.0.0/8"),
            );
        }
    }
    check_listeners(values, &mut refuse);
    let branch = format!("refs/heads/{}", values.get("repositories.default_branch").text());
    if RefName::parse(branch.as_bytes()).is_err() {
        refuse("repositories.default_branch", "is not a name that a branch can have");
    }
    if let Some(part) = values.get("log.level").text().split(',').find(|part| !is_log_filter(part.trim())) {
        refuse("log.level", &format!("{part:?} is not a level, nor TARGET=LEVEL"));
    }
    let tls = ["http.tls_certificate", "http.tls_key"];
    if let [Some(_), None] | [None, Some(_)] = tls.map(|name| values.some_text(name)) {
        let alone = if values.some_text(tls[0]).is_some() { tls[0] } else { tls[1] };
        refuse(alone, "needs the other of http.tls_certificate and http.tls_key");
    }
    if values.bytes("limits.object_size") > values.bytes("limits.pack_size") {
        refuse("limits.object_size", "is larger than limits.pack_size, so it could never be reached");
    }
    crate::config::id::check(values, &mut refuse);
    crate::config::rpc::check(values, &mut refuse);
    crate::config::lfs::check(values, &mut refuse);
    crate::config::jobs::check(values, &mut refuse);
    crate::config::rabbitmq::check(values, &mut refuse);
    crate::config::webhooks::check(values, &mut refuse);
    crate::config::mail::check(values, &mut refuse);
    crate::config::rpc_client::check(values, &mut problems);
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems),
    }
}

/// Checks that no two listeners want the same place.
fn check_listeners(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    const LISTENERS: [&str; 8] = [
        "http.address",
        "ssh.address",
        "admin.address",
        "id.address",
        "id.http",
        "id.grpc",
        "rpc.grpc",
        "rpc.msgpack",
    ];
    for (n, name) in LISTENERS.into_iter().enumerate() {
        let address = taken(values, name);
        if let Some(other) =
            LISTENERS[..n].iter().find(|other| address.is_some() && taken(values, other) == address)
        {
            refuse(name, &format!("is the same address as {other}"));
        }
    }
}

/// Checks when packs are swept, and how long work on whole repositories may take.
fn check_sweeps(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    for name in [
        "repositories.staged_age",
        "repositories.sweep_every",
        "repositories.dead_age",
        "repositories.restore_for",
        "repositories.import_time",
        "mirrors.time",
    ] {
        if values.duration(name) < LEAST_SWEEP {
            refuse(name, "must be at least 1s");
        }
    }
}

/// Whether a part of a log filter makes sense; those about spans are left to the log itself.
fn is_log_filter(part: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
    part.contains('[') || LEVELS.contains(&level.to_ascii_lowercase().as_str())
}

/// The address that a listener takes, unless it is off or any free port.
fn taken(values: &Values, name: &'static str) -> Option<Address> {
    values.address(name).filter(|address| address.tcp().is_none_or(|address| address.port() != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::{Setting, Sources};

    #[test]
    fn meaning_is_checked_and_reported_with_its_origin() {
        let flag = |key: &str, value: &str| Setting { key: key.into(), value: value.into(), flag: "--set" };
        let flags = vec![
            flag("server.data", ""),
            flag("database.url", "oracle://x"),
            flag("http.public_url", "git.example.org"),
            flag("limits.object_size", "3GiB"),
            flag("http.trusted_proxies", "10.0.0.0/8,proxy"),
            flag("ssh.address", "127.0.0.1:3000"),
            flag("repositories.default_branch", "a..b"),
            flag("log.level", "info,hakata_git=loud"),
            flag("http.tls_key", "key.pem"),
            flag("storage.blobs", ""),
            flag("repositories.staged_age", "999ms"),
            flag("repositories.sweep_every", "0s"),
            flag("repositories.dead_age", "1ms"),
            flag("repositories.restore_for", "0s"),
            flag("repositories.import_time", "0s"),
            flag("mirrors.time", "1ms"),
            flag("egress.allow", "10.0.0.0/8,10.0.0.0/33"),
            flag("egress.ports", "https"),
            flag("mail.transport", "smtp"),
            flag("mail.from", "nobody"),
            flag("mail.host", ""),
            flag("mail.user", "hakata"),
            flag("mail.tls", "none"),
            flag("mail.timeout", "1h"),
            flag("rabbitmq.url", "http://broker"),
            flag("rabbitmq.prefix", "a b"),
            flag("rabbitmq.heartbeat", "10ms"),
            flag("lfs.object_size", "17GiB"),
            flag("lfs.dead_age", "0s"),
            flag("lfs.gc_grace", "1h"),
            flag("lfs.scrub_rate", "1B"),
            flag("storage.moving", "to_bucket"),
        ];
        let values = Values::read(&Sources { flags, ..Sources::default() }).unwrap();
        let problems = check(&values).unwrap_err();
        assert_eq!(problems.len(), 31, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.to_string().starts_with("flag --set: ")));
        check(&Values::read(&Sources::default()).unwrap()).unwrap();
    }
}
