//! From values to the settings of every part. Each key is used here, and nowhere else.

use crate::config::id::Id;
use crate::config::jobs;
use crate::config::raw::{Origin, Values};
use crate::config::rpc::Rpc;
use crate::config::rpc_client::RpcClient;
use crate::config::storage::{self, Storage};
use crate::config::value::Value;
use hakata_names::ObjectFormat;
use hakata_runtime::units::ByteSize;
use hakata_service::listener::{self, Address, ConnectionLimits, Network};
use hakata_service::stream::Patience;
use hakata_service::tls;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All settings of a process.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The process itself.
    pub(crate) server: Server,
    /// The listeners: HTTP, SSH, admin; `None` is off.
    pub(crate) listen: Listen,
    /// What people are told to connect to, where it differs from the listeners.
    pub(crate) public: Public,
    /// The sockets.
    pub(crate) sockets: listener::Settings,
    /// The bounds on connections.
    pub(crate) connections: ConnectionLimits,
    /// The HTTP protocol.
    pub(crate) http: hakata_service::http::Settings,
    /// The certificate of the HTTP listener, if it speaks TLS.
    pub(crate) tls: Option<tls::Config>,
    /// Git over HTTP.
    pub(crate) smart_http: hakata_smart_http::Settings,
    /// Git LFS over HTTP.
    pub(crate) lfs: hakata_lfs::Settings,
    /// Git over SSH.
    pub(crate) ssh: hakata_ssh::Settings,
    /// The database, where it is not SQLite in the data directory.
    pub(crate) database: hakata_store::Settings,
    /// Where packs are kept.
    pub(crate) storage: Storage,
    /// git.
    pub(crate) git: hakata_git::Settings,
    /// Repositories and their caches.
    pub(crate) repository: hakata_repository::Settings,
    /// Policy.
    pub(crate) forge: hakata_forge::Settings,
    /// Whether this process works at jobs.
    pub(crate) works: bool,
    /// Jobs.
    pub(crate) jobs: hakata_worker::Settings,
    /// The broker that names jobs to workers; without a URL there is none.
    pub(crate) rabbitmq: hakata_worker::rabbit::Settings,
    /// The way to URLs of strangers.
    pub(crate) egress: hakata_egress::Settings,
    /// The id server.
    pub(crate) id: Id,
    /// The repository service.
    pub(crate) rpc: Rpc,
    /// Whom to ask about repositories.
    pub(crate) rpc_client: RpcClient,
    /// Log lines.
    pub(crate) log: Log,
}

/// The process itself.
#[derive(Debug)]
pub(crate) struct Server {
    /// The data directory as written.
    pub(crate) data: PathBuf,
    /// How long a drain may take.
    pub(crate) drain: Duration,
    /// Threads that serve.
    pub(crate) threads: usize,
    /// Threads for blocking work.
    pub(crate) blocking_threads: usize,
}

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    /// Git over HTTP.
    pub(crate) http: Option<Address>,
    /// Git over SSH.
    pub(crate) ssh: Option<Address>,
    /// Metrics and health.
    pub(crate) admin: Option<Address>,
    /// Whether somebody chose the address for metrics and health.
    pub(crate) is_admin_chosen: bool,
}

/// What people are told to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Public {
    /// `https://git.example.org`
    pub(crate) http: Option<String>,
    /// `ssh://git.example.org`
    pub(crate) ssh: Option<String>,
}

/// How log lines are written, and which.
#[derive(Debug)]
pub(crate) struct Log {
    /// As JSON instead of text.
    pub(crate) json: bool,
    /// Levels by target.
    pub(crate) level: String,
    /// Bytes of lines that wait to be written.
    pub(crate) buffer: ByteSize,
}

impl Settings {
    /// Takes the values over; `data` is the data directory, made absolute.
    pub(crate) fn new(values: &Values, data: &Path) -> Self {
        Self {
            server: server(values),
            listen: Listen {
                http: values.address("http.address"),
                ssh: values.address("ssh.address"),
                admin: values.address("admin.address"),
                is_admin_chosen: !matches!(values.origin("admin.address"), Origin::Default),
            },
            public: Public { http: public(values, "http.public_url"), ssh: public(values, "ssh.public_url") },
            sockets: sockets(values),
            connections: connections(values),
            http: http(values),
            tls: tls(values),
            smart_http: smart_http(values),
            lfs: crate::config::lfs::face(values),
            ssh: ssh(values),
            database: database(values, data),
            storage: storage::new(values, data),
            git: git(values, data),
            repository: repository(values, data),
            forge: forge(values, data),
            works: values.flag("jobs.run"),
            jobs: jobs::new(values),
            rabbitmq: crate::config::rabbitmq::new(values),
            egress: crate::config::webhooks::egress(values),
            id: Id::new(values),
            rpc: Rpc::new(values),
            rpc_client: RpcClient::new(values),
            log: Log {
                json: values.get("log.format").text() == "json",
                level: values.get("log.level").text().to_owned(),
                buffer: values.size("log.buffer"),
            },
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn public(values: &Values, name: &'static str) -> Option<String> {
    values.some_text(name).map(|url| url.trim_end_matches('/').to_owned())
}

fn server(values: &Values) -> Server {
    Server {
        data: PathBuf::from(values.get("server.data").text()),
        drain: values.duration("server.drain"),
        threads: values.count_or("server.threads", cores()),
        blocking_threads: values.count_or("server.blocking_threads", (4 * cores()).max(8)),
    }
}

fn sockets(values: &Values) -> listener::Settings {
    let backlog = i32::try_from(values.count("connections.backlog")).unwrap_or(i32::MAX);
    let stall = values.duration("connections.write_stall");
    let keepalive = values.duration("connections.keepalive");
    listener::Settings { backlog, keepalive, user_timeout: stall, ..listener::Settings::default() }
}

fn connections(values: &Values) -> ConnectionLimits {
    ConnectionLimits {
        all: values.count("connections.total"),
        strangers_per_address: values.count("connections.per_address"),
        per_address: values.count("connections.per_address_total"),
        exempt: proxies(values),
    }
}

fn patience(values: &Values) -> Patience {
    Patience {
        stall: values.duration("connections.write_stall"),
        min_rate: values.bytes("connections.write_rate"),
        window: values.duration("connections.write_window"),
    }
}

fn proxies(values: &Values) -> Vec<Network> {
    values.list("http.trusted_proxies").iter().filter_map(|network| network.parse().ok()).collect()
}

fn http(values: &Values) -> hakata_service::http::Settings {
    hakata_service::http::Settings {
        header: values.duration("http.header_timeout"),
        idle: values.duration("connections.idle_timeout"),
        patience: patience(values),
        half_closed: values.duration("http.half_closed"),
        body_grace: values.duration("http.body_grace"),
        body_min_rate: values.bytes("http.body_rate"),
        body_stall: values.duration("http.body_stall"),
        max_head_bytes: u32::try_from(values.bytes("http.head")).unwrap_or(u32::MAX),
        max_body_bytes: values.bytes("http.body"),
        max_streams: u32::try_from(values.count("http.streams")).unwrap_or(u32::MAX),
        trusted_proxies: proxies(values),
        secret_prefix: hakata_forge::auth::TOKEN_PREFIX,
    }
}

fn tls(values: &Values) -> Option<tls::Config> {
    let (certificate, key) = (values.some_text("http.tls_certificate")?, values.some_text("http.tls_key")?);
    Some(tls::Config { certificate: certificate.into(), key: key.into(), client_authority: None })
}

fn smart_http(values: &Values) -> hakata_smart_http::Settings {
    hakata_smart_http::Settings {
        max_fetch_request: values.size("http.fetch_request"),
        max_inflate_ratio: values.count("http.inflate_ratio") as u64,
        max_discard: values.size("http.discard"),
        discard_time: values.duration("http.discard_time"),
    }
}

fn ssh(values: &Values) -> hakata_ssh::Settings {
    hakata_ssh::Settings {
        handshake: values.duration("ssh.login_timeout"),
        idle: values.duration("ssh.idle_timeout"),
        patience: patience(values),
        keepalive: values.duration("ssh.keepalive"),
        keepalive_max: values.count("ssh.keepalive_tries"),
        login_attempts: values.count("ssh.login_attempts"),
        channels: values.count("ssh.channels"),
        ..hakata_ssh::Settings::default()
    }
}

fn database(values: &Values, data: &Path) -> hakata_store::Settings {
    let sqlite = || format!("sqlite://{}", data.join(crate::data_dir::DATABASE).display());
    let url = values.some_text("database.url").map_or_else(sqlite, str::to_owned);
    hakata_store::Settings {
        max_connections: u32::try_from(values.count("database.connections")).unwrap_or(u32::MAX),
        acquire_timeout: values.duration("database.acquire_timeout"),
        lock_timeout: values.duration("database.lock_timeout"),
        ..hakata_store::Settings::new(url)
    }
}

fn git(values: &Values, data: &Path) -> hakata_git::Settings {
    let budget = |memory, cpu, wall| hakata_git::Budget {
        memory_bytes: Some(values.bytes(memory)).filter(|bytes| *bytes > 0),
        cpu: Some(values.duration(cpu)).filter(|cpu| !cpu.is_zero()),
        wall: Some(values.duration(wall)).filter(|wall| !wall.is_zero()),
    };
    let defaults = hakata_git::Settings::new(data.join("scratch"));
    hakata_git::Settings {
        binary: PathBuf::from(values.get("git.binary").text()),
        max_children: values.count_or("git.children", (8 * cores()).max(32)),
        max_children_per_repository: values.count_or("git.children_per_repository", (4 * cores()).max(16)),
        max_waiting: values.count("git.queue"),
        wait: values.duration("git.wait"),
        budgets: hakata_git::Budgets {
            fetch: budget("git.fetch_memory", "git.fetch_cpu", "git.fetch_time"),
            index: budget("git.index_memory", "git.index_cpu", "git.index_time"),
            question: budget("git.question_memory", "git.question_cpu", "git.question_time"),
            maintenance: defaults.budgets.maintenance,
        },
        pack_threads: values.count_or("git.pack_threads", defaults.pack_threads),
        pack_window_memory_bytes: values.bytes("git.pack_window_memory"),
        big_file_threshold_bytes: values.bytes("git.big_file"),
        max_open_repositories: values.count("git.open_repositories"),
        max_merging: values.count_or("git.merging", defaults.max_merging),
        merging_idle: values.duration("git.merging_idle"),
        kept_merges_bytes: values.bytes("git.kept_merges"),
        object_cache_bytes: usize::try_from(values.bytes("git.object_cache")).unwrap_or(usize::MAX),
        in_process_file_bytes: values.bytes("git.in_process_file"),
        in_process_renames: values.count("git.in_process_renames"),
        diff_threads: values.count_or("git.diff_threads", defaults.diff_threads),
        ..defaults
    }
}

fn repository(values: &Values, data: &Path) -> hakata_repository::Settings {
    hakata_repository::Settings {
        node: values.get("server.node").text().to_owned(),
        push_url: push_url(values),
        max_quarantines: values.count("limits.quarantines"),
        snapshot_bytes: values.bytes("cache.snapshots"),
        cache_bytes: Some(values.bytes("cache.directories")).filter(|bytes| *bytes > 0),
        cache_idle: values.duration("cache.directory_idle"),
        inline_bytes: values.bytes("repositories.inline_pack"),
        max_loose_refs: values.count("cache.loose_refs"),
        derive_after: values.duration("cache.derive_after"),
        derive_rest: u32::try_from(values.count("cache.derive_rest")).unwrap_or(u32::MAX),
        max_derivations: values.count("cache.derivations"),
        staged_age: values.duration("repositories.staged_age"),
        sweep_every: values.duration("repositories.sweep_every"),
        dead_age: values.duration("repositories.dead_age"),
        restore_for: values.duration("repositories.restore_for"),
        compact_packs: values.count("repositories.compact_packs"),
        recent_tips: values.duration("repositories.recent_tips"),
        ..hakata_repository::Settings::new(data)
    }
}

/// Where people push, as far as it is known before the listeners are bound.
pub(super) fn push_url(values: &Values) -> String {
    let fixed =
        |name| values.address(name).filter(|address| address.tcp().is_some_and(|tcp| tcp.port() != 0));
    let scheme = if tls(values).is_some() { "https" } else { "http" };
    let http = || {
        public(values, "http.public_url").or_else(|| Some(format!("{scheme}://{}", fixed("http.address")?)))
    };
    let ssh =
        || public(values, "ssh.public_url").or_else(|| Some(format!("ssh://{}", fixed("ssh.address")?)));
    http().or_else(ssh).unwrap_or_else(|| "the server".to_owned())
}

fn forge(values: &Values, data: &Path) -> hakata_forge::Settings {
    let format = ObjectFormat::from_name(values.get("repositories.object_format").text());
    hakata_forge::Settings {
        max_pack: values.size("limits.pack_size"),
        max_object: values.size("limits.object_size"),
        repository_quota: values.size("limits.repository_size"),
        max_refs_per_push: values.count("limits.push_refs"),
        max_refs_per_repository: values.count("limits.repository_refs"),
        password_tries_per_minute: u32::try_from(values.count("auth.password_tries")).unwrap_or(u32::MAX),
        passwords_at_once: values.count("auth.passwords_at_once"),
        login_cache_for: values.duration("auth.login_cache"),
        pushes_at_once: values.count("limits.pushes"),
        pushes_per_repository: values.count("limits.repository_pushes"),
        transfers_per_client: values.count("limits.client_transfers"),
        push_time: values.duration("limits.push_time"),
        default_branch: values.get("repositories.default_branch").text().to_owned(),
        default_object_format: format.unwrap_or(ObjectFormat::Sha1),
        push_to_create: values.flag("repositories.push_to_create"),
        restore_for: values.duration("repositories.restore_for"),
        import_root: values.some_text("repositories.import_root").map(PathBuf::from),
        lfs: crate::config::lfs::policy(values),
        webhooks: crate::config::webhooks::webhooks(values),
        mirrors: crate::config::mirrors::new(values),
        mail: crate::config::mail::mail(values, data),
    }
}

/// Values by the type that a part wants; a key of another kind gives the type's zero, which the test of all keys finds.
impl Values {
    /// Gives a count; zero for auto.
    pub(super) fn count(&self, name: &'static str) -> usize {
        self.count_or(name, 0)
    }

    pub(super) fn count_or(&self, name: &'static str, auto: usize) -> usize {
        match self.get(name) {
            Value::Count(Some(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            _ => auto,
        }
    }

    /// Gives a size.
    pub(super) fn size(&self, name: &'static str) -> ByteSize {
        match self.get(name) {
            Value::Size(size) => *size,
            _ => ByteSize::default(),
        }
    }

    /// Gives a size in bytes.
    pub(super) fn bytes(&self, name: &'static str) -> u64 {
        self.size(name).bytes()
    }

    /// Gives a time.
    pub(super) fn duration(&self, name: &'static str) -> Duration {
        match self.get(name) {
            Value::Span(span) => span.duration(),
            _ => Duration::ZERO,
        }
    }

    /// Gives a flag.
    pub(super) fn flag(&self, name: &'static str) -> bool {
        *self.get(name) == Value::Flag(true)
    }

    /// Gives an address; `None` is off.
    pub(super) fn address(&self, name: &'static str) -> Option<Address> {
        match self.get(name) {
            Value::Address(address) => address.clone(),
            _ => None,
        }
    }

    /// Gives a text, if it is not empty.
    pub(super) fn some_text(&self, name: &'static str) -> Option<&str> {
        Some(self.get(name).text()).filter(|text| !text.is_empty())
    }

    /// Gives a list.
    pub(super) fn list(&self, name: &'static str) -> &[String] {
        match self.get(name) {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;
    use crate::config::raw::{Setting, Sources};
    use crate::config::value::Kind;

    fn debugged(flags: Vec<Setting>) -> String {
        let values = Values::read(&Sources { flags, ..Sources::default() }).unwrap();
        format!("{:?}", Settings::new(&values, Path::new("/data")))
    }

    #[test]
    fn every_key_changes_a_setting() {
        let before = debugged(Vec::new());
        // Two keys have an effect only together.
        let is_alone = |key: &&keys::Key| !key.secret && !key.name.contains(".tls_");
        for key in keys::all().filter(is_alone) {
            let other = match key.kind {
                Kind::Text if key.name == "rpc.import_from" => "https://other/",
                Kind::Text if key.name == "mail.from" => "other@example.org",
                Kind::Text => "ssh://other",
                Kind::Path => "/other",
                Kind::Address => "127.9.9.9:99",
                Kind::Count { .. } | Kind::AutoCount { .. } => "77",
                Kind::Size => "77B",
                Kind::Span => "77s",
                Kind::Flag => "false",
                Kind::Choice(words) => words[1],
                Kind::List if key.name == "egress.ports" => "77",
                Kind::List => "192.0.2.0/24",
                Kind::Routes => "diff=grpc",
                Kind::Canaries => "diff=grpc:1",
            };
            let flag = Setting { key: key.name.to_owned(), value: other.to_owned(), flag: "--set" };
            assert_ne!(debugged(vec![flag]), before, "{} has an effect", key.name);
        }
    }

    #[test]
    fn the_example_unit_outlasts_a_drain() {
        let unit = include_str!("../../../../deploy/hakata.service");
        let patience = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
        let drain = server(&Values::read(&Sources::default()).unwrap()).drain.as_secs();
        assert!(patience.parse::<u64>().unwrap() >= drain + 20, "{patience} s for a drain of {drain} s");
    }

    #[test]
    fn people_are_sent_to_the_scheme_that_is_spoken() {
        let flag = |key: &str| Setting { key: key.to_owned(), value: "/x.pem".to_owned(), flag: "--set" };
        let flags = vec![flag("http.tls_certificate"), flag("http.tls_key")];
        let values = Values::read(&Sources { flags, ..Sources::default() }).unwrap();
        assert_eq!(push_url(&values), "https://127.0.0.1:3000");
    }

    #[test]
    fn defaults_are_those_of_the_parts() {
        let values = Values::read(&Sources::default()).unwrap();
        let ours = Settings::new(&values, Path::new("/data"));
        let same = |ours: String, theirs: String| assert_eq!(ours, theirs, "the table and the crate agree");
        let mail = hakata_forge::mail::MailSettings { folder: "/data/mail".into(), ..Default::default() };
        let forge = hakata_forge::Settings { mail, ..Default::default() };
        same(format!("{:?}", ours.forge), format!("{forge:?}"));
        same(format!("{:?}", ours.ssh), format!("{:?}", hakata_ssh::Settings::default()));
        same(format!("{:?}", ours.smart_http), format!("{:?}", hakata_smart_http::Settings::default()));
        same(format!("{:?}", ours.lfs), format!("{:?}", hakata_lfs::Settings::default()));
        let secret_prefix = hakata_forge::auth::TOKEN_PREFIX;
        let http = hakata_service::http::Settings { secret_prefix, ..Default::default() };
        same(format!("{:?}", ours.http), format!("{http:?}"));
        let push_url = "http://127.0.0.1:3000".to_owned();
        let repository =
            hakata_repository::Settings { push_url, ..hakata_repository::Settings::new("/data") };
        same(format!("{:?}", ours.repository), format!("{repository:?}"));
        same(format!("{:?}", ours.storage.s3), format!("{:?}", hakata_blob::S3Settings::default()));
        same(format!("{:?}", ours.jobs), format!("{:?}", hakata_worker::Settings::default()));
        same(format!("{:?}", ours.connections), format!("{:?}", ConnectionLimits::default()));
        same(format!("{:?}", ours.git.budgets), format!("{:?}", hakata_git::Budgets::default()));
    }
}
