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

/// The longest name of a channel, in bytes.
const MAX_CHANNEL: usize = 200;

/// Where the processes that share a database tell each other of jobs.
#[derive(Clone, Debug)]
pub struct Redis {
    url: Secret<String>,
    channel: String,
}

/// Why something names no channel of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRedisError {
    /// The URL, which is not repeated, since it may hold a password.
    #[error("not a URL of the form redis://USER:PASSWORD@HOST:PORT/DB, or rediss:// for TLS")]
    Url,
    /// The channel.
    #[error("a channel has 1 to {MAX_CHANNEL} letters, digits, and - _ . :")]
    Channel,
}

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
    /// Takes a URL and the name of a channel; only installations that share a database may share it.
    ///
    /// # Errors
    /// [`ParseRedisError`].
    pub fn parse(url: &str, channel: &str) -> Result<Self, ParseRedisError> {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let parsed = redis::parse_redis_url(url);
        if !matches!(scheme, Some("redis" | "rediss"))
            || parsed.is_none_or(|url| url.fragment().is_some())
            || Client::open(url).is_err()
        {
            return Err(ParseRedisError::Url);
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if !(1..=MAX_CHANNEL).contains(&channel.len()) || !channel.chars().all(is_plain) {
            return Err(ParseRedisError::Channel);
        }
        Ok(Self { url: Secret::new(url.to_owned()), channel: channel.to_owned() })
    }

    fn client(&self) -> Result<Client, RedisError> {
        Ok(Client::open(self.url.expose().as_str())?)
    }

    /// Begins to listen.
    pub(super) async fn listen(&self) -> Result<Ear, RedisError> {
        let client = self.client()?;
        let subscribed = async {
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(&self.channel).await?;
            Ok(Ear { sink, stream })
        };
        tokio::time::timeout(PATIENCE, subscribed).await.unwrap_or(Err(RedisError::Slow))
    }

    /// Connects to tell others.
    pub(super) async fn connect(&self) -> Result<Mouth, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = self.client()?.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Mouth { connection, channel: self.channel.clone() })
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
    fn what_names_no_channel_is_refused() {
        for (url, channel, wanted) in [
            ("redis://localhost", "hakata:jobs", Ok(())),
            ("redis://u:p%40w@h:1/3", "a.b-c_d", Ok(())),
            ("rediss://h/0", "x", Ok(())),
            ("rediss://h/0#insecure", "x", Err(ParseRedisError::Url)),
            ("rediscluster://h", "x", Err(ParseRedisError::Url)),
            ("unix:///tmp/socket", "x", Err(ParseRedisError::Url)),
            ("redis://h/one", "x", Err(ParseRedisError::Url)),
            ("h:6379", "x", Err(ParseRedisError::Url)),
            ("redis://h", "", Err(ParseRedisError::Channel)),
            ("redis://h", "a b", Err(ParseRedisError::Channel)),
        ] {
            assert_eq!(Redis::parse(url, channel).map(drop), wanted, "{url} {channel}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let redis = Redis::parse("redis://u:hunter2@h", "x").unwrap();
        assert!(!format!("{redis:?}").contains("hunter2"), "{redis:?}");
    }

    #[test]
    fn kinds_are_read_as_they_are_written() {
        assert_eq!(read(words(Kind::ALL).as_bytes()), Heard::Kinds(Kind::ALL.to_vec()));
        assert_eq!(read(b"mail of_the_future"), Heard::Kinds(vec![Kind::Mail]));
        assert_eq!(read(b"\xff"), Heard::Kinds(Vec::new()));
    }
}
