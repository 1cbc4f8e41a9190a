//! The commands about webhooks.

use std::fmt;

use hakata_names::{DeliveryId, WebhookId};
use serde::{Deserialize, Serialize};

use super::words;
use crate::webhooks::{ContentType, EventKind, Format, Place};

/// `hakata hook …`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum HookCommand {
    /// Lists webhooks, of one place or all.
    List {
        /// What they are about.
        #[serde(default)]
        place: Option<Place>,
    },
    /// Makes a webhook.
    Add {
        /// What it is about.
        place: Place,
        /// Where to.
        url: String,
        /// What requests are signed with; it is never shown again.
        #[serde(default)]
        secret: Option<String>,
        /// In whose words.
        format: Format,
        /// How bodies are written.
        content_type: ContentType,
        /// What it is told of.
        events: Vec<EventKind>,
        /// The pattern over branches; without one, all.
        #[serde(default)]
        branches: Option<String>,
    },
    /// Removes a webhook.
    Remove {
        /// Which.
        #[serde(with = "words")]
        id: WebhookId,
    },
    /// Sends a test.
    Test {
        /// Which.
        #[serde(with = "words")]
        id: WebhookId,
    },
    /// Lists what it was told, newest first.
    Deliveries {
        /// Which.
        #[serde(with = "words")]
        id: WebhookId,
        /// At most so many.
        limit: u16,
    },
    /// Shows one delivery with its attempts.
    Delivery {
        /// Which webhook.
        #[serde(with = "words")]
        id: WebhookId,
        /// Which delivery.
        #[serde(with = "words")]
        delivery: DeliveryId,
    },
    /// Sends one delivery again.
    Redeliver {
        /// Which webhook.
        #[serde(with = "words")]
        id: WebhookId,
        /// Which delivery.
        #[serde(with = "words")]
        delivery: DeliveryId,
    },
    /// Sends everything again that failed.
    RedeliverFailed {
        /// Which webhook.
        #[serde(with = "words")]
        id: WebhookId,
        /// Recorded in the last so many seconds.
        since_s: u64,
    },
    /// Holds deliveries back.
    Pause {
        /// Which.
        #[serde(with = "words")]
        id: WebhookId,
    },
    /// Sends what was held back, and everything from now on.
    Resume {
        /// Which.
        #[serde(with = "words")]
        id: WebhookId,
    },
}

/// Shows what is done to which, never a secret or a URL.
impl fmt::Debug for HookCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List { place } => write!(f, "List({place:?})"),
            Self::Add { place, format, .. } => write!(f, "Add({place:?}, {format})"),
            Self::Remove { id } => write!(f, "Remove({id})"),
            Self::Test { id } => write!(f, "Test({id})"),
            Self::Deliveries { id, .. } => write!(f, "Deliveries({id})"),
            Self::Delivery { id, delivery } => write!(f, "Delivery({id}, {delivery})"),
            Self::Redeliver { id, delivery } => write!(f, "Redeliver({id}, {delivery})"),
            Self::RedeliverFailed { id, since_s } => write!(f, "RedeliverFailed({id}, {since_s} s)"),
            Self::Pause { id } => write!(f, "Pause({id})"),
            Self::Resume { id } => write!(f, "Resume({id})"),
        }
    }
}
