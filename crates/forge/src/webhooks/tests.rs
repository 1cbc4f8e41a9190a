//! Pushes of the real git, deliveries to a real HTTP server, on a whole forge.

mod deliveries;
mod payloads;
mod receiver;

use std::sync::Arc;

use hakata_egress::{Allow, Guard};
use hakata_names::{DeliveryId, WebhookId};
use hakata_rpc_server::Local;
use hakata_store::webhooks::deliveries::Delivery;
use serde_json::{Value, json};

use super::Courier;
use crate::Actor;
use crate::access::Read;
use crate::jobs::Outcome;
use crate::testing::{World, path};

/// A forge with alice's repository `tools`, and a courier that may reach this machine.
struct Told {
    world: World,
    alice: Actor,
    courier: Courier,
}

impl Told {
    async fn new() -> Self {
        let world = World::new().await;
        let alice = world.user("alice").await;
        world
            .admin(json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "private" }))
            .await
            .unwrap();
        let courier = courier(&world, &["127.0.0.0/8"]);
        Self { world, alice, courier }
    }

    /// Adds a webhook of `alice/tools`; `more` takes the place of the defaults.
    async fn add(&self, url: &str, more: Value) -> WebhookId {
        let mut command = json!({
            "command": "hook", "action": "add", "place": { "repository": "alice/tools" }, "url": url,
            "secret": "s3cret", "format": "gitea", "content_type": "json", "events": ["push", "create", "delete"],
        });
        for (key, value) in more.as_object().unwrap() {
            command[key] = value.clone();
        }
        let added = self.world.admin(command).await.unwrap();
        let id = added.objects()[0]["id"].as_str().unwrap().parse::<i64>().unwrap();
        WebhookId::new(id)
    }

    async fn push(&self, dir: &std::path::Path, refs: &[&str]) {
        self.world.push(&self.alice, "alice/tools", dir, refs).await.ok();
    }

    async fn fan_out(&self) {
        let grant = self.world.forge.grant::<Read>(&Actor::System, &path("alice/tools")).await.unwrap();
        self.world.forge.fan_out_webhooks(grant.repository()).await.unwrap();
    }

    /// The deliveries of a webhook, oldest first.
    async fn deliveries(&self, id: WebhookId) -> Vec<Delivery> {
        let mut all = self.world.forge.list_deliveries(id, 1_000).await.unwrap();
        all.reverse();
        all
    }

    async fn deliver(&self, id: DeliveryId) -> Outcome {
        self.courier.deliver(&format!("{{\"delivery\":{id}}}")).await
    }

    /// Runs a command about one webhook.
    async fn hook(&self, action: &str, id: WebhookId) -> Result<crate::admin::Outcome, crate::Error> {
        self.world.admin(json!({ "command": "hook", "action": action, "id": id.to_string() })).await
    }
}

fn courier(world: &World, allow: &[&str]) -> Courier {
    let settings = hakata_egress::Settings { allow: Allow::parse(allow).unwrap(), ..Default::default() };
    let version = world.forge.git().version().to_string();
    let local = Local::new(world.forge.repositories().clone(), version, Default::default());
    Courier::new(world.forge.clone(), Arc::new(local), Guard::new(settings).unwrap())
}
