//! The `[rpc]` table: where the repository service listens, and its bounds.

use crate::config::raw::Values;
use hakata_runtime::secret::Secret;
use hakata_service::listener::Address;

/// The settings of the repository service.
#[derive(Debug)]
pub(crate) struct Rpc {
    /// Where it listens over gRPC; `None` is off.
    pub(crate) grpc: Option<Address>,
    /// Where it listens over MessagePack-RPC; `None` is off.
    pub(crate) msgpack: Option<Address>,
    /// The tokens that open both.
    pub(crate) tokens: Vec<Secret<String>>,
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
            server: hakata_rpc_server::Settings {
                max_request_bytes: size("rpc.request"),
                max_answer_bytes: size("rpc.answer"),
                max_call: values.duration("rpc.call_time"),
                max_in_flight: values.count("rpc.in_flight"),
                login: values.duration("rpc.login_timeout"),
                idle: values.duration("rpc.idle_timeout"),
                max_kept: values.count("rpc.kept_answers"),
                kept_life: values.duration("rpc.kept_time"),
                max_made_bytes: values.bytes("rpc.made_size"),
                max_made_objects: values.count("rpc.made_objects"),
                last_commits_bytes: values.bytes("rpc.last_commits"),
            },
        }
    }

    /// Whether there is any listener.
    pub(crate) fn is_on(&self) -> bool {
        self.grpc.is_some() || self.msgpack.is_some()
    }
}

fn tokens(values: &Values) -> impl Iterator<Item = &str> {
    values.get("rpc.tokens").text().split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// The fewest characters of a token that nobody guesses.
const LEAST_TOKEN: usize = 16;

/// Checks what must hold between the keys: nobody listens without asking for a token.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    for name in ["rpc.grpc", "rpc.msgpack"] {
        if values.address(name).is_some() && tokens(values).next().is_none() {
            refuse(name, "needs rpc.tokens: every repository can be read and changed there");
        }
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
