//! The command line of the id server, which also takes the options of go-katsubushi as its users type them.

use crate::cli::ListenOn;
use crate::config::Setting;
use clap::{Args, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Options of go-katsubushi that one hyphen may stand before.
const OF_KATSUBUSHI: [&str; 18] = [
    "worker-id",
    "redis",
    "min-worker-id",
    "max-worker-id",
    "port",
    "sock",
    "idle-timeout",
    "log-level",
    "log-format",
    "http-port",
    "grpc-port",
    "js-safe-id",
    "js-safe",
    "enable-pprof",
    "enable-stats",
    "debug-port",
    "version",
    "help",
];

/// How to serve ids, or what else to do with them.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, version = hakata_id::memcached::VERSION)]
#[command(after_help = "Options of go-katsubushi work too, with one hyphen or two: see docs/id-server.md.")]
pub(crate) struct IdArgs {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub(crate) command: Option<IdCommand>,
    /// Where the memcached protocol listens, or off [default: 127.0.0.1:11212, if there is no socket]
    #[arg(long, value_name = "ADDR")]
    address: Option<ListenOn>,
    /// A Unix socket for the memcached protocol, as id.socket
    #[arg(long, value_name = "PATH", alias = "sock")]
    socket: Option<String>,
    /// Where HTTP listens, or off, as id.http
    #[arg(long, value_name = "ADDR")]
    http: Option<ListenOn>,
    /// Where gRPC listens, or off, as id.grpc
    #[arg(long, value_name = "ADDR")]
    grpc: Option<ListenOn>,
    /// Where metrics and health listen, or off, as admin.address
    #[arg(long, value_name = "ADDR")]
    admin: Option<ListenOn>,
    /// The worker id of this process alone, as id.worker_id
    #[arg(long, value_name = "N")]
    worker_id: Option<String>,
    /// Leases a worker id in Redis, as id.redis
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// The first worker id that may be leased, as id.min_worker_id
    #[arg(long, value_name = "N")]
    min_worker_id: Option<String>,
    /// The last worker id that may be leased, as id.max_worker_id
    #[arg(long, value_name = "N")]
    max_worker_id: Option<String>,
    /// How long a client may be silent, 0 for ever, as id.idle_timeout
    #[arg(long, value_name = "TIME")]
    idle_timeout: Option<String>,
    /// Makes ids that are exact in JavaScript, as id.layout=js-safe
    #[arg(long, alias = "js-safe-id", value_name = "BOOL", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    js_safe: Option<bool>,
    /// Writes the bound addresses here as JSON when every listener is up
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Kills the process at the Nth pass of a named point, or panics there, for tests
    #[arg(long, hide = true, value_name = "NAME:N[:panic]")]
    pub(crate) fault: Option<String>,
    /// What go-katsubushi calls some of these.
    #[command(flatten)]
    others: OfKatsubushi,
}

/// Options of go-katsubushi that mean something here, by other names.
#[derive(Debug, Clone, Default, Args)]
struct OfKatsubushi {
    #[arg(long, hide = true)]
    port: Option<u16>,
    #[arg(long, hide = true)]
    http_port: Option<u16>,
    #[arg(long, hide = true)]
    grpc_port: Option<u16>,
    #[arg(long, hide = true)]
    log_level: Option<LogLevel>,
    #[arg(long, hide = true)]
    log_format: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_pprof: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_stats: Option<bool>,
    #[arg(long, hide = true)]
    debug_port: Option<u16>,
}

/// Levels as go-katsubushi names them.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Panic,
    Fatal,
    Error,
    Warn,
    Warning,
    Info,
    Debug,
    Trace,
}

/// What can be done with ids beside serving them.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum IdCommand {
    /// Tells what ids are made of, one JSON object a line
    Dump {
        /// The ids
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// They are of the layout that is exact in JavaScript
        #[arg(long)]
        js_safe: bool,
    },
}

impl IdArgs {
    /// The flags that are keys of the configuration.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let other = &self.others;
        let listen = |on: &Option<ListenOn>| on.as_ref().map(ListenOn::to_string);
        // That server has no other choice than every address of the machine.
        let port = |port: Option<u16>| {
            port.map(|port| if port == 0 { "off".to_owned() } else { format!(":{port}") })
        };
        let layout = |is_safe| if is_safe { "js-safe" } else { "standard" }.to_owned();
        let level = other.log_level.map(|level| level.as_str().to_owned());
        let flags = [
            ("id.address", "--port", port(other.port)),
            ("id.address", "--address", listen(&self.address)),
            ("id.socket", "--socket", self.socket.clone()),
            ("id.http", "--http-port", port(other.http_port)),
            ("id.http", "--http", listen(&self.http)),
            ("id.grpc", "--grpc-port", port(other.grpc_port)),
            ("id.grpc", "--grpc", listen(&self.grpc)),
            ("admin.address", "--admin", listen(&self.admin)),
            ("id.worker_id", "--worker-id", self.worker_id.clone()),
            ("id.redis", "--redis", self.redis.clone()),
            ("id.min_worker_id", "--min-worker-id", self.min_worker_id.clone()),
            ("id.max_worker_id", "--max-worker-id", self.max_worker_id.clone()),
            ("id.idle_timeout", "--idle-timeout", self.idle_timeout.as_deref().map(with_unit)),
            ("id.layout", "--js-safe", self.js_safe.map(layout)),
            ("log.level", "--log-level", level),
            ("log.format", "--log-format", other.log_format.clone()),
        ];
        let given = flags.into_iter().filter_map(|(key, flag, value)| Some((key, flag, value?)));
        given.map(|(key, flag, value)| Setting { key: key.to_owned(), value, flag }).collect()
    }

    /// Whether something is asked for that go-katsubushi would serve on a port of its own.
    pub(crate) fn wants_profiles(&self) -> bool {
        let other = &self.others;
        other.enable_pprof == Some(true) || other.enable_stats == Some(true) || other.debug_port.is_some()
    }
}

impl LogLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Panic | Self::Fatal | Self::Error => "error",
            Self::Warn | Self::Warning => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Gives a bare number of seconds its unit: the documents of go-katsubushi say seconds, and zero needs none.
fn with_unit(time: &str) -> String {
    match time.parse::<u64>() {
        Ok(seconds) => format!("{seconds}s"),
        Err(_) => time.to_owned(),
    }
}

/// Puts the second hyphen before options of go-katsubushi, on command lines of the id server.
pub(crate) fn with_two_hyphens(line: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut line: Vec<OsString> = line.into_iter().collect();
    let command = command_at(&line).filter(|at| line[*at] == "id").unwrap_or(line.len());
    for word in line.iter_mut().skip(command + 1) {
        let Some(option) = word.to_str().and_then(|text| text.strip_prefix('-')) else { continue };
        if OF_KATSUBUSHI.contains(&option.split('=').next().unwrap_or_default()) {
            *word = format!("--{option}").into();
        }
    }
    line
}

/// Where the command stands: behind the flags that every command takes, and their values.
fn command_at(line: &[OsString]) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = line.get(at)?.to_str().filter(|word| word.starts_with('-')) {
        at += if matches!(word, "--data" | "--config" | "--set") { 2 } else { 1 };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> Result<IdArgs, clap::Error> {
        let cli = Cli::try_parse_from(with_two_hyphens(line.split(' ').map(OsString::from)))?;
        match cli.command {
            Command::Id(args) => Ok(*args),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn settings(line: &str) -> String {
        let all = parse(line).unwrap().settings();
        all.iter().map(|set| format!("{}={}", set.key, set.value)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_of_katsubushi_work_as_its_users_type_them() {
        for (line, wanted) in [
            ("hakata id", ""),
            ("hakata id -worker-id 1 -port 7238", "id.address=:7238 id.worker_id=1"),
            ("hakata id -worker-id=1 --port=0 -http-port=80", "id.address=off id.http=:80 id.worker_id=1"),
            (
                "hakata id -redis redis://h:6379/1?ns=x -min-worker-id 10 -max-worker-id 20",
                "id.redis=redis://h:6379/1?ns=x id.min_worker_id=10 id.max_worker_id=20",
            ),
            ("hakata id -sock /tmp/k.sock -idle-timeout 0", "id.socket=/tmp/k.sock id.idle_timeout=0s"),
            ("hakata id -idle-timeout 600", "id.idle_timeout=600s"),
            ("hakata id -idle-timeout=1m30s", "id.idle_timeout=1m30s"),
            ("hakata id -js-safe-id -log-level fatal", "id.layout=js-safe log.level=error"),
            ("hakata id -js-safe-id=false -log-format json", "id.layout=standard log.format=json"),
            ("hakata id --address 127.0.0.1:1 --grpc off", "id.address=127.0.0.1:1 id.grpc=off"),
            ("hakata --data d --json id -port 1", "id.address=:1"),
            ("hakata id -grpc-port 8081 --admin off", "id.grpc=:8081 admin.address=off"),
        ] {
            assert_eq!(settings(line), wanted, "{line}");
        }
        assert!(parse("hakata id -enable-pprof -debug-port 8080").unwrap().wants_profiles());
        assert!(!parse("hakata id -enable-pprof=false").unwrap().wants_profiles());
        assert!(parse("hakata id -version").unwrap_err().to_string().contains(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn one_hyphen_is_left_alone_elsewhere() {
        for line in ["hakata status -port 1", "hakata --data id status -port 1"] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(with_two_hyphens(words.clone()), words, "{line}");
        }
        assert!(parse("hakata id -prot 1").is_err());
    }
}
