//! The `[rpc]` table: where the repository service listens, and its bounds.

use crate::config::raw::Values;
use crate::config::value::Value;
use hakata_rpc_server::{ImportSource, SpoolBounds};
use hakata_runtime::secret::Secret;
use hakata_service::listener::Address;
use hakata_service::tls;
use std::path::{Path, PathBuf};

/// The settings of the repository service.
#[derive(Debug)]
pub(crate) struct Rpc {
    /// Where it listens over gRPC; `None` is off.
    pub(crate) grpc: Option<Address>,
    /// Where it listens over MessagePack-RPC; `None` is off.
    pub(crate) msgpack: Option<Address>,
    /// The tokens that open both.
    pub(crate) tokens: Vec<Secret<String>>,
    /// The certificates of both, if they speak TLS.
    pub(crate) tls: Option<tls::Config>,
    /// The names in certificates of callers that need no token.
    pub(crate) client_names: Vec<String>,
    /// Whether everything beyond this machine must be TLS.
    pub(crate) require_tls: bool,
    /// The bounds of calls.
    pub(crate) server: hakata_rpc_server::Settings,
}

impl Rpc {
    /// Takes the values over, which were checked.
    pub(super) fn new(values: &Values) -> Self {
        let size = |name| usize::try_from(values.bytes(name)).unwrap_or(usize::MAX);
        Self {
            grpc: values.address("rpc.grpc"),
            msgpack: values.address("rpc.msgpack"),
            tokens: tokens(values).map(|token| Secret::new(token.to_owned())).collect(),
            tls: tls(values),
            client_names: values.list("rpc.tls_client_names").to_vec(),
            require_tls: *values.get("rpc.require_tls") == Value::Flag(true),
            server: hakata_rpc_server::Settings {
                max_request_bytes: size("rpc.request"),
                max_answer_bytes: size("rpc.answer"),
                max_call: values.duration("rpc.call_time"),
                max_in_flight: values.count("rpc.in_flight"),
                login: values.duration("rpc.login_timeout"),
                idle: values.duration("rpc.idle_timeout"),
                max_kept: values.count("rpc.kept_answers"),
                kept_life: values.duration("rpc.kept_time"),
                limits: hakata_rpc_server::Limits {
                    changes: values.count("rpc.changes"),
                    suggested_file_bytes: values.bytes("rpc.suggested_file"),
                    commits: values.count("rpc.commits"),
                    refs: values.count("rpc.refs"),
                    pairs: values.count("rpc.pairs"),
                    objects: values.count("rpc.objects"),
                    names: values.count("rpc.names"),
                    found_files: values.count("rpc.found_files"),
                    found_lines: values.count("rpc.found_lines"),
                    found_lines_per_file: u32::try_from(values.count("rpc.found_lines_per_file"))
                        .unwrap_or(u32::MAX),
                    followed: values.count("rpc.followed"),
                },
                max_made_bytes: values.bytes("rpc.made_size"),
                max_made_objects: values.count("rpc.made_objects"),
                max_upload_bytes: values.bytes("rpc.upload_size"),
                max_uploads_bytes: values.bytes("rpc.uploads"),
                last_commits_bytes: values.bytes("rpc.last_commits"),
                tips_bytes: values.bytes("rpc.tips"),
                import_from: sources(values).filter_map(Result::ok).collect(),
                max_import_bytes: values.bytes("rpc.import_size"),
                max_long_call: values.duration("rpc.long_call_time"),
                spool: SpoolBounds {
                    dir: Path::new(values.get("server.data").text()).join("spool"),
                    max_bytes: values.bytes("rpc.spool"),
                    max_files: values.count("rpc.spooled_answers"),
                    life: values.duration("rpc.spool_time"),
                },
            },
        }
    }

    /// Whether there is any listener.
    pub(crate) fn is_on(&self) -> bool {
        self.grpc.is_some() || self.msgpack.is_some()
    }
}

fn tls(values: &Values) -> Option<tls::Config> {
    let path = |name| values.some_text(name).map(PathBuf::from);
    Some(tls::Config {
        certificate: path("rpc.tls_certificate")?,
        key: path("rpc.tls_key")?,
        client_authority: path("rpc.tls_client_authority"),
    })
}

fn tokens(values: &Values) -> impl Iterator<Item = &str> {
    values.get("rpc.tokens").text().split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// Reads the addresses that may be imported from.
fn sources(values: &Values) -> impl Iterator<Item = Result<ImportSource, String>> {
    let sources = values.get("rpc.import_from").text().split(',').map(str::trim);
    sources.filter(|source| !source.is_empty()).map(ImportSource::parse)
}

/// The fewest characters of a token that nobody guesses.
const LEAST_TOKEN: usize = 16;

/// Checks what must hold between the keys: nobody listens without asking for a token.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    for name in ["rpc.grpc", "rpc.msgpack"] {
        let Some(address) = values.address(name) else { continue };
        if tokens(values).next().is_none() && values.list("rpc.tls_client_names").is_empty() {
            refuse(
                name,
                "needs rpc.tokens, or rpc.tls_client_names: every repository can be read and changed there",
            );
        }
        let is_clear = values.some_text("rpc.tls_certificate").is_none();
        if is_clear
            && *values.get("rpc.require_tls") == Value::Flag(true)
            && address.tcp().is_some_and(|tcp| !tcp.ip().to_canonical().is_loopback())
        {
            refuse(
                name,
                "can be reached from other machines, and tokens would cross the network in the clear: \
                 set rpc.tls_certificate, or rpc.require_tls = false for a network that nobody else is on",
            );
        }
    }
    let [certificate, key, authority, names] =
        ["rpc.tls_certificate", "rpc.tls_key", "rpc.tls_client_authority", "rpc.tls_client_names"];
    let is_set = |name| values.some_text(name).is_some() || !values.list(name).is_empty();
    for (one, other) in [(certificate, key), (key, certificate), (authority, certificate), (names, authority)]
    {
        if is_set(one) && !is_set(other) {
            refuse(one, &format!("needs {other}"));
        }
    }
    for wrong in sources(values).filter_map(Result::err) {
        refuse("rpc.import_from", &wrong);
    }
    if tokens(values)
        .any(|token| token.len() < LEAST_TOKEN || token.bytes().any(|byte| !byte.is_ascii_graphic()))
    {
        refuse(
            "rpc.tokens",
            "holds a token of fewer than 16 characters, or one with spaces or other than ASCII",
        );
    }
}
