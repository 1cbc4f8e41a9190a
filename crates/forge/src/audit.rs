//! Who did what to the rules of the house.

use std::net::IpAddr;
use std::sync::Arc;

use hakata_repository::{Committed, Rows};
use hakata_store::audits::{self, Audit};
use hakata_store::{Conn, StoreError};
use serde_json::Value;

use crate::mail::Notices;
use crate::{Actor, Error, Forge};

/// One line of the audit, ready to be written with the change that it is about.
#[derive(Clone, Debug)]
pub(crate) struct Entry(Audit);

impl Entry {
    /// Writes the line, inside the transaction of the change.
    pub(crate) async fn write(&self, conn: &mut Conn) -> Result<(), StoreError> {
        audits::append(conn, &self.0).await
    }

    /// Hands the line to a change that writes it in its own transaction.
    pub(crate) fn rows(self) -> impl Rows + Clone {
        self.rows_with(Notices::default())
    }

    /// Hands the line to a change that writes it in its own transaction, and what readers are told of it.
    pub(crate) fn rows_with(self, notices: Notices) -> impl Rows + Clone {
        let written = Arc::new((self, notices));
        move |conn: &mut Conn, _: &Committed| {
            let written = written.clone();
            Box::pin(async move {
                written.0.write(conn).await?;
                written.1.write(conn).await
            })
        }
    }
}

impl Forge {
    /// Prepares a line; to be called before the transaction, since ids come from transactions of their own.
    pub(crate) async fn audit(
        &self,
        actor: &Actor,
        action: &'static str,
        subject: impl ToString,
        detail: Value,
    ) -> Result<Entry, Error> {
        self.entry(actor, None, action, subject.to_string(), detail).await.map_err(Error::from)
    }

    async fn entry(
        &self,
        actor: &Actor,
        address: Option<IpAddr>,
        action: &'static str,
        subject: String,
        detail: Value,
    ) -> Result<Entry, StoreError> {
        Ok(Entry(Audit {
            id: self.ids().next().await?,
            at: self.clock().now_ms(),
            actor_id: actor.user(),
            actor_name: actor.name().to_owned(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            action: action.to_owned(),
            subject,
            detail: detail.to_string(),
        }))
    }

    /// Writes a line about something that changes no row; a failure is only logged.
    pub(crate) async fn audit_alone(
        &self,
        actor: &Actor,
        address: Option<IpAddr>,
        action: &'static str,
        subject: &str,
        detail: Value,
    ) {
        let written = async {
            let entry = self.entry(actor, address, action, subject.to_owned(), detail).await?;
            let mut conn = self.db().write().await?;
            entry.write(&mut conn).await
        };
        if let Err(error) = written.await {
            tracing::warn!(error = %error, audit.action = action, "writing an audit row");
        }
    }
}
