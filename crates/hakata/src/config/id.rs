//! The `[id]` table: its settings and what must hold between its keys.

use crate::config::raw::Values;
use crate::config::value::Value;
use hakata_id::lease::redis::RedisUrl;
use hakata_id::{Layout, WorkerId, keeper, memcached, server};
use hakata_runtime::secret::Secret;
use hakata_service::listener::{Address, ConnectionLimits};
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the id server.
#[derive(Debug)]
pub(crate) struct Id {
    /// Where it listens.
    pub(crate) listen: IdListen,
    /// The mode of the Unix socket.
    pub(crate) socket_mode: u32,
    /// The bounds on connections of the memcached protocol.
    pub(crate) connections: ConnectionLimits,
    /// The layout of ids.
    pub(crate) layout: Layout,
    /// The worker id, if it is given.
    pub(crate) worker_id: Option<WorkerId>,
    /// The first worker id that may be leased, and the last.
    pub(crate) range: (WorkerId, WorkerId),
    /// Where worker ids are leased, if that is Redis.
    pub(crate) redis: Option<Secret<String>>,
    /// Whether worker ids are leased in the database: it is one that others can share, and nothing else is said.
    pub(crate) leases_in_database: bool,
    /// How the lease is kept.
    pub(crate) keeper: keeper::Settings,
    /// How long a lease lasts without renewal.
    pub(crate) ttl: Duration,
    /// How long Redis may take to answer.
    pub(crate) patience: Duration,
    /// How far ahead of time ids may be issued.
    pub(crate) borrow: Duration,
    /// How long a request waits for ids.
    pub(crate) max_wait: Duration,
    /// The memcached protocol.
    pub(crate) server: server::Settings,
}

/// Where the id server listens; `None` is off.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdListen {
    /// The memcached protocol.
    pub(crate) address: Option<Address>,
    /// The memcached protocol on a Unix socket.
    pub(crate) socket: Option<PathBuf>,
    /// HTTP.
    pub(crate) http: Option<Address>,
    /// gRPC.
    pub(crate) grpc: Option<Address>,
}

impl IdListen {
    /// Whether there is any listener.
    pub(crate) fn is_on(&self) -> bool {
        self.address.is_some() || self.socket.is_some() || self.http.is_some() || self.grpc.is_some()
    }
}

impl Id {
    /// Takes the values over, which were checked.
    pub(super) fn new(values: &Values) -> Self {
        let layout = layout(values);
        let worker_id = given(values, "id.worker_id").and_then(|n| WorkerId::new(layout, n).ok());
        let worker = |n: u64| WorkerId::new(layout, n).unwrap_or(layout.max_worker_id());
        let most = given(values, "id.max_worker_id").map_or(layout.max_worker_id(), worker);
        let redis = values.some_text("id.redis");
        let is_shared = values.some_text("database.url").is_some_and(|url| !url.starts_with("sqlite:"));
        let is_asked = worker_id.is_none() && (redis.is_some() || is_shared);
        let per_address = values.count("id.max_connections_per_address");
        Self {
            listen: IdListen {
                address: values.address("id.address"),
                socket: values.some_text("id.socket").map(PathBuf::from),
                http: values.address("id.http"),
                grpc: values.address("id.grpc"),
            },
            socket_mode: u32::from_str_radix(values.get("id.socket_mode").text(), 8).unwrap_or(0o600),
            connections: ConnectionLimits {
                all: values.count("id.max_connections"),
                // Nobody logs in here.
                strangers_per_address: per_address,
                per_address,
                exempt: Vec::new(),
            },
            layout,
            worker_id,
            range: (worker(values.count("id.min_worker_id") as u64), most),
            redis: redis.map(|url| Secret::new(url.to_owned())),
            leases_in_database: is_asked && redis.is_none(),
            keeper: keeper::Settings {
                fence_ahead: values.duration("id.fence_ahead"),
                renew_every: values.duration("id.lease_renew"),
            },
            ttl: values.duration("id.lease_ttl"),
            patience: values.duration("id.lease_patience"),
            borrow: values.duration("id.borrow"),
            max_wait: values.duration("id.max_wait"),
            server: memcached_server(values),
        }
    }
}

fn memcached_server(values: &Values) -> server::Settings {
    let size = |name| usize::try_from(values.bytes(name)).unwrap_or(usize::MAX);
    server::Settings {
        protocol: memcached::Settings {
            max_line_bytes: size("id.max_line"),
            max_keys_per_get: u32::try_from(values.count("id.max_keys_per_get")).unwrap_or(u32::MAX),
            max_unsent_bytes: size("id.max_unsent"),
            // Known when it is bound.
            http: None,
        },
        idle_timeout: Some(values.duration("id.idle_timeout")).filter(|idle| !idle.is_zero()),
    }
}

fn layout(values: &Values) -> Layout {
    match values.get("id.layout").text() {
        "js-safe" => Layout::JsSafe,
        _ => Layout::Standard,
    }
}

/// A number that may be left to us.
fn given(values: &Values, name: &'static str) -> Option<u64> {
    match values.get(name) {
        Value::Count(count) => *count,
        _ => None,
    }
}

/// Checks what must hold between the keys of the table.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    let layout = layout(values);
    for name in ["id.worker_id", "id.min_worker_id", "id.max_worker_id"] {
        if let Some(error) = given(values, name).and_then(|n| WorkerId::new(layout, n).err()) {
            refuse(name, &format!("{error}, the range of the layout {layout}", layout = layout.as_str()));
        }
    }
    if let (Some(least), Some(most)) = (given(values, "id.min_worker_id"), given(values, "id.max_worker_id"))
        && least > most
    {
        refuse("id.max_worker_id", "is less than id.min_worker_id");
    }
    if let Some(error) = values.some_text("id.redis").and_then(|url| RedisUrl::parse(url).err()) {
        refuse("id.redis", &error.to_string());
    }
    let settings = Id::new(values);
    let keeper::Settings { fence_ahead, renew_every } = settings.keeper;
    let two_renewals = renew_every.saturating_mul(2);
    if renew_every.is_zero() || two_renewals > fence_ahead {
        refuse("id.lease_renew", "must be above 0s, and half of id.fence_ahead at most");
    }
    // What is borrowed never reaches the fence then, even if a renewal comes late: borrowing costs nobody an id.
    if settings.borrow > fence_ahead.saturating_sub(two_renewals) {
        refuse("id.borrow", "must be at most id.fence_ahead less twice id.lease_renew");
    }
    if settings.ttl < two_renewals {
        refuse("id.lease_ttl", "must be at least twice id.lease_renew");
    }
    if settings.patience.is_zero() {
        refuse("id.lease_patience", "must be above 0s");
    }
    for name in ["id.max_line", "id.max_unsent"] {
        if values.bytes(name) < memcached::MAX_COMMAND_BYTES as u64 {
            refuse(name, "must be at least 2KiB");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::{Setting, Sources};

    fn values(line: &str) -> Values {
        let flag = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap();
            Setting { key: format!("id.{key}"), value: value.to_owned(), flag: "--set" }
        };
        let flags = line.split_whitespace().map(flag).collect();
        Values::read(&Sources { flags, ..Sources::default() }).unwrap()
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (line, wanted) in [
            ("", ""),
            ("worker_id=0", ""),
            ("worker_id=64", ""),
            ("worker_id=64 layout=js-safe", "id.worker_id: worker id 64 is not in 0..=63"),
            ("min_worker_id=9 max_worker_id=9", ""),
            ("min_worker_id=9 max_worker_id=8", "id.max_worker_id: is less than"),
            ("redis=redis://h/1?ns=x", ""),
            ("redis=rediscluster://h", "id.redis: a Redis cluster"),
            ("lease_renew=0s", "id.lease_renew: "),
            ("lease_renew=5s fence_ahead=10s", ""),
            ("lease_renew=6s fence_ahead=10s", "id.lease_renew: "),
            ("lease_renew=2s", "id.lease_renew: "),
            ("borrow=1s", ""),
            ("borrow=1001ms", "id.borrow: "),
            ("borrow=1s lease_renew=5s fence_ahead=10s", "id.borrow: "),
            ("lease_ttl=1s", "id.lease_ttl: "),
            ("lease_patience=0s", "id.lease_patience: "),
            ("max_line=2047B", "id.max_line: "),
            ("max_unsent=1B", "id.max_unsent: "),
        ] {
            let mut found = String::new();
            check(&values(line), &mut |name, message| found.push_str(&format!("{name}: {message}\n")));
            assert!(found.starts_with(wanted) && found.is_empty() == wanted.is_empty(), "{line}: {found:?}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_crate() {
        let ours = Id::new(&values(""));
        assert_eq!(ours.server, server::Settings::default());
        assert!(!ours.listen.is_on() && ours.range.1 == Layout::Standard.max_worker_id());
        let given = Id::new(&values("worker_id=5 idle_timeout=0s"));
        assert_eq!((given.keeper.fence_ahead, given.server.idle_timeout), (Duration::from_secs(3), None));
    }
}
