//! Telling other processes of jobs through Redis, for databases that tell nobody.
//!
//! A message on a channel says of which kinds jobs were committed. Nothing is kept: who was not listening looks into the
//! table when it listens again, and while it cannot listen it looks every [`Settings::poll`](crate::Settings).

use std::time::Duration;

use futures_util::StreamExt as _;
use hakata_forge::jobs::{Heard, Kind};
use hakata_runtime::secret::Secret;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{AsyncConnectionConfig, Client};

/// How long Redis may take to connect, or to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Silence after which Redis is asked whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(10);

/// A Redis through which the processes that share a database tell each other of jobs.
#[derive(Clone, Debug)]
pub struct Redis {
    url: Secret<String>,
}

/// A text names no Redis; it is not repeated, since it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URL of the form redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS")]
pub struct ParseRedisError;

/// What keeps Redis from telling.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedisError {
    /// It is away, or says no.
    #[error("talking to Redis")]
    Broken(#[from] redis::RedisError),
    /// It does not answer.
    #[error("waiting for Redis: more than {} ms", PATIENCE.as_millis())]
    Slow,
    /// The connection on which we listened is gone.
    #[error("Redis ended the connection")]
    Ended,
}

impl Redis {
    /// Takes a URL.
    ///
    /// # Errors
    /// [`ParseRedisError`].
    pub fn parse(url: &str) -> Result<Self, ParseRedisError> {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let parsed = redis::parse_redis_url(url);
        if !matches!(scheme, Some("redis" | "rediss"))
            || parsed.is_none_or(|url| url.fragment().is_some())
            || Client::open(url).is_err()
        {
            return Err(ParseRedisError);
        }
        Ok(Self { url: Secret::new(url.to_owned()) })
    }

    fn client(&self) -> Result<Client, RedisError> {
        Ok(Client::open(self.url.expose().as_str())?)
    }

    /// Begins to listen on a channel.
    pub(super) async fn listen(&self, channel: &str) -> Result<Ear, RedisError> {
        let client = self.client()?;
        let subscribed = async {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(channel).await?;
            Ok(Ear { sink, stream })
        };
        tokio::time::timeout(PATIENCE, subscribed).await.unwrap_or(Err(RedisError::Slow))
    }

    /// Connects to tell others on a channel.
    pub(super) async fn connect(&self, channel: &str) -> Result<Mouth, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = self.client()?.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Mouth { connection, channel: channel.to_owned() })
    }
}

/// Hears what others tell.
pub(super) struct Ear {
    sink: PubSubSink,
    stream: PubSubStream,
}

impl Ear {
    /// Waits for news; an end of the connection is noticed soon, also if nobody says so.
    pub(super) async fn heard(&mut self) -> Result<Heard, RedisError> {
        loop {
            match tokio::time::timeout(ASK_AFTER, self.stream.next()).await {
                Ok(Some(told)) => return Ok(read(told.get_payload_bytes())),
                Ok(None) => return Err(RedisError::Ended),
                Err(_) => {
                    let asked = tokio::time::timeout(PATIENCE, self.sink.ping::<redis::Value>()).await;
                    asked.map_err(|_| RedisError::Slow)??;
                }
            }
        }
    }
}

/// Tells others.
pub(super) struct Mouth {
    connection: MultiplexedConnection,
    channel: String,
}

impl Mouth {
    pub(super) async fn tell(&mut self, kinds: &[Kind]) -> Result<(), RedisError> {
        let words = words(kinds);
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&self.channel).arg(&words);
        let _n_listening: i64 = publish.query_async(&mut self.connection).await?;
        Ok(())
    }
}

/// Writes kinds as words with spaces between.
fn words(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

/// Reads them; kinds that only a newer release knows are none of ours.
fn read(message: &[u8]) -> Heard {
    let words = str::from_utf8(message).unwrap_or_default();
    Heard::Kinds(words.split(' ').filter_map(Kind::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_redis_is_refused() {
        for (url, wanted) in [
            ("redis://localhost", Ok(())),
            ("redis://u:p%40w@h:1/3", Ok(())),
            ("rediss://h/0", Ok(())),
            ("rediss://h/0#insecure", Err(ParseRedisError)),
            ("rediscluster://h", Err(ParseRedisError)),
            ("unix:///tmp/socket", Err(ParseRedisError)),
            ("redis://h/one", Err(ParseRedisError)),
            ("h:6379", Err(ParseRedisError)),
        ] {
            assert_eq!(Redis::parse(url).map(drop), wanted, "{url}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let redis = Redis::parse("redis://u:hunter2@h").unwrap();
        assert!(!format!("{redis:?}").contains("hunter2"), "{redis:?}");
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        assert_eq!(read(words(Kind::ALL).as_bytes()), Heard::Kinds(Kind::ALL.to_vec()));
        assert_eq!(read(b"mail of_the_future"), Heard::Kinds(vec![Kind::Mail]));
        assert_eq!(read(b"\xff"), Heard::Kinds(Vec::new()));
    }
}
