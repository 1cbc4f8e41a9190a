//! The bytes that are sent.

use hakata_store::owners;
use hakata_store::repositories::Repository;
use hakata_store::webhooks::Webhook;
use hakata_store::webhooks::deliveries::Delivery;

use super::deliver::Courier;
use super::news::{About, News};
use super::payload::payload;
use super::person::Person;
use super::{ContentType, EventKind, Format, Moved, Span, moved};
use crate::{Error, Kind};

impl Courier {
    /// Makes the body of a delivery's requests.
    ///
    /// # Errors
    /// When rows or commits cannot be read now.
    pub(super) async fn make_body(
        &self,
        webhook: &Webhook,
        delivery: &Delivery,
        repository: Option<Repository>,
    ) -> Result<Vec<u8>, Error> {
        let settings = &self.forge.settings().webhooks;
        let what = match (&delivery.ref_name, &repository) {
            (Some(name), Some(row)) if delivery.kind == EventKind::Push.as_str() => {
                let (old, new) = (delivery.old, delivery.new);
                let span = Span { repository: row.id, name: name.clone(), old, new };
                let reading = moved(&*self.operations, settings, span, &row.default_ref);
                Some(reading.await.map_err(unreadable)?)
            }
            (Some(name), Some(_)) => Some(Moved::bare(name.clone(), delivery.old, delivery.new)),
            _ => None,
        };
        let about = match repository {
            Some(row) => {
                let owner = owners::find(&mut self.forge.db().read().await?, row.owner_id).await?;
                let owner = owner.as_ref().map_or_else(Person::nobody, Person::of);
                Some(About::new(row, owner, settings))
            }
            None => None,
        };
        let news = News {
            settings,
            webhook: webhook.id.get(),
            delivery: delivery.id.get(),
            kind: EventKind::parse(&delivery.kind).unwrap_or(EventKind::Ping),
            repository: about,
            sender: self.forge.person(delivery.actor).await?,
            at: delivery.at,
            moved: what,
        };
        let format = Format::parse(&webhook.format).unwrap_or(Format::Gitea);
        let json = payload(format, &news).to_string();
        Ok(match ContentType::parse(&webhook.content_type) {
            Some(ContentType::Form) => form(&json).into_bytes(),
            _ => json.into_bytes(),
        })
    }
}

fn unreadable(status: hakata_rpc::Status) -> Error {
    Error::new(Kind::Unavailable, "the commits cannot be read now").with_source(status)
}

/// Writes a form of one field. Source: url.spec.whatwg.org, "application/x-www-form-urlencoded serializing".
fn form(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    text.push_str("payload=");
    for byte in json.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                text.push(char::from(byte))
            }
            b' ' => text.push('+'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::form;

    #[test]
    fn a_form_escapes_all_but_letters() {
        assert_eq!(form("{\"a\":\"é b+&\"}"), "payload=%7B%22a%22%3A%22%C3%A9+b%2B%26%22%7D");
    }
}
