//! A connection to Redis that never waits for long, and what its errors mean.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError};

use super::RedisUrl;
use crate::lease::{Because, LeaseError};

/// A connection, and which run of Redis it leads to.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    /// Another one after each restart; empty if Redis does not tell.
    pub(super) run_id: String,
}

impl Link {
    /// Connects and asks who answers; both within `patience` each.
    pub(super) async fn open(url: &RedisUrl, patience: Duration) -> Result<Self, LeaseError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience));
        let client = Client::open(url.server.expose().as_str()).map_err(sorted)?;
        let mut connection =
            client.get_multiplexed_async_connection_with_config(&config).await.map_err(sorted)?;
        let asked: Result<String, RedisError> =
            ::redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        let run_id = match asked {
            Ok(words) => run_id(&words).unwrap_or_default().to_owned(),
            // Without the right to ask, restarts go unnoticed; an emptied Redis does not.
            Err(error) if error.code() == Some("NOPERM") => String::new(),
            Err(error) => return Err(sorted(error)),
        };
        Ok(Self { connection, run_id })
    }
}

/// Finds the id of the run in the answer to INFO.
fn run_id(words: &str) -> Option<&str> {
    words.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim)
}

/// Tells an operator what to do about an error that waiting does not heal.
pub(super) fn sorted(error: RedisError) -> LeaseError {
    let hint = match error.code() {
        Some("READONLY") => "this is a replica: name the primary in id.redis",
        Some("NOAUTH" | "WRONGPASS") => "check user and password in id.redis",
        Some("NOPERM") => {
            "let this user run EVALSHA, SCRIPT, INFO and TIME, and read and write the keys of the namespace"
        }
        Some("MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN") => {
            "this is a node of a cluster, which cannot keep leases: name a single server"
        }
        Some("OOM") => "Redis has reached maxmemory: give it more, or evict other keys",
        Some("MISCONF") => "Redis cannot save its data to disk and therefore accepts none",
        _ if error.kind() == ErrorKind::AuthenticationFailed => "check user and password in id.redis",
        _ if error.kind() == ErrorKind::InvalidClientConfig => "check id.redis",
        _ => return LeaseError::Unreachable { place: "Redis", source: Box::new(error) },
    };
    LeaseError::Refused { place: "Redis", hint, source: Box::new(error) }
}

/// Says that Redis did not answer in time.
pub(super) fn silent(patience: Duration) -> LeaseError {
    let source = Box::new(Because(format!("no answer within {patience:?}")));
    LeaseError::Unreachable { place: "Redis", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_is_found_in_what_redis_says() {
        let words = "# Server\r\nredis_version:7.0.15\r\nrun_id:0123abcd\r\ntcp_port:6379\r\n";
        assert_eq!(run_id(words), Some("0123abcd"));
        assert_eq!(run_id("# Server\r\n"), None);
    }
}
