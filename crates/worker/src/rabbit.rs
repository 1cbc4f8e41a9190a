//! Jobs through RabbitMQ instead of by looking at the table.
//!
//! ```text
//!            take, name again          claim by compare-and-swap
//! job rows ◀──────────────── relay     worker ────────────────▶ job rows
//!                              │          ▲
//!                 confirmed    ▼          │ acknowledged by hand
//!                      PREFIX.jobs ──▶ PREFIX.jobs.KIND ──too often delivered──▶ PREFIX.dead
//!                    PREFIX.events ──▶ queues of other programs
//! ```
//!
//! The rows are the truth and a message only names one: whatever the broker loses or repeats, a row is claimed once, and
//! one that nobody claims is named again. Two connections a process, so that a broker that lets nobody publish can still
//! be told what was worked at: the *relay* of whoever serves, and the *consumer* of whoever works.

mod consume;
mod link;
mod mail;
mod relay;
mod settings;
mod topology;

pub(crate) use consume::start as consume;
pub(crate) use mail::{Mail, Message};
pub use settings::Settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hakata_forge::Forge;
use hakata_runtime::metrics::Label;
use hakata_runtime::tasks::Tasks;

use crate::metrics::{MISDECLARED, UP};

/// The broker as this process sees it; clones are the same one.
#[derive(Clone, Debug)]
pub struct Broker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    links: Mutex<BTreeMap<Link, State>>,
}

/// A connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// Publishes.
    Relay,
    /// Receives.
    Consumer,
}

/// How a connection does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is tried for the first time.
    Connecting,
    /// It stands, and the broker has what we need.
    Up,
    /// The broker lets nobody publish just now, and says why.
    Blocked(String),
    /// It does not stand: why, and that it is tried again.
    Down(String),
    /// An exchange or a queue is there and differs from what we need.
    Misdeclared(String),
}

impl Label for Link {
    const KEY: &'static str = "link";

    fn value(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Consumer => "consumer",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Up => f.write_str("up"),
            Self::Blocked(why) => write!(f, "blocked: {why}"),
            Self::Down(why) => write!(f, "down: {why}"),
            Self::Misdeclared(why) => write!(f, "misdeclared: {why}"),
        }
    }
}

impl Broker {
    /// Knows of a broker, and asks nothing of it yet.
    pub fn new(settings: Settings) -> Self {
        Self { inner: Arc::new(Inner { settings, links: Mutex::default() }) }
    }

    /// Begins to name jobs to the broker; every process that serves does.
    pub fn relay(&self, forge: &Forge, tasks: &Tasks) {
        relay::start(self, forge, tasks);
    }

    /// Tells how the connections of this process do.
    pub fn links(&self) -> BTreeMap<Link, State> {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Notes how a connection does; true if that is news.
    fn note(&self, link: Link, state: State) -> bool {
        UP.get(link).set(i64::from(state == State::Up));
        MISDECLARED.get(link).set(i64::from(matches!(state, State::Misdeclared(_))));
        let mut links = self.inner.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.insert(link, state.clone()) != Some(state)
    }
}
