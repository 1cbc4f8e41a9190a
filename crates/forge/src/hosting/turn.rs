//! Turns: how many conversations one client may have at once.
//!
//! Git's processes are few, and each is held as long as its client takes to read. Without turns a handful of slow
//! readers, without an account, keeps everybody else out.

use std::net::IpAddr;

use hakata_names::{KeyId, UserId};
use hakata_runtime::limit::KeyedPermit;

use crate::{Actor, Error, Forge};

/// Who takes turns: people wherever they are, and strangers by where they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    User(UserId),
    Key(KeyId),
    Address(Option<IpAddr>),
}

impl Client {
    pub(crate) fn of(actor: &Actor, address: Option<IpAddr>) -> Self {
        match actor {
            Actor::User { id, .. } => Self::User(*id),
            Actor::DeployKey { key, .. } => Self::Key(*key),
            Actor::Anonymous | Actor::System => Self::Address(address.map(network)),
        }
    }
}

/// The right to one fetch, push or archive of a client, given back when dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: KeyedPermit<Client>,
}

impl Forge {
    /// Waits until a client may begin one more fetch, push or archive; to be held until that has ended.
    ///
    /// # Errors
    /// [`Kind::Limited`](crate::Kind) when the client has too many under way for too long.
    pub async fn turn(&self, actor: &Actor, address: Option<IpAddr>) -> Result<Turn, Error> {
        Ok(Turn { _permit: self.inner.turns.acquire(Client::of(actor, address)).await? })
    }
}

/// The addresses that count as one: a /64 of IPv6 belongs to one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt;
    use hakata_store::testing::TestDatabase;

    use crate::testing::World;
    use crate::{Actor, Settings};

    #[tokio::test]
    async fn a_client_with_many_conversations_leaves_room_for_others() {
        let database = TestDatabase::create(hakata_store::Engine::Sqlite).await;
        let world = World::start(database, Settings { transfers_per_client: 2, ..Settings::default() }).await;
        let (alice, nobody) = (world.user("alice").await, Actor::Anonymous);
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let turn = |actor, at| world.forge.turn(actor, address(at)).now_or_never();
        let held = [turn(&nobody, "2001:db8::1").unwrap(), turn(&nobody, "2001:db8::2").unwrap()];
        assert!(turn(&nobody, "2001:db8::3").is_none(), "the third waits");
        let others = [turn(&nobody, "192.0.2.1"), turn(&alice, "2001:db8::1"), turn(&alice, "192.0.2.2")];
        assert!(others.iter().all(|turn| turn.as_ref().is_some_and(Result::is_ok)));
        assert!(turn(&alice, "192.0.2.3").is_none(), "people are counted wherever they are");
        drop(held);
        assert!(turn(&nobody, "2001:db8::3").is_some());
    }
}
